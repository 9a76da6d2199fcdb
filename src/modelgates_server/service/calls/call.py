"""Metered calls. One `async with` is the whole protocol, from the hold to its end.

The order is the guarantee: a hold is committed before anything is sent to a provider, and a
response ends after its capture is committed or spooled. Any exception in the block ends the hold.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from weakref import WeakValueDictionary

import msgspec

from modelgates_server.core.errors import GatewayError, ProviderError, Stopping
from modelgates_server.core.metering.generations import Generation, StoredAnswer
from modelgates_server.dialects.dialect import ErrorReport
from modelgates_server.service.calls.admission import (
    Admission,
    AdmittedCall,
    CallTimeouts,
    ServedCatalog,
)
from modelgates_server.service.calls.attempt import RunningAttempt
from modelgates_server.service.calls.call_request import CallRequest
from modelgates_server.service.calls.clients import ClientHasLeft, Clients
from modelgates_server.service.calls.joined import JoinedCall
from modelgates_server.service.calls.joins import JoinableCall, Joins
from modelgates_server.service.calls.output import CallOutput
from modelgates_server.service.calls.registry import CallRegistry
from modelgates_server.service.calls.relay import StreamRelay
from modelgates_server.service.calls.settling import Settling
from modelgates_server.service.holds import Holds
from modelgates_server.service.ports import AuthenticatedKey, Clock, Observer, RandomBytes, Store
from modelgates_server.service.spool_ports import Disk, PendingSettlement, Spool

replace = msgspec.structs.replace

STORED_ANSWER_MAX_BYTES = 1024 * 1024
"""Larger responses are not stored for repeats, because a day of them would fill the database."""


class Call:
    """A call whose hold is placed. `open` it, then use `answer` or `stream`.

    The task of its request runs it, and starts everything that is sent to the provider. Repeats
    that join it read the same output, and other tasks stop it while it drains without a client.
    """

    is_repeat = False

    def __init__(
        self,
        admitted: AdmittedCall,
        request: CallRequest,
        client_has_left: ClientHasLeft,
        registry: CallRegistry,
        joins: Joins,
        settling: Settling,
        observer: Observer,
        clock: Clock,
    ) -> None:
        self.generation = admitted.generation
        self.clients = Clients(client_has_left)
        self.output = CallOutput(
            self._streamed() if self.generation.streamed else self._plain(),
            joins.lease(request, self.generation.account_id),
        )
        self._attempt = RunningAttempt(admitted, clock)
        self._client_has_left = client_has_left
        self._reader = self.output.reader(client_has_left)
        self._relay: StreamRelay | None = None
        self._registry = registry
        self._joins = joins
        self._joinable = joins.add(self, request)
        self._settling = settling
        self._observer = observer
        self._clock = clock
        self._is_settled = False
        self._end_is_safe = asyncio.Event()

    async def open(self) -> None:
        """Send the request; raises the provider's error after voiding the hold."""
        try:
            await self._attempt.open()
        except GatewayError as error:
            await self._void(error)
            self.output.end(error)
            raise
        self.output.open()

    async def answer(self) -> bytes:
        """The whole response, after it is charged; raises errors after voiding the hold."""
        return b"".join([piece async for piece in self._reader.pieces()])

    def stream(self) -> AsyncIterator[bytes]:
        """The response as it arrives; its last bytes come after the commit.

        Continues after the client has disconnected, to get the usage at the end. Errors are raised
        after the commit too; `error_end` then ends the stream.
        """
        return self._reader.pieces()

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
            await self.settled()
            if self._relay is not None and error is None:
                await self._relay.close()
        finally:
            self._attempt.close()
            self.output.end(_unfinished(error))
            self._reader.close()
            self._joins.end(
                self._joinable,
                self.generation,
                self._client_has_left,
                is_served=error is None and self._reader.is_served,
            )

    async def settled(self) -> None:
        """Wait until the end is committed or spooled."""
        await self._end_is_safe.wait()

    def checkpoint(self) -> Generation:
        """See `RunningCall`."""
        generation = self._attempt.checkpoint()
        if not self.is_given_up:
            return generation
        return replace(generation, request_digest=self._joinable.digest.hex())

    @property
    def is_given_up(self) -> bool:
        """See `RunningCall`."""
        return self._joinable.is_for_retries and self.clients.have_left()

    def stop_draining(self, now_ms: int, drain_ms: int) -> None:
        """See `RunningCall`."""
        gone_ms = self.clients.gone_ms(now_ms)
        if gone_ms is not None and gone_ms >= drain_ms:
            self._attempt.stop_draining()

    async def _plain(self) -> AsyncIterator[bytes]:
        """The source of a plain response: its only piece."""
        try:
            failure = await self._attempt.read_answer()
        except GatewayError as error:
            if not self._is_settled:
                await self._void(error)
            raise
        self._check_running()
        # Output is relayed and charged even if the provider reports a failure.
        ended = self._settle(failure)
        body = self._attempt.response.answer(ended)
        await self._commit_end(ended, self._to_be_stored(ended, body))
        yield body

    async def _streamed(self) -> AsyncIterator[bytes]:
        """The source of a stream."""
        self._relay = relay = StreamRelay(self._attempt)
        try:
            async for piece in relay.pieces():
                yield piece
        except GatewayError as error:
            if not self._is_settled:
                await self._commit_end(self._settle(error))
            raise
        self._check_running()
        await self._commit_end(self._settle(None))
        yield self._attempt.response.end(self.generation)

    def _check_running(self) -> None:
        """Raise if the call was given up while a repeat read the rest of its response."""
        if self._is_settled:
            raise _unfinished(None)

    async def _settle_unfinished(self, error: BaseException | None) -> None:
        """Charge the part of a stream that was relayed; void a plain call."""
        failure = _unfinished(error)
        if self.generation.streamed:
            try:
                await self._commit_end(self._settle(failure))
            except Exception:
                # Not even the relayed part can be settled: charge nothing, but end the hold.
                await self._void(failure)
                raise
        else:
            await self._void(failure)
        if isinstance(error, asyncio.CancelledError):
            failure.generation_id = self.generation.id
            raise failure from None

    async def _void(self, error: GatewayError) -> None:
        """End a call of which the client has received nothing."""
        self._attempt.discard()
        await self._commit_end(self._settle(error))
        error.generation_id = self.generation.id

    def _settle(self, failure: GatewayError | None) -> Generation:
        if isinstance(failure, ProviderError) and not self._attempt.is_drain_stopped:
            self._observer.provider_failed(self.generation, failure)
        return self._attempt.settle(failure, cancelled=self.clients.have_left())

    async def _commit_end(self, ended: Generation, answer: StoredAnswer | None = None) -> None:
        """Commit or spool the end; until then, the call counts as running."""
        self._is_settled = True
        if repairs := self._attempt.repairs:
            self._observer.repaired(ended.provider, repairs)
        try:
            await self._settling.commit_end(PendingSettlement(ended, answer))
            self.generation = ended
        finally:
            self._registry.remove(ended.id)
            self._end_is_safe.set()

    def _to_be_stored(self, ended: Generation, body: bytes) -> StoredAnswer | None:
        if ended.idempotency is None or len(body) > STORED_ANSWER_MAX_BYTES:
            return None
        return StoredAnswer(ended.account_id, ended.id, body, self._clock())


