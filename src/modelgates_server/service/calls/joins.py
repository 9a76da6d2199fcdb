"""Repeats that join a call instead of making another one.

A repeat with the `Idempotency-Key` of a call always belongs to it. A retry without one belongs to
a call that its client has given up: equal requests of clients that still wait are separate calls.
"""

from enum import StrEnum
from typing import Protocol

from modelgates_server.core.errors import CallInProgress
from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import Generation
from modelgates_server.dialects.dialect import ErrorReport
from modelgates_server.service.calls.call_request import CallRequest, retry_digest
from modelgates_server.service.calls.clients import ClientHasLeft, Clients
from modelgates_server.service.calls.output import CallOutput
from modelgates_server.service.calls.output_memory import Lease, OutputMemory
from modelgates_server.service.ports import Clock

JOINABLE_MS = 120_000
"""How long a retry may join a call that its client has left, and a stream is kept for repeats."""

_SWEEP_EVERY_MS = 5_000
"""There may be many kept calls, and nobody waits for their memory. Repeats check their age too."""

NOT_KEPT = "The same call is running, and cannot be joined. Retry shortly."


class Verdict(StrEnum):
    """Whether a retry joins a call, has to wait for its end, or has nothing to do with it."""

    JOINS = "joins"
    WAITS = "waits"
    UNRELATED = "unrelated"


def verdict_on_retry(
    *, gone_ms: int | None, is_served: bool, is_running: bool, is_kept: bool
) -> Verdict:
    """Whether a retry of the same request may belong to a call.

    `gone_ms` is the time since the last client of the call left; None while one is there.
    `is_served`: one client has got the whole response. `is_kept`: all of the output is in memory.
    """
    if gone_ms is None or gone_ms > JOINABLE_MS or is_served:
        return Verdict.UNRELATED
    if is_kept:
        return Verdict.JOINS
    return Verdict.WAITS if is_running else Verdict.UNRELATED


class SourceCall(Protocol):
    """The parts of a running call that the repeats of it use."""

    generation: Generation
    output: CallOutput
    clients: Clients

    def error_end(self, error: ErrorReport) -> bytes:
        """The end of a failed stream, with its cost."""

    async def settled(self) -> None:
        """Wait until the end of the call is committed or spooled."""


class JoinableCall:
    """A call of this process that repeats may join, while it runs and for a while after its end.

    After the end, neither the request nor the call stays in memory, only what repeats are sent.
    """

    def __init__(self, call: SourceCall, request: CallRequest, *, is_for_retries: bool) -> None:
        self.call: SourceCall | None = call
        self.is_for_retries = is_for_retries
        self.id = call.generation.id
        self.key_hash = call.generation.key_hash
        self.has_idempotency_key = request.idempotency_key is not None
        self.generation = call.generation
        self.output = call.output
        self.clients = call.clients
        self._request: CallRequest | None = request
        self._digest = b""

    @property
    def digest(self) -> bytes:
        """The digest of the request, computed only if a retry asks for it or the call is kept."""
        if self._request is not None and not self._digest:
            self._digest = retry_digest(self._request)
        return self._digest

    def verdict(self, now_ms: int) -> Verdict:
        """See `verdict_on_retry`."""
        return verdict_on_retry(
            gone_ms=self.clients.gone_ms(now_ms),
            is_served=self.clients.is_served,
            is_running=self.call is not None,
            is_kept=self.output.is_kept,
        )

    def end(self, ended: Generation) -> None:
        """Release everything that only a running call needs."""
        if not (self.has_idempotency_key or self.clients.is_served):
            _ = self.digest  # a retry may come
        self.call = self._request = None
        self.generation = ended

    def is_worth_keeping(self, now_ms: int) -> bool:
        """Whether a repeat may still come for the response of an ended call.

        Failed calls are not repeated. Plain responses to requests with an `Idempotency-Key` are in
        the database.
        """
        ended = self.generation
        if ended.state is not HoldState.CAPTURED or ended.error is not None:
            return False
        if not self.output.is_kept:
            return False
        if not self.has_idempotency_key:
            gone_ms = self.clients.gone_ms(now_ms)
            return not self.clients.is_served and (gone_ms is None or gone_ms <= JOINABLE_MS)
        assert ended.ended_at_ms is not None, "a captured call has ended"
        return ended.streamed and now_ms - ended.ended_at_ms <= JOINABLE_MS


