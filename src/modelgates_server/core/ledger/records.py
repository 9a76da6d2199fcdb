"""The values of the ledger: accounts, holds, entries. How they change is in `rules`."""

from enum import StrEnum

import msgspec


class EntryKind(StrEnum):
    """What an entry records. `usage` is a capture; `expire` may charge like one."""

    OPEN = "open"
    CLOSE = "close"
    GRANT = "grant"
    ADJUSTMENT = "adjustment"
    HOLD = "hold"
    EXTEND = "extend"
    USAGE = "usage"
    VOID = "void"
    EXPIRE = "expire"


class PlatformAccount(StrEnum):
    """The platform's accounts, the other side of every customer entry."""

    GRANTS = "grants"
    ADJUSTMENTS = "adjustments"
    REVENUE = "revenue"


class HoldState(StrEnum):
    """An open hold ends once, in one of the other states."""

    OPEN = "open"
    CAPTURED = "captured"
    VOIDED = "voided"
    EXPIRED = "expired"


ENDS_AS = {
    EntryKind.USAGE: HoldState.CAPTURED,
    EntryKind.VOID: HoldState.VOIDED,
    EntryKind.EXPIRE: HoldState.EXPIRED,
}
"""The entries that end a hold, and what it is then."""


class Account(msgspec.Struct, frozen=True):
    """Who owns credits. Figures in picos; `last_seq` is the number of its newest entry."""

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
        """Everything that came in less everything used."""
        return self.credits_pico - self.usage_pico

    @property
    def available_pico(self) -> int:
        """What new holds may take."""
        return self.credits_pico - self.usage_pico - self.held_pico


class Hold(msgspec.Struct, frozen=True):
    """The worst case of one call. `charged_pico` and `ended_at_ms` are set when it ends."""

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

    `amount_pico` moves the balance and `held_pico` what is held, both signed. `platform_pico` goes
    to the account named by `platform`, `overrun_pico` to the platform's overrun expense; the three
    amounts of money sum to zero. The `after` figures are the account's once the entry stands.
    The first entry of an account bears its floor.
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