def _unfinished(error: BaseException | None) -> GatewayError:
    """The error of a call that ends before its response."""
    if isinstance(error, asyncio.CancelledError | Stopping):
        return Stopping("The server is stopping.")
    return GatewayError("The gateway failed.")


class CallService:
    """All calls of this process; `call` starts one."""

    def __init__(
        self,
        store: Store,
        served: ServedCatalog,
        spools: Sequence[Spool],
        disk: Disk,
        observer: Observer,
        clock: Clock,
        random_bytes: RandomBytes,
        timeouts: CallTimeouts,
        *,
        join_retries: bool = True,
    ) -> None:
        self._joins = joins = Joins(clock, retries=join_retries)
        self.settling = Settling(store, spools, disk, observer, clock)
        self.registry = CallRegistry(
            self.settling, Holds(store, clock), observer, clock, timeouts, joins
        )
        self._observer = observer
        self._admission = Admission(
            served, store, disk, clock, random_bytes, joins, timeouts.hold_ttl_s
        )
        self._clock = clock
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    def call(
        self, caller: AuthenticatedKey, request: CallRequest, client_has_left: ClientHasLeft
    ) -> "CallScope":
        """Make a call: `async with calls.call(…) as call`.

        Entering places the hold and raises the errors of `Admission.admit`. For a repeat it
        returns the stored response, or joins the call that it repeats. `client_has_left` returns
        whether the client has disconnected.
        """
        return CallScope(partial(self._begin, caller, request, client_has_left))

    async def _begin(
        self, caller: AuthenticatedKey, request: CallRequest, client_has_left: ClientHasLeft
    ) -> Call | JoinedCall | StoredAnswer:
        if request.idempotency_key is None:
            return await self._admit(caller, request, client_has_left)
        # One after another: the second of two repeats finds the call of the first.
        name = (caller.key_hash, request.idempotency_key)
        turn = self._turns.setdefault(name, asyncio.Lock())
        async with turn:
            return await self._admit(caller, request, client_has_left)

    async def _admit(
        self, caller: AuthenticatedKey, request: CallRequest, client_has_left: ClientHasLeft
    ) -> Call | JoinedCall | StoredAnswer:
        admitted = await self._admission.admit(caller, request)
        if isinstance(admitted, StoredAnswer):
            return admitted
        if isinstance(admitted, JoinableCall):
            return JoinedCall(admitted, request.dialect, client_has_left, self._joins)
        call = Call(
            admitted,
            request,
            client_has_left,
            self.registry,
            self._joins,
            self.settling,
            self._observer,
            self._clock,
        )
        self.registry.add(call)
        return call


class CallScope:
    """The scope of a call: leaving it ends the call, even after an exception."""

    def __init__(self, begin: Callable[[], Awaitable[Call | JoinedCall | StoredAnswer]]) -> None:
        self._begin = begin
        self._call: Call | JoinedCall | None = None

    async def __aenter__(self) -> Call | JoinedCall | StoredAnswer:
        call = await self._begin()
        if not isinstance(call, StoredAnswer):
            self._call = call
        return call

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        if self._call is not None:
            await self._call.close(error)