class Joins:
    """The calls of this process that repeats may join.

    `retries` says whether retries without an `Idempotency-Key` may.
    """

    def __init__(self, clock: Clock, *, retries: bool) -> None:
        self._clock = clock
        self._memory = OutputMemory()
        self.retries = retries
        self._by_id: dict[str, JoinableCall] = {}
        self._by_key: dict[str, dict[str, JoinableCall]] = {}
        self._swept_at_ms = 0

    def lease(self, request: CallRequest, account_id: str) -> Lease | None:
        """Memory for the output of a call; None if no repeat may join it."""
        if request.idempotency_key is None and not self.retries:
            return None
        return self._memory.lease(account_id)

    def add(self, call: SourceCall, request: CallRequest) -> JoinableCall:
        """Add a call that starts."""
        has_key = request.idempotency_key is not None
        joinable = JoinableCall(call, request, is_for_retries=self.retries and not has_key)
        if has_key:
            self._by_id[joinable.id] = joinable
        elif self.retries:
            self._by_key.setdefault(joinable.key_hash, {})[joinable.id] = joinable
        return joinable

    def by_id(self, generation_id: str) -> JoinableCall | None:
        """The call with an `Idempotency-Key` that has this id; None if it is not here.

        Raises `CallInProgress` if it is running and cannot be joined.
        """
        joinable = self._by_id.get(generation_id)
        if joinable is None or self._drop_if_useless(joinable, self._clock()):
            return None
        if joinable.output.is_kept:
            return joinable
        if joinable.call is not None:
            raise CallInProgress(NOT_KEPT)
        return None

    def knows(self, key_hash: str, generation_id: str) -> bool:
        """Whether a call without an `Idempotency-Key` runs in this process, or has ended here."""
        return generation_id in self._by_key.get(key_hash, {})

    def of_retry(self, key_hash: str, request: CallRequest) -> JoinableCall | None:
        """The call that a retry belongs to, if any.

        Raises `CallInProgress` if it is running and cannot be joined.
        """
        if not (self.retries and request.is_retry):
            return None
        calls = self._by_key.get(key_hash)
        if not calls:
            return None
        now_ms, digest, has_to_wait = self._clock(), retry_digest(request), False
        for joinable in calls.values():
            # There may be thousands of calls that have ended; their digests are known.
            if joinable.call is None and joinable.digest != digest:
                continue
            verdict = joinable.verdict(now_ms)
            if verdict is Verdict.UNRELATED or joinable.digest != digest:
                continue
            if verdict is Verdict.JOINS:
                return joinable
            has_to_wait = True
        if has_to_wait:
            raise CallInProgress(NOT_KEPT)
        return None

    def end(
        self,
        joinable: JoinableCall,
        ended: Generation,
        has_left: ClientHasLeft,
        *,
        is_served: bool,
    ) -> None:
        """A call ends with its own request; the response is kept if a repeat may come for it."""
        now_ms = self._clock()
        joinable.clients.remove(has_left, now_ms, is_served=is_served)
        joinable.end(ended)
        self._drop_if_useless(joinable, now_ms)

    def leave(self, joinable: JoinableCall, has_left: ClientHasLeft, *, is_served: bool) -> None:
        """The request of a repeat ends; it may have been the one for which a response was kept."""
        now_ms = self._clock()
        joinable.clients.remove(has_left, now_ms, is_served=is_served)
        self._drop_if_useless(joinable, now_ms)

    def sweep(self) -> None:
        """Forget the responses that no repeat may ask for any more, every few seconds."""
        now_ms = self._clock()
        if 0 <= now_ms - self._swept_at_ms < _SWEEP_EVERY_MS:
            return
        self._swept_at_ms = now_ms
        kept = [*self._by_id.values()]
        for calls in self._by_key.values():
            kept += calls.values()
        for joinable in kept:
            self._drop_if_useless(joinable, now_ms)

    def _drop_if_useless(self, joinable: JoinableCall, now_ms: int) -> bool:
        """Forget a call that no repeat may join any more; returns whether it was forgotten."""
        if joinable.call is not None or joinable.is_worth_keeping(now_ms):
            return False
        joinable.output.forget()
        self._by_id.pop(joinable.id, None)
        calls = self._by_key.get(joinable.key_hash)
        if calls is not None and calls.pop(joinable.id, None) is not None and not calls:
            del self._by_key[joinable.key_hash]
        return True
