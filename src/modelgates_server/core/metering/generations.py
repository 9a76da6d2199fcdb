"""Generations: the record of one metered call, from its hold to its receipt."""

from enum import StrEnum
from typing import Any

import msgspec

from modelgates_server.core.ids import base62
from modelgates_server.core.ledger.commands import Command, HoldCommand
from modelgates_server.core.ledger.records import Entry, HoldState
from modelgates_server.core.money import Pico
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.core.pricing.prices import ReceiptLine, dollars
from modelgates_server.core.pricing.service_tiers import service_tier_named
from modelgates_server.core.pricing.usage import Usage
from modelgates_server.core.times import quarter_hour_of

ID_BYTES = 15
_ID_CHARS = 21
HEADER_MAX_CHARS = 255

LATE_USAGE = "late_usage"
"""The receipt line of usage that was charged after the hold of the call had expired."""

CALL_LOST = "call_lost"
"""The error code of a call whose process died, so that no exception could name one."""

_ERROR_CODES = {
    "GatewayError": "internal_error",
    "ProviderRateLimited": "provider_rate_limited",
    "ProviderRefused": "provider_refused",
    "ProviderTimedOut": "provider_timed_out",
    "ProviderUnavailable": "provider_unavailable",
    "Stopping": "server_stopping",
    "lost with its process": CALL_LOST,
}
"""The errors that versions up to 0.3 stored, and their codes."""


class UsageWarning(StrEnum):
    """An oddity in a provider's usage report, counted in a metric and stored for the operator."""

    COUNT_REFUSED = "count_refused"
    ZERO_ESTIMATED = "zero_estimated"
    UNITS_UNPRICED = "units_unpriced"
    COST_DIFFERS = "cost_differs"


class Origin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The caller, as the request describes it: recorded, never trusted.

    `user` is the caller's end user; `title` and `referer` are the app (OpenRouter's attribution).
    """

    request_id: str
    user: str | None = None
    session_id: str | None = None
    title: str | None = None
    referer: str | None = None
    user_agent: str | None = None


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request to one endpoint. Instants in ms; `status` is its HTTP status.

    `error` is an error code; see `core.errors`.
    """

    provider: str
    upstream_model: str
    started_at_ms: int
    first_byte_at_ms: int | None = None
    ended_at_ms: int | None = None
    status: int | None = None
    upstream_id: str | None = None
    error: str | None = None


class Generation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The record of a call. It never contains the prompt or the response.

    `state` is that of the hold. `hold_pico` was set aside and `cost_pico` charged; the amounts of
    `lines` add up to `cost_pico`. `prompt_tokens_max` and `completion_tokens_max` are the bounds
    that the hold is based on. A call with an `Idempotency-Key` has the digests of that key and of
    its body. `error` is the code of a class of `core.errors`, or `CALL_LOST`.

    The provider reports `reported` (its usage object), `served_model`, `upstream_cost_pico` and
    `native_finish_reason` (its own word for `finish_reason`).

    `service_tier` is the tier that the provider reports, and `requested_service_tier` the one that
    the client requested. The lines have the rates of `charged_service_tier` (None: standard).
    `omitted` names the parts of the request that a documented rule left out.
    """

    id: str
    account_id: str
    key_hash: str
    api: Api
    model: str
    endpoint_id: str
    provider: str
    price_id: str
    markup_bp: int
    origin: Origin
    created_at_ms: int
    hold_pico: int
    prompt_tokens_max: int
    completion_tokens_max: int
    streamed: bool
    state: HoldState = HoldState.OPEN
    ended_at_ms: int | None = None
    cost_pico: int = 0
    overrun_pico: int = 0
    lines: tuple[ReceiptLine, ...] = ()
    usage: Usage | None = None
    reported: dict[str, Any] | None = None
    cancelled: bool = False
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    served_model: str | None = None
    upstream_cost_pico: Pico | None = None
    usage_warnings: tuple[UsageWarning, ...] = ()
    error: str | None = None
    attempts: tuple[Attempt, ...] = ()
    idempotency: str | None = None
    request_digest: str | None = None
    service_tier: str | None = None
    requested_service_tier: str | None = None
    charged_service_tier: str | None = None
    omitted: tuple[str, ...] = ()

    def check_command(self, command: Command) -> None:
        """See `Attachment.check_command`."""
        assert isinstance(command, HoldCommand), "a generation belongs to a hold"
        assert self.id == command.hold_id, "a generation belongs to its own hold"
        assert self.account_id == command.account_id, "a generation belongs to its own account"
        assert self.key_hash == command.key_hash, "a generation belongs to its own key"


class ArchivedGeneration(msgspec.Struct, frozen=True):
    """The rest of an ended generation whose record is in an archive."""

    account_id: str
    id: str
    state: HoldState
    cost_pico: int
    idempotency: str | None
    archive: str


class StoredAnswer(msgspec.Struct, frozen=True):
    """The whole response of a call with an `Idempotency-Key`, stored for a day."""

    account_id: str
    generation_id: str
    body: bytes
    at_ms: int

    def check_command(self, command: Command) -> None:
        """See `Attachment.check_command`. The store checks that the generation exists."""
        assert isinstance(command, HoldCommand), "an answer belongs to the hold of its generation"
        assert self.generation_id == command.hold_id, "an answer belongs to its own generation"
        assert self.account_id == command.account_id, "an answer belongs to its own account"


class _Activity(msgspec.Struct, frozen=True, kw_only=True):
    """The usage of one key at one endpoint of a model in a span of time."""

    key_hash: str
    model: str
    endpoint_id: str
    provider: str
    requests: int
    usage_pico: int
    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    cached_tokens: int


class ActivityRow(_Activity, frozen=True, kw_only=True):
    """The usage in one quarter hour (since 1970, UTC), as it is stored.

    A call counts when it is charged, so the rows of an account add up to its usage.
    """

    quarter_hour: int


class DailyActivity(_Activity, frozen=True, kw_only=True):
    """The usage on one UTC day (since 1970)."""

    day: int


def generation_id(random: bytes, at_ms: int) -> str:
    """Returns an id in OpenRouter's form: `gen-`, the time in seconds, 21 base62 characters."""
    assert len(random) == ID_BYTES
    return f"gen-{at_ms // 1000}-{base62(int.from_bytes(random), _ID_CHARS)}"


