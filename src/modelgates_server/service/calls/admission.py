"""Admits calls: identifies a call, chooses its model, and places a hold for its worst-case cost."""

import hashlib
from collections.abc import Mapping

import msgspec

from modelgates_server.core.errors import (
    CallEnded,
    CallInProgress,
    DiskFull,
    InsufficientCredits,
    KeyLimitExceeded,
    ReferenceReused,
    UnknownKey,
)
from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import (
    ID_BYTES,
    ArchivedGeneration,
    Generation,
    StoredAnswer,
    generation_id,
    repeat_number_of,
    repeatable_id,
)
from modelgates_server.core.metering.request import InferenceRequest
from modelgates_server.core.metering.routing import choose_model
from modelgates_server.core.metering.sizing import HoldQuote, PricedRequest, quote_hold
from modelgates_server.core.pricing.catalog import Catalog, Model
from modelgates_server.core.pricing.prices import Price
from modelgates_server.dialects.pairing import Pairing, pairing_of
from modelgates_server.service.calls.call_request import CallRequest, keyed_digest, retry_digest
from modelgates_server.service.calls.joins import NOT_KEPT, JoinableCall, Joins
from modelgates_server.service.calls.outgoing import RefusedParameters
from modelgates_server.service.holds import Holds
from modelgates_server.service.ports import AuthenticatedKey, Clock, Provider, RandomBytes, Store
from modelgates_server.service.spool_ports import Disk

_TRIES = 4
_HOLDS_MAX = 100
"""The oldest open holds of an account among which a retry looks for its call."""

_JUST_MADE = "Another request has just made this call. Retry shortly."


class CallTimeouts(msgspec.Struct, frozen=True, kw_only=True):
    """`hold_ttl_s`: how long a hold lasts without a heartbeat. `drain_s`: without a client."""

    hold_ttl_s: int = 120
    drain_s: int = 60


class ServedModel(msgspec.Struct, frozen=True):
    """A model with its price and provider, as they were when the call was admitted."""

    model: Model
    price: Price
    markup_bp: int
    provider: Provider
    refused: RefusedParameters


class ServedCatalog(msgspec.Struct, frozen=True):
    """All models and providers. It is replaced as a whole, and never changed.

    Only what their endpoints have `refused` is learned from calls.
    """

    catalog: Catalog
    providers: Mapping[str, Provider]
    refused: RefusedParameters

    def choose(self, request: InferenceRequest, account_id: str, at_ms: int) -> ServedModel:
        """The model that serves a request; raises the errors of `routing.choose_model`."""
        choice = choose_model(self.catalog, request, account_id, at_ms)
        provider = self.providers[choice.model.endpoint.provider]
        return ServedModel(choice.model, choice.price, choice.markup_bp, provider, self.refused)


class AdmittedCall(msgspec.Struct, frozen=True):
    """A call whose hold is placed. `cap_tokens` is the output limit if the gateway sets it."""

    generation: Generation
    pairing: Pairing
    served: ServedModel
    cap_tokens: int | None


class _Identity(msgspec.Struct, frozen=True):
    """The id of a new call, and the digests that identify its repeats."""

    id: str
    idempotency: str | None = None
    request_digest: str | None = None


