"""Generations: begins metered calls, keeps those that run, commits their ends.

The order is the promise: a hold is committed before anything leaves for a provider, and an answer
ends after its capture is committed, or lies synced in the spool because the database is gone.
"""

import asyncio
import hashlib
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from modelgates_server.core.errors import (
    CallEnded,
    CallInProgress,
    HoldEnded,
    InsufficientCredits,
    KeyLimitExceeded,
    ReferenceReused,
    UnknownKey,
)
from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import (
    ID_BYTES,
    Generation,
    Origin,
    StoredAnswer,
    attempt_of,
    generation_id,
    repeatable_id,
)
from modelgates_server.core.metering.request import InferenceRequest
from modelgates_server.core.metering.routing import choose_model
from modelgates_server.core.metering.sizing import HoldQuote, PricedRequest, quote_hold
from modelgates_server.core.pricing.catalog import Catalog
from modelgates_server.core.pricing.service_tiers import service_tier_to_send
from modelgates_server.core.times import MS_PER_DAY
from modelgates_server.dialects.openai_chat.request import upstream_body
from modelgates_server.service.calls.call import Call
from modelgates_server.service.holds import Holds
from modelgates_server.service.ports import (
    AuthenticatedKey,
    Clock,
    Observer,
    PendingSettlement,
    Provider,
    RandomBytes,
    Spool,
    Store,
)

ANSWER_KEPT_MS = MS_PER_DAY
_TRIES = 4
_STOP_MAX_S = 30
_SIGNS_PER_TTL = 3


class CallRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asks for. `body` is the request's own, for telling repeats apart."""

    demand: InferenceRequest
    body: bytes
    origin: Origin
    idempotency_key: str | None = None
    max_cost_pico: int | None = None


class CallTimeouts(msgspec.Struct, frozen=True, kw_only=True):
    """How long a hold lasts without a sign of life, and an answer to nobody."""

    hold_ttl_s: int = 120
    drain_s: int = 60


class _Identity(msgspec.Struct, frozen=True):
    """The id of a new call and, if it may be repeated, the digests it is known by."""

    id: str
    idempotency: str | None = None
    request_digest: str | None = None


