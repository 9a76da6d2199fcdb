"""Metered calls. One `async with` is the whole protocol, from the hold to its end.

The order is the guarantee: a hold is committed before anything is sent to a provider, and a
response ends after its capture is committed or spooled. Any exception in the block ends the hold.
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
"""Larger responses are not stored for repeats, because a day of them would fill the database."""


class Call:
    """A call whose hold is placed. `open` it, then use `answer` or `stream`.

    One task runs it. Other tasks may read it, and stop it while it drains without a client.
    """

    def __init__(
        self,
        admitted: AdmittedCall,
        client_has_left: Callable[[], bool],
        registry: CallRegistry,
        settling: Settling,
        observer: Observer,
        clock: Clock,
    ) -> None:
        self.generation = admitted.generation
        self._attempt = RunningAttempt(admitted, clock)
        self._client = ClientWatch(client_has_left)
        self._relay: StreamRelay | None = None
        self._registry = registry
        self._settling = settling
        self._observer = observer
        self._clock = clock
        self._is_settled = False

    async def open(self) -> None:
        """Send the request; raises the provider's error after voiding the hold."""
        try:
            await self._attempt.open()
        except GatewayError as error:
            await self._void(error)
            raise

    async def answer(self) -> bytes:
        """The whole response, after it is charged; raises errors after voiding the hold."""
        try:
            failure = await self._attempt.read_answer()
        except GatewayError as error:
            await self._void(error)
            raise
        # Output is relayed and charged even if the provider reports a failure.
        ended = self._settle(failure)
        body = self._attempt.response.answer(ended)
        await self._commit_end(ended, self._to_be_stored(ended, body))
        return body

    async def stream(self) -> AsyncIterator[bytes]:
        """The response as it arrives; its last bytes come after the commit.

        Continues after the client has disconnected, to get the usage at the end. Errors are raised
        after the commit too; `error_end` then ends the stream.
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
        """The end of a failed stream, with its cost."""
        return self._attempt.response.error_end(self.generation, error)

    async def close(self, error: BaseException | None) -> None:
        """Settle the call if it is not settled, and release the provider's connection.

        Raises `Stopping` if the call was cancelled.
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
        """Charge the part of a stream that was relayed; void a plain call."""
        is_stopped = isinstance(error, asyncio.CancelledError)
        failure = (
            Stopping("The server is stopping.")
            if is_stopped
            else GatewayError("The gateway failed.")
        )
        if self.generation.streamed:
            try:
                await self._commit_end(self._settle(failure))
            except Exception:
                # Not even the relayed part can be settled: charge nothing, but end the hold.
                await self._void(failure)
                raise
        else:
            await self._void(failure)
        if is_stopped:
            failure.generation_id = self.generation.id
            raise failure from None

    async def _void(self, error: GatewayError) -> None:
        """End a call of which the client has received nothing."""
        self._attempt.discard()
        await self._commit_end(self._settle(error))
        error.generation_id = self.generation.id

    def _settle(self, failure: GatewayError | None) -> Generation:
        return self._attempt.settle(failure, cancelled=self._client.has_left())

    async def _commit_end(self, ended: Generation, answer: StoredAnswer | None = None) -> None:
        """Commit or spool the end; until then, the call counts as running."""
        self._is_settled = True
        if repairs := self._attempt.repairs:
            self._observer.repaired(ended.provider, repairs)
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
    """All calls of this process; `call` starts one."""

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
        self._observer = observer
        self._admission = Admission(served, store, clock, random_bytes, timeouts.hold_ttl_s)
        self._clock = clock

    def call(
        self, caller: AuthenticatedKey, request: CallRequest, client_has_left: Callable[[], bool]
    ) -> "CallScope":
        """Make a call: `async with calls.call(…) as call`.

        Entering places the hold and raises the errors of `Admission.admit`. For a repeat it
        returns the stored response instead of a call. `client_has_left` returns whether the client
        has disconnected.
        """
        return CallScope(partial(self._begin, caller, request, client_has_left))

    async def _begin(
        self, caller: AuthenticatedKey, request: CallRequest, client_has_left: Callable[[], bool]
    ) -> Call | StoredAnswer:
        admitted = await self._admission.admit(caller, request)
        if isinstance(admitted, StoredAnswer):
            return admitted
        call = Call(
            admitted, client_has_left, self.registry, self.settling, self._observer, self._clock
        )
        self.registry.add(call)
        return call


class CallScope:
    """The scope of a call: leaving it ends the call, even after an exception."""

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
