"""A repeated command is answered as at first; one that asks for something else is refused."""

import unicodedata
from collections.abc import Callable

import msgspec
import pytest

from modelgates_server.core.errors import (
    HoldNotFound,
    InsufficientCredits,
    InvalidInput,
    ReferenceReused,
)
from modelgates_server.core.ledger import commands as c
from modelgates_server.core.ledger.records import EntryKind
from modelgates_server.core.ledger.references import stored_spellings
from tests.core.conftest import OneAccount
from tests.support import (
    DOLLAR,
    T0_MS,
    adjust,
    capture,
    closing,
    expire,
    extend,
    grant,
    new_account_id,
    opening,
    place,
    void,
)

COMPOSED, DECOMPOSED = "Rechnung f\u00fcr M\u00e4rz", "Rechnung fu\u0308r Ma\u0308rz"


@pytest.mark.parametrize("reference", [DECOMPOSED, "Rechnung f\u00fcr Ma\u0308rz", "1 \u212b"])
def test_new_reference_is_refused_when_it_is_not_in_nfc(books: OneAccount, reference: str) -> None:
    for command in (
        grant(books.id, 5, reference),
        adjust(books.id, 5, reference),
        closing(books.id, reference),
        opening(new_account_id(), reference=reference),
    ):
        message = str(books.refusal(command, InvalidInput))
        assert unicodedata.normalize("NFC", reference) in message
        assert ascii(unicodedata.normalize("NFC", reference)) in message


def test_new_reference_is_taken_when_it_is_in_nfc(books: OneAccount) -> None:
    for reference in (COMPOSED, "株式会社 🙂", "Ж", "\ufb01"):
        assert not books.run(grant(books.id, 5, reference)).replayed
        assert books.run(grant(books.id, 5, reference)).replayed


def test_hold_placed_under_any_id_can_end(books: OneAccount) -> None:
    hold_id = f"call {DECOMPOSED}"
    books.at_first(place(books.id, books.key_hash, hold_id, 3))
    books.at_first(capture(books.id, books.key_hash, hold_id, 2))


REPEATED: list[Callable[[OneAccount], c.Command]] = [
    lambda b: opening(b.id),
    lambda b: grant(b.id, 10 * DOLLAR),
    lambda b: adjust(b.id, -1),
    lambda b: place(b.id, b.key_hash, "h", 5),
    lambda b: extend(b.id, b.key_hash, "h", "1", 3),
    lambda b: capture(b.id, b.key_hash, "h", 9),
    lambda b: void(b.id, b.key_hash, "v"),
    lambda b: expire(b.id, b.key_hash, "e", T0_MS + 600_000, 2),
    lambda b: closing(b.id),
]


def every_kind(books: OneAccount) -> list[c.Command]:
    """One command of each kind, in an order in which all are taken."""
    for hold_id in ("v", "e"):
        books.run(place(books.id, books.key_hash, hold_id, 1))
    commands = [build(books) for build in REPEATED]
    for command in commands[:-1]:
        books.run(command)
    left = books.accounts[books.id].balance_pico
    books.run(adjust(books.id, -left, "empty"))
    books.run(commands[-1])
    return commands


def test_a_repeated_command_changes_nothing_and_answers_as_at_first(books: OneAccount) -> None:
    commands = every_kind(books)
    assert {entry.kind for entry in books.journal} == set(EntryKind)
    figures, journal = books.figures, list(books.journal)
    for command in commands:
        receipt = books.run(msgspec.structs.replace(command, at_ms=T0_MS + 999_999))
        assert receipt.replayed
        assert receipt.entry in journal
        assert receipt.entry.reference == command.reference
    assert (books.figures, books.journal) == (figures, journal)


@pytest.mark.parametrize(
    ("index", "other"),
    [
        (0, {"name": "other"}),
        (0, {"min_balance_pico": -1}),
        (1, {"amount_pico": 1}),
        (1, {"reason": "other"}),
        (2, {"amount_pico": 1}),
        (2, {"reason": "other"}),
        (3, {"amount_pico": 6}),
        (3, {"hold_id": "other"}),
        (3, {"key_hash": "f" * 64}),
        (4, {"amount_pico": 4}),
        (4, {"hold_id": "v"}),
        (4, {"key_hash": "f" * 64}),
        (5, {"amount_pico": 8}),
        (5, {"hold_id": "v"}),
        (5, {"key_hash": "f" * 64}),
        (6, {"hold_id": "h"}),
        (6, {"key_hash": "f" * 64}),
        (7, {"amount_pico": 0}),
        (7, {"hold_id": "h"}),
        (7, {"key_hash": "f" * 64}),
    ],
)
def test_a_reference_that_comes_again_for_something_else_is_refused(
    books: OneAccount, index: int, other: dict[str, object]
) -> None:
    command = msgspec.structs.replace(every_kind(books)[index], **other)
    message = str(books.refusal(command, ReferenceReused))
    assert message == (
        f"Reference {command.reference!r} was used before on account `{books.id}` with different "
        "parameters. Use a new reference for a new request."
    )


def test_a_reference_that_comes_again_for_another_kind_is_refused(books: OneAccount) -> None:
    commands = every_kind(books)
    for first in commands:
        for other in commands:
            if type(first) is not type(other):
                changed = msgspec.structs.replace(other, reference=first.reference)
                books.refusal(changed, ReferenceReused)


def test_overrun_is_part_of_what_was_asked(books: OneAccount) -> None:
    books.run(place(books.id, books.key_hash, "h", 5))
    books.run(capture(books.id, books.key_hash, "h", 9))
    books.refusal(capture(books.id, books.key_hash, "h", 5), ReferenceReused)
    assert books.run(capture(books.id, books.key_hash, "h", 9)).replayed


def test_a_refused_command_leaves_its_reference_free(books: OneAccount) -> None:
    books.refusal(adjust(books.id, -11 * DOLLAR, "r"), InsufficientCredits)
    books.refusal(void(books.id, books.key_hash, "none"), HoldNotFound)
    books.at_first(adjust(books.id, -10 * DOLLAR, "r"))


def test_references_of_two_accounts_do_not_meet(books: OneAccount) -> None:
    other = new_account_id()
    books.run(opening(other))
    books.at_first(grant(other, 1))
    assert books.figures == (10 * DOLLAR, 0, 0)
    assert books.accounts[other].credits_pico == 1


@pytest.mark.parametrize(
    ("reference", "spellings"),
    [
        ("plain", ("plain",)),
        ("\u00fcber", ("\u00fcber", "u\u0308ber")),
        ("u\u0308ber", ("u\u0308ber",)),
        ("\u4e2d", ("\u4e2d",)),
    ],
    ids=["ascii", "composed", "decomposed", "of one form"],
)
def test_reference_may_be_stored_decomposed_when_it_is_composed(
    reference: str, spellings: tuple[str, ...]
) -> None:
    assert stored_spellings(reference) == spellings
