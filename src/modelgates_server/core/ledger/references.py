"""References, which distinguish repeated commands from new ones.

A reference is unique within its account forever. A command is a repeat if an entry with its
reference exists. A repeat with the same parameters returns that entry; any other is rejected.
"""

from unicodedata import is_normalized, normalize

from modelgates_server.core.errors import InvalidInput, ReferenceReused
from modelgates_server.core.ledger.commands import Command, CommandResult, HoldCommand
from modelgates_server.core.ledger.records import Entry, EntryKind


def check_new_reference(command: Command) -> None:
    """Rejects a reference with a second spelling in Unicode, under which it could post twice.

    Call it for new commands only: a repeat may have any spelling that was stored. References of
    holds are not checked, because the gateway makes them itself.
    """
    reference = command.reference
    if reference.isascii() or isinstance(command, HoldCommand) or is_normalized("NFC", reference):
        return
    composed = normalize("NFC", reference)
    raise InvalidInput(
        f"The reference {reference!a} is not in Unicode NFC, so its NFC form would be another "
        f"reference. Send {composed!r} instead, in escapes {composed!a}."
    )


def stored_spellings(reference: str) -> tuple[str, ...]:
    """Returns the spellings under which a reference may be stored, the given one first.

    References that were stored before `check_new_reference` existed may be decomposed, as file
    names are on macOS.
    """
    if reference.isascii():
        return (reference,)
    decomposed = normalize("NFD", reference)
    if decomposed == reference or not is_normalized("NFC", reference):
        return (reference,)
    return reference, decomposed


def replay(prior: Entry, command: Command) -> CommandResult:
    """Returns the stored entry with the reference of a command as the command's result.

    Raises `ReferenceReused` if their parameters differ.
    """
    request = (command.kind, *(getattr(command, name) for name in command.idempotency_fields))
    if request != _recorded_request(prior):
        raise ReferenceReused(
            f"Reference {command.reference!r} was used before on account `{command.account_id}` "
            "with different parameters. Use a new reference for a new request."
        )
    return CommandResult(prior, replayed=True)


def _recorded_request(entry: Entry) -> tuple[object, ...]:
    """Returns kind and `idempotency_fields` of the command that became the entry."""
    match entry.kind:
        case EntryKind.OPEN:
            return entry.kind, entry.reason, entry.min_balance_pico
        case EntryKind.CLOSE:
            return (entry.kind,)
        case EntryKind.GRANT | EntryKind.ADJUSTMENT:
            return entry.kind, entry.amount_pico, entry.reason
        case EntryKind.HOLD | EntryKind.EXTEND:
            return entry.kind, entry.hold_id, entry.key_hash, entry.held_pico
        case EntryKind.USAGE | EntryKind.EXPIRE | EntryKind.LATE_USAGE:
            return entry.kind, entry.hold_id, entry.key_hash, entry.platform_pico
        case EntryKind.KEY_REPAIR:
            return entry.kind, entry.key_hash, entry.reason
        case EntryKind.VOID:
            return entry.kind, entry.hold_id, entry.key_hash
