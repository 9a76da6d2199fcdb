"""Keys as the API returns them, with every field that old and new official clients require."""

import uuid

import msgspec

from modelgates_server.core.keys import Key, KeyKind, limit_resets_at_ms, spent_pico, windows_at
from modelgates_server.core.times import LimitReset, format_instant
from modelgates_server.service.ports import AuthenticatedKey
from modelgates_server.web.api.amounts import Number, number, number_or_null

_ZERO = number(0)
_UNLIMITED = -1


class KeyResponse(msgspec.Struct, frozen=True):
    """An item of `GET /keys`. Amounts in dollars; only ModelGates has `kind`."""

    hash: str
    name: str
    label: str
    kind: KeyKind
    disabled: bool
    limit: Number | None
    limit_remaining: Number | None
    limit_reset: LimitReset | None
    include_byok_in_limit: bool
    usage: Number
    usage_daily: Number
    usage_weekly: Number
    usage_monthly: Number
    created_at: str
    updated_at: str | None
    expires_at: str | None
    last_used_at: str | None
    creator_user_id: str
    workspace_id: str
    byok_usage: Number = _ZERO
    byok_usage_daily: Number = _ZERO
    byok_usage_weekly: Number = _ZERO
    byok_usage_monthly: Number = _ZERO
    external_user: None = None


class RateLimit(msgspec.Struct, frozen=True):
    """Deprecated in the reference, but several clients require it with an integer."""

    requests: int = _UNLIMITED
    interval: str = "10s"
    note: str = "This field is deprecated and safe to ignore."


class FreeModelRequests(msgspec.Struct, frozen=True):
    """Requests to free models are not counted; -1 means no limit."""

    limit: int = _UNLIMITED
    remaining: int = _UNLIMITED
    used: int = 0


class KeyBudget(msgspec.Struct, frozen=True):
    """The limit of a key as one budget; `resets_at` is null for a lifetime limit."""

    limit_usd: Number
    remaining_usd: Number
    spend_usd: Number
    reset_interval: LimitReset | None
    resets_at: str | None
    include_byok: bool
    scope: str = "key_limit"
    budget_id: None = None
    guardrail_id: None = None


class CurrentKey(msgspec.Struct, frozen=True):
    """The `data` of `GET /key`. `is_free_tier`: the account never received credits."""

    label: str
    usage: Number
    usage_daily: Number
    usage_weekly: Number
    usage_monthly: Number
    limit: Number | None
    limit_remaining: Number | None
    limit_reset: LimitReset | None
    include_byok_in_limit: bool
    is_free_tier: bool
    is_management_key: bool
    is_provisioning_key: bool
    expires_at: str | None
    creator_user_id: str
    workspace_id: str
    budgets: list[KeyBudget]
    effective_budget: KeyBudget | None
    byok_usage: Number = _ZERO
    byok_usage_daily: Number = _ZERO
    byok_usage_weekly: Number = _ZERO
    byok_usage_monthly: Number = _ZERO
    rate_limit: RateLimit = RateLimit()
    free_model_daily_requests: FreeModelRequests = FreeModelRequests()
    allowed_data_regions: tuple[str, ...] = ("global",)
    organization_id: None = None


def workspace_of(account_id: str) -> str:
    """The id of an account's only workspace; derived from the account's id, so it never changes."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"modelgates:workspace:{account_id}"))


def key_response(key: Key, now_ms: int) -> KeyResponse:
    """A key as `GET /keys` lists it."""
    windows = windows_at(key, now_ms)
    return KeyResponse(
        hash=key.hash,
        name=key.name,
        label=key.label,
        kind=key.kind,
        disabled=key.disabled,
        limit=number_or_null(key.limit_pico),
        limit_remaining=number_or_null(_remaining_pico(key, now_ms)),
        limit_reset=key.limit_reset,
        include_byok_in_limit=key.include_byok_in_limit,
        usage=number(key.usage_pico),
        usage_daily=number(windows.daily_pico),
        usage_weekly=number(windows.weekly_pico),
        usage_monthly=number(windows.monthly_pico),
        created_at=format_instant(key.created_at_ms),
        updated_at=_instant_or_none(key.updated_at_ms),
        expires_at=key.expires_at,
        last_used_at=_instant_or_none(key.last_used_at_ms),
        creator_user_id=key.account_id,
        workspace_id=workspace_of(key.account_id),
    )


def current_key(key: Key, caller: AuthenticatedKey, now_ms: int) -> CurrentKey:
    """The calling key as `GET /key` returns it."""
    windows = windows_at(key, now_ms)
    budget = None if key.limit_pico is None else _budget(key, key.limit_pico, now_ms)
    return CurrentKey(
        label=key.label,
        usage=number(key.usage_pico),
        usage_daily=number(windows.daily_pico),
        usage_weekly=number(windows.weekly_pico),
        usage_monthly=number(windows.monthly_pico),
        limit=number_or_null(key.limit_pico),
        limit_remaining=number_or_null(_remaining_pico(key, now_ms)),
        limit_reset=key.limit_reset,
        include_byok_in_limit=key.include_byok_in_limit,
        is_free_tier=caller.credits_pico <= 0,
        is_management_key=key.kind is KeyKind.MANAGEMENT,
        is_provisioning_key=key.kind is KeyKind.MANAGEMENT,
        expires_at=key.expires_at,
        creator_user_id=key.account_id,
        workspace_id=workspace_of(key.account_id),
        budgets=[budget] if budget else [],
        effective_budget=budget,
    )


def _budget(key: Key, limit_pico: int, now_ms: int) -> KeyBudget:
    spent = spent_pico(key, now_ms)
    return KeyBudget(
        limit_usd=number(limit_pico),
        remaining_usd=number(limit_pico - spent),
        spend_usd=number(spent),
        reset_interval=key.limit_reset,
        resets_at=_instant_or_none(limit_resets_at_ms(key, now_ms)),
        include_byok=key.include_byok_in_limit,
    )


def _remaining_pico(key: Key, now_ms: int) -> int | None:
    return None if key.limit_pico is None else key.limit_pico - spent_pico(key, now_ms)


def _instant_or_none(at_ms: int | None) -> str | None:
    return None if at_ms is None else format_instant(at_ms)
