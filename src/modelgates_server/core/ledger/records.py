"""The records of the ledger: accounts, holds and entries. `rules` defines how they change."""

from enum import StrEnum

import msgspec


class EntryKind(StrEnum):
    """The event that an entry records.

    `usage` is a capture, and `expire` may charge like one. `late_usage` is a capture that came
    after the expiry of its hold. `key_repair` opens windows of a key's limit that a wrong clock had
    shut; it moves no money.
    """

    OPEN = "open"
    CLOSE = "close"
    GRANT = "grant"
    ADJUSTMENT = "adjustment"
    HOLD = "hold"
    EXTEND = "extend"
    USAGE = "usage"
    VOID = "void"
    EXPIRE = "expire"
    LATE_USAGE = "late_usage"
    KEY_REPAIR = "key_repair"


class PlatformAccount(StrEnum):
    """The platform's accounts: the other side of every entry of a customer."""

    GRANTS = "grants"
    ADJUSTMENTS = "adjustments"
    REVENUE = "revenue"


class HoldState(StrEnum):
    """The state of a hold. An open hold ends once, in one of the other states."""

    OPEN = "open"
    CAPTURED = "captured"
    VOIDED = "voided"
    EXPIRED = "expired"


ENDS_AS = {
    EntryKind.USAGE: HoldState.CAPTURED,
    EntryKind.VOID: HoldState.VOIDED,
    EntryKind.EXPIRE: HoldState.EXPIRED,
}
"""The kinds of entries that end a hold, and its state then."""

MAY_FOLLOW_CLOSING = frozenset({*ENDS_AS, EntryKind.LATE_USAGE})
"""The kinds of entries that a closed account can get. They charge it nothing."""


class Account(msgspec.Struct, frozen=True):
    """An owner of credits. Amounts in picos; `last_seq` is the number of the newest entry."""

    id: str
    name: str
    min_balance_pico: int
    created_at_ms: int
    closed_at_ms: int | None = None
    credits_pico: int = 0
    usage_pico: int = 0
    held_pico: int = 0
    last_seq: int = 0

    @property
    def balance_pico(self) -> int:
        """Credits minus usage."""
        return self.credits_pico - self.usage_pico

    @property
    def available_pico(self) -> int:
        """Balance minus held."""
        return self.credits_pico - self.usage_pico - self.held_pico


class Hold(msgspec.Struct, frozen=True):
    """The worst-case cost of one call. `charged_pico` and `ended_at_ms` are set at its end."""

    account_id: str
    id: str
    key_hash: str
    state: HoldState
    amount_pico: int
    created_at_ms: int
    expires_at_ms: int
    charged_pico: int | None = None
    ended_at_ms: int | None = None


class Entry(msgspec.Struct, frozen=True):
    """One immutable line of an account's journal; `seq` counts from 1 without a gap.

    `amount_pico` is added to the balance and `held_pico` to the held amount; both are signed.
    `platform_pico` is added to the platform account that `platform` names, and `overrun_pico` to
    its overrun expense. The three amounts of money sum to zero. The `after` fields are those of the
    account after this entry. The first entry of an account records its floor.
    """

    account_id: str
    seq: int
    kind: EntryKind
    reference: str
    at_ms: int
    balance_after_pico: int
    held_after_pico: int
    amount_pico: int = 0
    held_pico: int = 0
    platform: PlatformAccount | None = None
    platform_pico: int = 0
    overrun_pico: int = 0
    hold_id: str | None = None
    key_hash: str | None = None
    reason: str | None = None
    min_balance_pico: int | None = None
