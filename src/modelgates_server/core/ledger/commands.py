"""The commands of the ledger. A command checks itself when it is built, so all are well formed.

Each has an account, a reference (unique within the account forever, see `ledger.references`) and
the time of the request. Amounts are picos.
"""

from typing import ClassVar, Protocol

import msgspec

from modelgates_server.core.errors import InvalidAmount, InvalidInput
from modelgates_server.core.ids import ACCOUNT_ID, REFERENCE_MAX_CHARS
from modelgates_server.core.keys import WindowUsage
from modelgates_server.core.ledger.records import Entry, EntryKind
from modelgates_server.core.money import ENTRY_MAX_PICO, format_pico

TEXT_MAX_CHARS = 255


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """The base of all commands.

    `kind` is that of the resulting entry. `idempotency_fields` names the fields that must be equal
    in a repeat. Times are never among them, because repeats come later.
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
            raise InvalidInput(
                f"The reference {self.reference!r} starts or ends with a space. Remove the space."
            )


class OpenAccount(Command, frozen=True, kw_only=True):
    """Opens an account. `min_balance_pico` is 0, or the negative floor of its balance."""

    kind = EntryKind.OPEN
    idempotency_fields = ("name", "min_balance_pico")
    name: str
    min_balance_pico: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_text("name", self.name, TEXT_MAX_CHARS)
        if not -ENTRY_MAX_PICO <= self.min_balance_pico <= 0:
            raise InvalidInput(
                f"The minimum balance {format_pico(self.min_balance_pico)} is out of range. "
                "Give 0, or the negative balance that the account may be overdrawn to."
            )


class CloseAccount(Command, frozen=True, kw_only=True):
    """Closes an account that has no balance and no open holds."""

    kind = EntryKind.CLOSE


class Grant(Command, frozen=True, kw_only=True):
    """Gives credits."""

    kind = EntryKind.GRANT
    idempotency_fields = ("amount_pico", "reason")
    amount_pico: int
    reason: str

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_amount(self.amount_pico, least=1)
        check_text("reason", self.reason, TEXT_MAX_CHARS)


class Adjust(Command, frozen=True, kw_only=True):
    """Corrects credits up or down, but never below the account's floor."""

    kind = EntryKind.ADJUSTMENT
    idempotency_fields = ("amount_pico", "reason")
    amount_pico: int
    reason: str

    def __post_init__(self) -> None:
        super().__post_init__()
        assert type(self.amount_pico) is int, "money is integers"
        _check_amount(abs(self.amount_pico), least=1)
        check_text("reason", self.reason, TEXT_MAX_CHARS)


class KeyCommand(Command, frozen=True, kw_only=True):
    """The base of the commands that concern one key.

    With `key_hash`, a command names all rows that it concerns, so they are known before any row is
    read.
    """

    key_hash: str


class RepairKey(KeyCommand, frozen=True, kw_only=True):
    """Sets the usage in the windows of a key whose last charge is dated after `at_ms`.

    A wrong clock dated it. `windows` are the sums of the key's entries in the windows of `at_ms`,
    read when the key had used `usage_pico`.
    """

    kind = EntryKind.KEY_REPAIR
    idempotency_fields = ("key_hash", "reason")
    reason: str
    windows: WindowUsage
    usage_pico: int

    def __post_init__(self) -> None:
        super().__post_init__()
        check_text("reason", self.reason, TEXT_MAX_CHARS)


class HoldCommand(KeyCommand, frozen=True, kw_only=True):
    """The base of the commands on one hold, whose id is that of its call.

    `key_hash` is the key whose limit the hold counts against.
    """

    idempotency_fields: ClassVar[tuple[str, ...]] = ("hold_id", "key_hash")
    hold_id: str

    def __post_init__(self) -> None:
        super().__post_init__()
        check_text("hold id", self.hold_id, REFERENCE_MAX_CHARS)


class PlaceHold(HoldCommand, frozen=True, kw_only=True):
    """Sets aside the worst-case cost of one call, for one key."""

    kind = EntryKind.HOLD
    idempotency_fields = ("hold_id", "key_hash", "amount_pico")
    amount_pico: int
    expires_at_ms: int

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_amount(self.amount_pico, least=0)


class ExtendHold(HoldCommand, frozen=True, kw_only=True):
    """Adds `amount_pico` to an open hold. The expiry can only move later."""

    kind = EntryKind.EXTEND
    idempotency_fields = ("hold_id", "key_hash", "amount_pico")
    amount_pico: int
    expires_at_ms: int

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_amount(self.amount_pico, least=0)


class CaptureHold(HoldCommand, frozen=True, kw_only=True):
    """Charges the usage and releases the rest. The platform pays an overrun above the hold."""

    kind = EntryKind.USAGE
    idempotency_fields = ("hold_id", "key_hash", "amount_pico")
    amount_pico: int

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_amount(self.amount_pico, least=0)


class VoidHold(HoldCommand, frozen=True, kw_only=True):
    """Releases all of a hold."""

    kind = EntryKind.VOID


class ExpireHold(HoldCommand, frozen=True, kw_only=True):
    """Resolves a hold that has expired; `amount_pico` is the usage that is known."""

    kind = EntryKind.EXPIRE
    idempotency_fields = ("hold_id", "key_hash", "amount_pico")
    amount_pico: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_amount(self.amount_pico, least=0)


class CaptureLate(HoldCommand, frozen=True, kw_only=True):
    """Charges usage that became known after the hold had expired.

    `amount_pico` is the usage beyond that of the expiry. The account pays it up to the part of the
    hold that the expiry did not charge, as far as its available credits allow; the platform pays
    the rest, as an overrun. The hold does not record the charge, so its reference is fixed: that
    is what makes a second one impossible.
    """

    kind = EntryKind.LATE_USAGE
    idempotency_fields = ("hold_id", "key_hash", "amount_pico")
    amount_pico: int

    def __post_init__(self) -> None:
        super().__post_init__()
        assert self.reference == f"late:{self.hold_id}", "late usage is charged once for a hold"
        _check_amount(self.amount_pico, least=0)


class CommandResult(msgspec.Struct, frozen=True):
    """The result of a command. `replayed`: the entry existed before, and nothing has changed."""

    entry: Entry
    replayed: bool


class Attachment(Protocol):
    """Something that is saved in the commit of an accepted command, or not at all."""

    def check_command(self, command: Command) -> None:
        """Asserts that this belongs to the command it is attached to."""


def check_text(name: str, text: str, most: int) -> None:
    """Rejects texts that are empty, too long, or contain characters that terminals act on."""
    if not text or len(text) > most:
        raise InvalidInput(
            f"The {name} must have 1 to {most} characters. This one has {len(text)}."
        )
    if not text.isprintable():
        raise InvalidInput(
            f"The {name} has a control or other unprintable character: {text!a:.80}. Remove it."
        )


def _check_amount(amount_pico: int, *, least: int) -> None:
    assert type(amount_pico) is int, "money is integers"
    if not least <= amount_pico <= ENTRY_MAX_PICO:
        word = "negative" if amount_pico < 0 else "zero" if amount_pico == 0 else "too large"
        raise InvalidAmount(
            f"The amount {format_pico(amount_pico)} is {word}. "
            f"Give {format_pico(least)} to {format_pico(ENTRY_MAX_PICO)} dollars."
        )