class CallService:
    """All calls of this process."""

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        providers: Mapping[str, Provider],
        spool: Spool,
        observer: Observer,
        clock: Clock,
        random_bytes: RandomBytes,
        patience: CallTimeouts,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._providers = providers
        self._spool = spool
        self._observer = observer
        self._clock = clock
        self._random_bytes = random_bytes
        self._patience = patience
        self._holds = Holds(store, clock)
        self._running: dict[str, _Running] = {}
        self._unsaved: dict[str, PendingSettlement] = {}
        self._kept = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def begin(self, caller: AuthenticatedKey, request: CallRequest) -> Call | StoredAnswer:
        """Place the hold of a call, or give the answer that a repeated one had.

        Raises what `core.metering.routing.choose_model` and `core.metering.sizing.quote_hold`
        raise, for repeated calls `CallInProgress`, `CallEnded` or `ReferenceReused`, and
        `StoreUnavailable`.
        """
        demand = request.demand
        route = choose_model(self._catalog, demand, caller.account_id, self._clock())
        endpoint = route.model.endpoint
        identity = await self._identify(caller, request)
        if isinstance(identity, StoredAnswer):
            return identity
        ask = PricedRequest(route.model, route.price, demand, route.markup_bp)
        generation, sized = await self._place(caller, request, ask, identity)
        body = upstream_body(
            demand,
            endpoint.upstream_model,
            cap_parameter=endpoint.cap_parameter,
            cap_tokens=sized.cap_tokens,
            service_tier=service_tier_to_send(
                route.price, demand.service_tier, endpoint.standard_service_tier
            ),
        )
        call = Call(
            generation,
            demand,
            route.model,
            route.price,
            self._providers[endpoint.provider],
            body,
            commit_end=self._settle,
            clock=self._clock,
        )
        self._running[generation.id] = _Running(call, generation.created_at_ms)
        self._idle.clear()
        return call

    async def _identify(
        self, caller: AuthenticatedKey, request: CallRequest
    ) -> _Identity | StoredAnswer:
        if request.idempotency_key is None:
            return _Identity(generation_id(self._random_bytes(ID_BYTES), self._clock()))
        # Scoped to the caller's key: two callers that choose the same text are two requests.
        scope = hashlib.sha256(f"{caller.key_hash}:{request.idempotency_key}".encode())
        digest = hashlib.sha256(request.demand.api.encode() + b"\n" + request.body).hexdigest()
        reference = scope.hexdigest()
        latest = await self._store.latest_by_idempotency_key(caller.account_id, reference)
        if latest is None:
            return _Identity(repeatable_id(scope.digest(), 0), reference, digest)
        if latest.request_digest != digest:
            raise ReferenceReused(
                "this Idempotency-Key was used before with another request; use a new one"
            )
        if not _cost_nothing(latest):
            return await self._repeated(latest)
        attempt = attempt_of(latest.id) + 1
        return _Identity(repeatable_id(scope.digest(), attempt), reference, digest)

    async def _repeated(self, first: Generation) -> StoredAnswer:
        if first.state is HoldState.OPEN:
            raise CallInProgress("A call with this Idempotency-Key is running; ask again shortly.")
        answer = await self._store.answer(first.account_id, first.id)
        if answer is None:
            raise CallEnded(
                f"The call with this Idempotency-Key has ended as {first.id} and is not made "
                "again. Plain answers of up to 1 MiB are kept for 24 hours, streamed ones are not."
            )
        return answer

    async def _place(
        self,
        caller: AuthenticatedKey,
        request: CallRequest,
        ask: PricedRequest,
        identity: _Identity,
    ) -> tuple[Generation, HoldQuote]:
        """Size and place the hold; if others were faster and the ledger refuses, size it anew."""
        for tries_left in reversed(range(_TRIES)):
            row = await self._store.account_and_key(caller.key_hash)
            if row is None:
                raise UnknownKey
            account, key = row
            now_ms = self._clock()
            sized = quote_hold(
                ask,
                account=account,
                key=key,
                at_ms=now_ms,
                max_cost_pico=request.max_cost_pico,
            )
            generation = _begun(caller, request, ask, identity, sized, now_ms)
            try:
                receipt = await self._holds.place(generation, self._patience.hold_ttl_s)
            except (InsufficientCredits, KeyLimitExceeded):
                if not tries_left:
                    raise
                continue
            except ReferenceReused:
                raise CallInProgress("This call has just been made by another request.") from None
            if receipt.replayed:
                raise CallInProgress("This call has just been made by another request.")
            return generation, sized
        raise AssertionError("the last try returns or raises")

    async def _settle(self, call: Call, settlement: PendingSettlement) -> None:
        """Commit the end of a call, or keep it until that is possible."""
        try:
            try:
                await self._commit(settlement, call.provider_done_ms)
            except asyncio.CancelledError:
                # The server stops waiting for requests. Repeating a command is always safe.
                await self._commit(settlement, call.provider_done_ms)
        except Exception as error:  # noqa: BLE001 - whatever it is, the end may not be lost
            await self._keep(settlement, error)
        finally:
            del self._running[settlement.generation.id]
            if not self._running:
                self._idle.set()

    async def _commit(
        self, settlement: PendingSettlement, provider_done_ms: int, *, first: bool = True
    ) -> None:
        """`first`: nobody else commits this one, so a repeat of ours is still to be told."""
        generation = settlement.generation
        try:
            receipt = await self._holds.end(generation, settlement.answer)
        except HoldEnded:
            # It was resolved while nobody could reach the database; a hold ends once.
            self._observer.capture_after_expiry(generation)
        else:
            if first or not receipt.replayed:
                self._observer.ended(generation, self._clock() - provider_done_ms)

    async def _keep(self, settlement: PendingSettlement, reason: Exception) -> None:
        generation = settlement.generation
        self._observer.spooled(generation, reason)
        try:
            await self._spool.put(settlement)
        except OSError as error:
            # Nowhere to write either: it is tried again from memory, and the log has the figures.
            self._observer.spooled(generation, error)
            self._unsaved[generation.id] = settlement
        finally:
            # Not before: a replay meanwhile would find nothing and take that for all.
            self._kept = True

    async def replay(self) -> None:
        """Commit what was kept, by this process or one that is gone.

        Raises `StoreUnavailable` while the database cannot take it. One that cannot be read, or
        that the books refuse, does not keep the others: its error is raised at the end.
        """
        self._kept = False  # what is kept while this runs sets it again
        try:
            trouble = await self._land_all()
        except Exception:
            self._kept = True
            raise
        if trouble:
            self._kept = True
            raise trouble[0]

    async def _land_all(self) -> list[Exception]:
        trouble = []
        for kept_id in [*await self._spool.ids(), *self._unsaved]:
            try:
                await self._land(kept_id)
            except Exception as error:  # noqa: BLE001 - it must not keep the others; it is raised
                # Its hold stands until it lands: whoever reads the log must be able to end that.
                error.add_note(f"while the kept end of {kept_id} was posted; it is tried again")
                trouble.append(error)
        return trouble

    async def _land(self, kept_id: str) -> None:
        settlement = self._unsaved.get(kept_id) or await self._spool.load(kept_id)
        if settlement is not None:
            await self._commit(settlement, settlement.generation.ended_at_ms or 0, first=False)
            if self._unsaved.pop(kept_id, None) is None:
                await self._spool.remove(kept_id)

    async def _replay_or_leave(self) -> None:
        if self._kept:
            with suppress(Exception):  # it stays where it is; upkeep tries as well, and tells
                await self.replay()

    async def live_hold_ids(self) -> set[str]:
        """The holds that are no orphans: their calls run here, or their ends are kept."""
        return {*self._running, *self._unsaved, *await self._spool.ids()}

    async def run_forever(self, every_s: float) -> None:
        """Look after the calls as long as the server runs."""
        while True:
            try:
                self.heartbeat()
                await self._replay_or_leave()
            except Exception as error:  # noqa: BLE001 - told; without ticks all holds would expire
                self._observer.maintenance_failed(error)
            await asyncio.sleep(every_s)

    def heartbeat(self) -> None:
        """Signs of life to the ledger, and an end to draining."""
        now_ms, patience = self._clock(), self._patience
        for running in tuple(self._running.values()):
            running.call.stop_draining(now_ms, patience.drain_s * 1000)
            due_ms = running.prolonged_at_ms + patience.hold_ttl_s * 1000 // _SIGNS_PER_TTL
            if now_ms >= due_ms and not running.prolonging:
                running.prolonging = True
                self._spawn(self._prolong(running))

    async def _prolong(self, running: "_Running") -> None:
        now_ms = self._clock()
        try:
            await self._holds.extend(
                running.call.checkpoint, running.step, self._patience.hold_ttl_s
            )
        except Exception as error:  # noqa: BLE001 - it is told, and tried again
            # Without the database it is tried again at the next tick, under the same number.
            self._observer.heartbeat_failed(running.call.generation, error)
        else:
            running.prolonged_at_ms = now_ms
            running.step += 1
        finally:
            running.prolonging = False

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Wait until the ends of all calls are committed or kept; their tasks have been told."""
        async with asyncio.timeout(_STOP_MAX_S):
            await self._idle.wait()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._replay_or_leave()


class _Running:
    """A running call, and when the ledger last heard that it is alive."""

    def __init__(self, call: Call, placed_at_ms: int) -> None:
        self.call = call
        self.prolonged_at_ms = placed_at_ms
        self.step = 1
        self.prolonging = False


def _cost_nothing(generation: Generation) -> bool:
    """Ended without a charge: a repeat may be made as a new call."""
    return generation.state is not HoldState.OPEN and (
        generation.state is HoldState.VOIDED
        or (generation.state is HoldState.EXPIRED and generation.cost_pico == 0)
    )


def _begun(
    caller: AuthenticatedKey,
    request: CallRequest,
    ask: PricedRequest,
    identity: _Identity,
    sized: HoldQuote,
    now_ms: int,
) -> Generation:
    return Generation(
        id=identity.id,
        account_id=caller.account_id,
        key_hash=caller.key_hash,
        api=ask.request.api,
        model=ask.model.id,
        endpoint_id=ask.model.endpoint.id,
        provider=ask.model.endpoint.provider,
        price_id=ask.price.id,
        markup_bp=ask.markup_bp,
        origin=request.origin,
        created_at_ms=now_ms,
        hold_pico=sized.amount_pico,
        prompt_tokens_max=sized.bounds.input_tokens,
        completion_tokens_max=sized.bounds.output_tokens,
        streamed=ask.request.stream,
        requested_service_tier=ask.request.service_tier,
        idempotency=identity.idempotency,
        request_digest=identity.request_digest,
    )
