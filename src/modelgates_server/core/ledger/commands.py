"""The commands of the ledger. Each is checked when it is built, so every command is well formed.

Each carries the account, a reference (unique per account for ever, see `ledger.references`) and the
time of the request. Amounts are picos.
"""

from typing import ClassVar, Protocol

import msgspec

from modelgates_server.core.errors import InvalidAmount, InvalidInput
from modelgates_server.core.ids import ACCOUNT_ID, REFERENCE_MAX_CHARS
from modelgates_server.core.ledger.records import Entry, EntryKind
from modelgates_server.core.money import ENTRY_MAX_PICO

TEXT_MAX_CHARS = 255


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """The members all commands share.

    `kind` is that of the entry a command becomes. `idempotency_fields` names the members that a
    repeat must have alike; times are not among them: retries come later.
    """

    kind: ClassVar[EntryKind]
    idempotency_fields: ClassVar[tuple[str, ...]] = ()
    account_id: str
    reference: str
    at_ms: int

    def __post_init__(self) -> None:
        assert ACCOUNT_ID.fullmatch(self.account_id), self.account_id
        check_text("reference", self.reference, REFERENCE_MAX_CHARS)
        if self.reference[0] == " " or self.reference[-1] == " ":
            raise InvalidInput("the reference starts or ends with a space")


class OpenAccount(Command, frozen=True, kw_only=True):
    """Start an account. `min_balance_pico` is zero or the negative floor it may be overdrawn to."""

    kind = EntryKind.OPEN
    idempotency_fields = ("name", "min_balance_pico")
    name: str
    min_balance_pico: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_text("name", self.name, TEXT_MAX_CHARS)
        if not -ENTRY_MAX_PICO <= self.min_balance_pico <= 0:
            raise InvalidInput("a minimum balance is zero or negative")


class CloseAccount(Command, frozen=True, kw_only=True):
    """End an account that has no balance and no open holds."""

    kind = EntryKind.CLOSE


class Grant(Command, frozen=True, kw_only=True):
    """Give credits."""

    kind = EntryKind.GRANT
    idempotency_fields = ("amount_pico", "reason")
    amount_pico: int
    reason: str

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_amount(self.amount_pico, least=1)
        check_text("reason", self.reason, TEXT_MAX_CHARS)


class Adjust(Command, frozen=True, kw_only=True):
    """Correct credits up or down; never below the account's floor."""

    kind = EntryKind.ADJUSTMENT
    idempotency_fields = ("amount_pico", "reason")
    amount_pico: int
    reason: str

    def __post_init__(self) -> None:
        super().__post_init__()
        assert type(self.amount_pico) is int, "money is integers"
        _check_amount(abs(self.amount_pico), least=1)
        check_text("reason", self.reason, TEXT_MAX_CHARS)


class HoldCommand(Command, frozen=True, kw_only=True):
    """The commands on one hold; its id names the call it was placed for.

    `key_hash` is the key that the hold counts against: so it is known which rows a command concerns
    before any is read.
    """

    idempotency_fields: ClassVar[tuple[str, ...]] = ("hold_id", "key_hash")
    hold_id: str
    key_hash: str

    def __post_init__(self) -> None:
        super().__post_init__()
        check_text("hold id", self.hold_id, REFERENCE_MAX_CHARS)


class PlaceHold(HoldCommand, frozen=True, kw_only=True):
    """Set the worst case of one call aside, for one key."""

    kind = EntryKind.HOLD
    idempotency_fields = ("hold_id", "key_hash", "amount_pico")
    amount_pico: int
    expires_at_ms: int

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_amount(self.amount_pico, least=0)


class ExtendHold(HoldCommand, frozen=True, kw_only=True):
    """Add to an open hold. `amount_pico` is what comes on top; the expiry may only move later."""

    kind = EntryKind.EXTEND
    idempotency_fields = ("hold_id", "key_hash", "amount_pico")
    amount_pico: int
    expires_at_ms: int

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_amount(self.amount_pico, least=0)


class CaptureHold(HoldCommand, frozen=True, kw_only=True):
    """Charge what was used and free the rest. Use above the hold becomes the platform's overrun."""

    kind = EntryKind.USAGE
    idempotency_fields = ("hold_id", "key_hash", "amount_pico")
    amount_pico: int

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_amount(self.amount_pico, least=0)


class VoidHold(HoldCommand, frozen=True, kw_only=True):
    """Free all of a hold."""

    kind = EntryKind.VOID


class ExpireHold(HoldCommand, frozen=True, kw_only=True):
    """Resolve a hold whose time is over; `amount_pico` is what is known to have been used."""

    kind = EntryKind.EXPIRE
    idempotency_fields = ("hold_id", "key_hash", "amount_pico")
    amount_pico: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_amount(self.amount_pico, least=0)


class CommandResult(msgspec.Struct, frozen=True):
    """The answer to a command. `replayed`: the entry was there before, and nothing changed now."""

    entry: Entry
    replayed: bool


class Attachment(Protocol):
    """What is saved in the commit of an accepted command, or not at all."""

    def check_command(self, command: Command) -> None:
        """Assert that this belongs to the command it is attached to."""


def check_text(name: str, text: str, most: int) -> None:
    """Refuse texts that are empty, too long, or hold characters that terminals act on."""
    if not text or len(text) > most:
        raise InvalidInput(f"the {name} must have 1 to {most} characters")
    if not text.isprintable():
        raise InvalidInput(f"the {name} has a control or other unprintable character")


def _check_amount(amount_pico: int, *, least: int) -> None:
    assert type(amount_pico) is int, "money is integers"
    if not least <= amount_pico <= ENTRY_MAX_PICO:
        word = "negative" if amount_pico < 0 else "zero" if amount_pico == 0 else "too large"
        raise InvalidAmount(f"the amount may not be {word}")