class Admission:
    """Places the holds of calls. `served` is the catalog for calls that start from now on."""

    def __init__(
        self,
        served: ServedCatalog,
        store: Store,
        disk: Disk,
        clock: Clock,
        random_bytes: RandomBytes,
        joins: Joins,
        hold_ttl_s: int,
    ) -> None:
        self._served = served
        self._store = store
        self._disk = disk
        self._holds = Holds(store, clock)
        self._clock = clock
        self._random_bytes = random_bytes
        self._joins = joins
        self._hold_ttl_s = hold_ttl_s

    async def admit(
        self, caller: AuthenticatedKey, request: CallRequest
    ) -> AdmittedCall | StoredAnswer | JoinableCall:
        """Place the hold of a call, or return what a repeat gets: a stored response, or a call.

        Raises the errors of `core.metering.routing.choose_model` and
        `core.metering.sizing.quote_hold`, `StoreUnavailable`, `DiskFull` if a new call might use up
        the room that the ends of calls need, and for repeats `CallInProgress`, `CallEnded` or
        `ReferenceReused`.
        """
        served = self._served.choose(request.inference, caller.account_id, self._clock())
        pairing = pairing_of(request.dialect, request.inference, served.model)
        pairing.upstream.refuse_unsendable(pairing.outgoing, served.model.endpoint)
        identity = await self._identify(caller, request)
        if not isinstance(identity, _Identity):
            return identity
        priced = PricedRequest(served.model, served.price, pairing.outgoing, served.markup_bp)
        generation, quote = await self._place(caller, request, priced, identity)
        return AdmittedCall(generation, pairing, served, quote.cap_tokens)

    async def _identify(
        self, caller: AuthenticatedKey, request: CallRequest
    ) -> _Identity | StoredAnswer | JoinableCall:
        if request.idempotency_key is None:
            if (joinable := self._joins.of_retry(caller.key_hash, request)) is not None:
                return joinable
            if self._joins.retries and request.is_retry:
                await self._check_other_processes(caller, request)
            return _Identity(generation_id(self._random_bytes(ID_BYTES), self._clock()))
        # Scoped to the caller's key: the same text from two callers means two requests.
        scope = hashlib.sha256(f"{caller.key_hash}:{request.idempotency_key}".encode())
        digest = keyed_digest(request)
        reference = scope.hexdigest()
        latest = await self._store.latest_by_idempotency_key(caller.account_id, reference)
        if latest is None:
            return _Identity(repeatable_id(scope.digest(), 0), reference, digest)
        if isinstance(latest, Generation) and latest.request_digest != digest:
            raise ReferenceReused(
                "This Idempotency-Key was used with another request. Use a new one."
            )
        if not _cost_nothing(latest) or await self._store.late_usage(latest.account_id, latest.id):
            return await self._response_of(latest)
        repeat = repeat_number_of(latest.id) + 1
        return _Identity(repeatable_id(scope.digest(), repeat), reference, digest)

    async def _check_other_processes(self, caller: AuthenticatedKey, request: CallRequest) -> None:
        """Raise `CallInProgress` if another process runs the call that this retry belongs to.

        That process saves the digest of a call as soon as it sees that the client has left.
        """
        digest = retry_digest(request).hex()
        for hold, _ in await self._store.open_holds(caller.account_id, limit=_HOLDS_MAX):
            if hold.key_hash != caller.key_hash or self._joins.knows(hold.key_hash, hold.id):
                continue
            running = await self._store.generation(hold.account_id, hold.id)
            if running is not None and running.request_digest == digest:
                raise CallInProgress(NOT_KEPT)

    async def _response_of(
        self, first: Generation | ArchivedGeneration
    ) -> StoredAnswer | JoinableCall:
        if (joinable := self._joins.by_id(first.id)) is not None:
            return joinable
        if first.state is HoldState.OPEN:
            raise CallInProgress("A call with this Idempotency-Key is running. Retry shortly.")
        answer = await self._store.answer(first.account_id, first.id)
        if answer is None:
            raise CallEnded(
                f"The call with this Idempotency-Key has completed as {first.id} and will not be "
                "repeated. Plain responses of up to 1 MiB are stored for 24 hours; streams are "
                "kept for 2 minutes. Use a new Idempotency-Key for a new call."
            )
        return answer

    async def _place(
        self,
        caller: AuthenticatedKey,
        request: CallRequest,
        priced: PricedRequest,
        identity: _Identity,
    ) -> tuple[Generation, HoldQuote]:
        """Quote and place the hold; if another call was faster and the ledger rejects it, retry."""
        self._disk.require_room()
        for tries_left in reversed(range(_TRIES)):
            row = await self._store.account_and_key(caller.key_hash)
            if row is None:
                raise UnknownKey
            account, key = row
            now_ms = self._clock()
            quote = quote_hold(
                priced,
                account=account,
                key=key,
                at_ms=now_ms,
                max_cost_pico=request.max_cost_pico,
            )
            generation = _open_generation(caller, request, priced, identity, quote, now_ms)
            try:
                result = await self._holds.place(generation, self._hold_ttl_s)
            except (InsufficientCredits, KeyLimitExceeded):
                if not tries_left:
                    raise
                continue
            except ReferenceReused:
                raise CallInProgress(_JUST_MADE) from None
            except DiskFull:
                self._disk.met_full()
                raise
            if result.replayed:
                raise CallInProgress(_JUST_MADE)
            return generation, quote
        raise AssertionError("the last try returns or raises")


def _cost_nothing(generation: Generation | ArchivedGeneration) -> bool:
    """Whether the call ended without a charge, so that a repeat may be a new call."""
    return generation.state is not HoldState.OPEN and (
        generation.state is HoldState.VOIDED
        or (generation.state is HoldState.EXPIRED and generation.cost_pico == 0)
    )


def _open_generation(
    caller: AuthenticatedKey,
    request: CallRequest,
    priced: PricedRequest,
    identity: _Identity,
    quote: HoldQuote,
    now_ms: int,
) -> Generation:
    inference, endpoint = request.inference, priced.model.endpoint
    return Generation(
        id=identity.id,
        account_id=caller.account_id,
        key_hash=caller.key_hash,
        api=inference.api,
        model=priced.model.id,
        endpoint_id=endpoint.id,
        provider=endpoint.provider,
        price_id=priced.price.id,
        markup_bp=priced.markup_bp,
        origin=request.origin,
        created_at_ms=now_ms,
        hold_pico=quote.amount_pico,
        prompt_tokens_max=quote.bounds.input_tokens,
        completion_tokens_max=quote.bounds.output_tokens,
        streamed=inference.stream,
        requested_service_tier=inference.service_tier,
        idempotency=identity.idempotency,
        request_digest=identity.request_digest,
        omitted=priced.request.omitted,
    )