def repeatable_id(digest: bytes, repeat: int) -> str:
    """Returns the id of a call with an `Idempotency-Key`, the same in every process.

    `repeat` counts the earlier calls with this key that were voided. A voided call costs nothing
    and can be made again.
    """
    return f"gen-{repeat}-{base62(int.from_bytes(digest[:ID_BYTES]), _ID_CHARS)}"


def repeat_number_of(repeatable: str) -> int:
    """Returns the `repeat` that a `repeatable_id` was made with."""
    return int(repeatable.split("-")[1])


def with_error_codes(stored: Generation) -> Generation:
    """Returns a stored generation with error codes in place of the words of versions up to 0.3."""
    if stored.error is None and all(attempt.error is None for attempt in stored.attempts):
        return stored
    replace = msgspec.structs.replace
    return replace(
        stored,
        error=_error_code(stored.error),
        attempts=tuple(
            replace(attempt, error=_error_code(attempt.error)) for attempt in stored.attempts
        ),
    )


def _error_code(stored: str | None) -> str | None:
    return None if stored is None else _ERROR_CODES.get(stored, stored)


def activity_of(generation: Generation) -> ActivityRow | None:
    """Returns the row that an ended call adds to its account's activity, if any.

    Voided calls and lost calls without a charge add none.
    """
    charged = generation.state is HoldState.CAPTURED or generation.cost_pico > 0
    if generation.ended_at_ms is None or not charged:
        return None
    usage = generation.usage or Usage()
    return ActivityRow(
        quarter_hour=quarter_hour_of(generation.ended_at_ms),
        key_hash=generation.key_hash,
        model=generation.model,
        endpoint_id=generation.endpoint_id,
        provider=generation.provider,
        requests=1,
        usage_pico=generation.cost_pico,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        reasoning_tokens=usage.reasoning,
        cached_tokens=usage.cache_read,
    )


def late_activity_of(generation: Generation, late: Entry) -> ActivityRow | None:
    """Returns the row that late usage adds to the activity of the quarter hour of its entry.

    The call counts once: at its expiry, or here if the expiry charged nothing. Its tokens are those
    that the expiry counted.
    """
    if not late.amount_pico:
        return None
    return ActivityRow(
        quarter_hour=quarter_hour_of(late.at_ms),
        key_hash=generation.key_hash,
        model=generation.model,
        endpoint_id=generation.endpoint_id,
        provider=generation.provider,
        requests=1 if activity_of(generation) is None else 0,
        usage_pico=-late.amount_pico,
        prompt_tokens=0,
        completion_tokens=0,
        reasoning_tokens=0,
        cached_tokens=0,
    )


def late_usage_pico(ended: Generation, expired: Generation) -> int:
    """Returns the usage at the true end of a call that its expiry did not know."""
    known_pico = expired.cost_pico + expired.overrun_pico
    return max(0, ended.cost_pico + ended.overrun_pico - known_pico)


def with_late_usage(generation: Generation, late: Entry) -> Generation:
    """Returns a generation for its receipt, with the charge and the overrun of its late usage."""
    charged = dollars(-late.amount_pico)
    lines = (ReceiptLine(LATE_USAGE, 1, charged, charged),) if charged else ()
    return msgspec.structs.replace(
        generation,
        lines=(*generation.lines, *lines),
        cost_pico=generation.cost_pico - late.amount_pico,
        overrun_pico=generation.overrun_pico - late.overrun_pico,
    )


def uncharged_service_tier(generation: Generation) -> str | None:
    """Returns the tier that served a charged call, if the call was charged at other rates."""
    if generation.state is not HoldState.CAPTURED:
        return None
    served = service_tier_named(generation.service_tier)
    return None if served == generation.charged_service_tier else served
