"""References: what tells a repeated command from a new one.

A reference is unique on its account for ever. A command whose reference bears an entry already is a
repeat: it is answered with that entry if it asks the same, and refused if it does not.
"""

from unicodedata import is_normalized, normalize

from modelgates_server.core.errors import InvalidInput, ReferenceReused
from modelgates_server.core.ledger.commands import Command, CommandResult, HoldCommand
from modelgates_server.core.ledger.records import Entry, EntryKind


def check_new_reference(command: Command) -> None:
    """Refuse a reference that people could write in a second way, so that it would post twice.

    Only for commands that are new: a stored reference replays as it was stored. The references of
    holds are ours.
    """
    reference = command.reference
    if reference.isascii() or isinstance(command, HoldCommand) or is_normalized("NFC", reference):
        return
    composed = normalize("NFC", reference)
    raise InvalidInput(
        f"the reference is not in Unicode NFC, and its other spelling would count as another "
        f"reference; send it as {composed!r}, in escapes {composed!a}"
    )


def stored_spellings(reference: str) -> tuple[str, ...]:
    """The texts under which a reference may be stored, the one that came first.

    References of before the rule of `check_new_reference` may be decomposed, as macOS writes file
    names.
    """
    if reference.isascii():
        return (reference,)
    decomposed = normalize("NFD", reference)
    if decomposed == reference or not is_normalized("NFC", reference):
        return (reference,)
    return reference, decomposed


def replay(prior: Entry, command: Command) -> CommandResult:
    """Answer a command with the entry that bears its reference, if it asks the same.

    Raises `ReferenceReused` if it does not.
    """
    request = (command.kind, *(getattr(command, name) for name in command.idempotency_fields))
    if request != _recorded_request(prior):
        raise ReferenceReused(
            f"reference {command.reference!r} was used before on account {command.account_id} with "
            "other parameters; use a new reference for a new request"
        )
    return CommandResult(prior, replayed=True)


def _recorded_request(entry: Entry) -> tuple[object, ...]:
    """Kind and `idempotency_fields` of the command that became the entry."""
    match entry.kind:
        case EntryKind.OPEN:
            return entry.kind, entry.reason, entry.min_balance_pico
        case EntryKind.CLOSE:
            return (entry.kind,)
        case EntryKind.GRANT | EntryKind.ADJUSTMENT:
            return entry.kind, entry.amount_pico, entry.reason
        case EntryKind.HOLD | EntryKind.EXTEND:
            return entry.kind, entry.hold_id, entry.key_hash, entry.held_pico
        case EntryKind.USAGE | EntryKind.EXPIRE:
            return entry.kind, entry.hold_id, entry.key_hash, entry.platform_pico
        case EntryKind.VOID:
            return entry.kind, entry.hold_id, entry.key_hash
