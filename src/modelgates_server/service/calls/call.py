"""Metered calls. One `async with` is the whole protocol, from the hold to its end.

The order is the promise: a hold is committed before anything leaves for a provider, and an answer
ends after its capture is committed or spooled. Whatever is raised within the block, the hold ends.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

from modelgates_server.core.errors import GatewayError, Stopping
from modelgates_server.core.metering.generations import Generation, StoredAnswer
from modelgates_server.dialects.dialect import ErrorReport
from modelgates_server.service.calls.admission import (
    Admission,
    AdmittedCall,
    CallRequest,
    CallTimeouts,
    ServedCatalog,
)
from modelgates_server.service.calls.attempt import RunningAttempt
from modelgates_server.service.calls.registry import CallRegistry
from modelgates_server.service.calls.relay import ClientWatch, StreamRelay
from modelgates_server.service.calls.settling import Settling
from modelgates_server.service.holds import Holds
from modelgates_server.service.ports import (
    AuthenticatedKey,
    Clock,
    Observer,
    PendingSettlement,
    RandomBytes,
    Spool,
    Store,
)

STORED_ANSWER_MAX_BYTES = 1024 * 1024
"""A larger answer is not stored for repeats: a day of them would fill the database."""


class Call:
    """A call that has its hold. `open` it, then take its `answer`, or its `stream`.

    One task runs it. Others may look at it, and stop it where it reads on for nobody.
    """

    def __init__(
        self,
        admitted: AdmittedCall,
        client_has_left: Callable[[], bool],
        registry: CallRegistry,
        settling: Settling,
        clock: Clock,
    ) -> None:
        self.generation = admitted.generation
        self._attempt = RunningAttempt(admitted, clock)
        self._client = ClientWatch(client_has_left)
        self._relay: StreamRelay | None = None
        self._registry = registry
        self._settling = settling
        self._clock = clock
        self._is_settled = False

    async def open(self) -> None:
        """Send the request; raises the provider's error once the hold is void."""
        try:
            await self._attempt.open()
        except GatewayError as error:
            await self._void(error)
            raise

    async def answer(self) -> bytes:
        """The whole answer, once it is paid for; raises what went wrong, once the hold is void."""
        try:
            failure = await self._attempt.read_answer()
        except GatewayError as error:
            await self._void(error)
            raise
        # What was said is handed on and charged, also where the provider says that it failed.
        ended = self._settle(failure)
        body = self._attempt.response.answer(ended)
        await self._commit_end(ended, self._to_be_stored(ended, body))
        return body

    async def stream(self) -> AsyncIterator[bytes]:
        """The answer as it comes; its last bytes come after the commit.

        Goes on when the client has left, for the usage that comes at the end. Raises what went
        wrong, after the commit as well; `error_end` is then the end.
        """
        self._relay = relay = StreamRelay(self._attempt)
        try:
            async for piece in relay.pieces():
                yield piece
        except GatewayError as error:
            await self._commit_end(self._settle(error))
            raise
        await self._commit_end(self._settle(None))
        yield self._attempt.response.end(self.generation)

    def error_end(self, error: ErrorReport) -> bytes:
        """The end of a stream that failed, with what it cost."""
        return self._attempt.response.error_end(self.generation, error)

    async def close(self, error: BaseException | None) -> None:
        """Settle what has not come to its end, and let go of the provider's connection.

        Raises `Stopping` where the call was cancelled.
        """
        try:
            if not self._is_settled:
                await self._settle_unfinished(error)
            if self._relay is not None and error is None:
                await self._relay.close()
        finally:
            self._attempt.close()

    def checkpoint(self) -> Generation:
        """See `RunningCall`."""
        return self._attempt.checkpoint()

    def stop_draining(self, now_ms: int, drain_ms: int) -> None:
        """See `RunningCall`."""
        gone_ms = self._client.gone_ms(now_ms)
        if gone_ms is not None and gone_ms >= drain_ms:
            self._attempt.stop_draining()

    async def _settle_unfinished(self, error: BaseException | None) -> None:
        """The client has what its stream handed on, and nothing of a plain answer."""
        is_stopped = isinstance(error, asyncio.CancelledError)
        failure = (
            Stopping("The server is stopping.")
            if is_stopped
            else GatewayError("failed within the gateway")
        )
        if self.generation.streamed:
            try:
                await self._commit_end(self._settle(failure))
            except Exception:
                # Even what was seen cannot be settled. Nothing is charged, but the hold must end.
                await self._void(failure)
                raise
        else:
            await self._void(failure)
        if is_stopped:
            failure.generation_id = self.generation.id
            raise failure from None

    async def _void(self, error: GatewayError) -> None:
        """End a call of which the client has seen nothing."""
        self._attempt.discard()
        await self._commit_end(self._settle(error))
        error.generation_id = self.generation.id

    def _settle(self, failure: GatewayError | None) -> Generation:
        return self._attempt.settle(failure, cancelled=self._client.has_left())

    async def _commit_end(self, ended: Generation, answer: StoredAnswer | None = None) -> None:
        """The call stays open to others until its end is committed or spooled."""
        self._is_settled = True
        try:
            await self._settling.commit_end(PendingSettlement(ended, answer))
        finally:
            self._registry.remove(ended.id)
        self.generation = ended

    def _to_be_stored(self, ended: Generation, body: bytes) -> StoredAnswer | None:
        if ended.idempotency is None or len(body) > STORED_ANSWER_MAX_BYTES:
            return None
        return StoredAnswer(ended.account_id, ended.id, body, self._clock())


class CallService:
    """All calls of this process; `call` makes one."""

    def __init__(
        self,
        store: Store,
        served: ServedCatalog,
        spool: Spool,
        observer: Observer,
        clock: Clock,
        random_bytes: RandomBytes,
        timeouts: CallTimeouts,
    ) -> None:
        self.settling = Settling(store, spool, observer, clock)
        self.registry = CallRegistry(self.settling, Holds(store, clock), observer, clock, timeouts)
        self._admission = Admission(served, store, clock, random_bytes, timeouts.hold_ttl_s)
        self._clock = clock

    def call(
        self, caller: AuthenticatedKey, request: CallRequest, client_has_left: Callable[[], bool]
    ) -> "CallScope":
        """Make a call: `async with calls.call(…) as call`.

        Entering places the hold. It raises as `Admission.admit` does, and gives the stored answer
        of a repeated call in place of a call. `client_has_left` tells whether nobody waits.
        """
        return CallScope(partial(self._begin, caller, request, client_has_left))

    async def _begin(
        self, caller: AuthenticatedKey, request: CallRequest, client_has_left: Callable[[], bool]
    ) -> Call | StoredAnswer:
        admitted = await self._admission.admit(caller, request)
        if isinstance(admitted, StoredAnswer):
            return admitted
        call = Call(admitted, client_has_left, self.registry, self.settling, self._clock)
        self.registry.add(call)
        return call


class CallScope:
    """The length of a call: leaving it ends the call, whatever was raised."""

    def __init__(self, begin: Callable[[], Awaitable[Call | StoredAnswer]]) -> None:
        self._begin = begin
        self._call: Call | None = None

    async def __aenter__(self) -> Call | StoredAnswer:
        call = await self._begin()
        if isinstance(call, Call):
            self._call = call
        return call

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        if self._call is not None:
            await self._call.close(error)
