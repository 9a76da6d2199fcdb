import unicodedata
from collections.abc import Callable

import msgspec
import pytest

from modelgates_server.core.errors import (
    AccountClosed,
    AccountExists,
    AccountNotEmpty,
    AccountNotFound,
    HoldNotFound,
    InsufficientCredits,
    InvalidInput,
    ReferenceReused,
    TotalTooLarge,
)
from modelgates_server.core.ledger import commands as c
from modelgates_server.core.ledger.records import Account, Entry, EntryKind, PlatformAccount
from modelgates_server.core.ledger.rules import State, apply, replay
from modelgates_server.core.money import ENTRY_MAX_PICO
from tests.core.conftest import OneAccount
from tests.core.pure import PureLedger
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
    books.at_first(capture(books.id, hold_id, 2))


def test_an_account_starts_with_nothing() -> None:
    ledger, account_id = PureLedger(), new_account_id()
    entry = ledger.run(opening(account_id, -5)).entry
    assert entry == Entry(
        account_id, 1, EntryKind.OPEN, "open", T0_MS, 0, 0, reason="test", min_balance_pico=-5
    )
    assert ledger.accounts[account_id] == Account(account_id, "test", -5, T0_MS, last_seq=1)


def test_an_account_is_not_opened_twice(books: OneAccount) -> None:
    message = str(books.refusal(opening(books.id, reference="again"), AccountExists))
    assert message == f"account {books.id} exists already"


def test_a_grant_comes_from_the_platform(books: OneAccount) -> None:
    entry = books.at_first(grant(books.id, 5, "second"))
    assert entry == Entry(
        account_id=books.id,
        seq=3,
        kind=EntryKind.GRANT,
        reference="second",
        at_ms=T0_MS,
        balance_after_pico=10 * DOLLAR + 5,
        held_after_pico=0,
        amount_pico=5,
        platform=PlatformAccount.GRANTS,
        platform_pico=-5,
        reason="test",
    )
    assert books.figures == (10 * DOLLAR + 5, 0, 0)


@pytest.mark.parametrize("amount_pico", [1, -1, -10 * DOLLAR])
def test_an_adjustment_corrects_credits_not_usage(books: OneAccount, amount_pico: int) -> None:
    entry = books.at_first(adjust(books.id, amount_pico))
    assert (entry.kind, entry.amount_pico) == (EntryKind.ADJUSTMENT, amount_pico)
    assert (entry.platform, entry.platform_pico) == (PlatformAccount.ADJUSTMENTS, -amount_pico)
    assert books.figures == (10 * DOLLAR + amount_pico, 0, 0)


def test_an_adjustment_takes_nothing_that_is_held(books: OneAccount) -> None:
    books.run(place(books.id, books.key_hash, "h", 4 * DOLLAR))
    refused = books.refusal(adjust(books.id, -6 * DOLLAR - 1), InsufficientCredits)
    assert str(refused) == (
        f"account {books.id} has 6 available (4 is held), which does not cover 6.000000000001"
    )
    books.run(adjust(books.id, -6 * DOLLAR))


def test_an_adjustment_upwards_is_taken_even_in_debt(books: OneAccount) -> None:
    put_in_debt(books)
    books.run(adjust(books.id, 1))


def test_an_account_with_a_floor_is_overdrawn_to_it_and_no_further() -> None:
    books = OneAccount()
    account = books.accounts[books.id]
    books.accounts[books.id] = msgspec.structs.replace(account, min_balance_pico=-2 * DOLLAR)
    books.run(adjust(books.id, -12 * DOLLAR, "down"))
    assert books.accounts[books.id].available_pico == -2 * DOLLAR
    books.refusal(adjust(books.id, -1), InsufficientCredits)


def test_the_entry_shows_the_balance_and_what_is_held_after_it(books: OneAccount) -> None:
    books.run(place(books.id, books.key_hash, "h", 4))
    books.run(capture(books.id, "h", 3))
    after = [(e.balance_after_pico, e.held_after_pico) for e in books.journal]
    whole = 10 * DOLLAR
    assert after == [(0, 0), (whole, 0), (whole, 4), (whole - 3, 0)]
    assert [e.seq for e in books.journal] == [1, 2, 3, 4]
    assert books.accounts[books.id].last_seq == 4


def test_a_closed_account_takes_no_credits_and_no_holds(books: OneAccount) -> None:
    books.run(adjust(books.id, -10 * DOLLAR, "empty"))
    entry = books.at_first(closing(books.id))
    assert (entry.kind, entry.amount_pico, entry.platform_pico) == (EntryKind.CLOSE, 0, 0)
    assert books.accounts[books.id].closed_at_ms == T0_MS
    for command in (
        grant(books.id, 1, "late"),
        adjust(books.id, 1, "late"),
        place(books.id, books.key_hash, "late", 0),
        closing(books.id, "again"),
    ):
        books.refusal(command, AccountClosed)


@pytest.mark.parametrize(
    ("taken_pico", "held_pico", "told"),
    [
        (0, 0, "10 and 0 held"),
        (0, 10 * DOLLAR, "10 and 10 held"),
        (10 * DOLLAR, 5, "0 and 0.000000000005 held"),
    ],
)
def test_an_account_with_money_or_open_holds_is_not_closed(
    books: OneAccount, taken_pico: int, held_pico: int, told: str
) -> None:
    account = books.accounts[books.id]
    books.accounts[books.id] = msgspec.structs.replace(account, min_balance_pico=-5)
    if taken_pico:
        books.run(adjust(books.id, -taken_pico, "taken"))
    books.run(place(books.id, books.key_hash, "h", held_pico))
    message = str(books.refusal(closing(books.id), AccountNotEmpty))
    assert f"has a balance of {told}" in message


def test_a_debt_is_not_closed_away(books: OneAccount) -> None:
    put_in_debt(books)
    books.refusal(closing(books.id), AccountNotEmpty)


def test_the_end_of_a_free_call_is_not_lost_when_its_account_closed(books: OneAccount) -> None:
    # A hold of 0 does not show in `held`. Refusing its end would keep the sweeper at it for ever.
    books.run(adjust(books.id, -10 * DOLLAR, "empty"))
    for hold_id in ("captured", "voided", "expired", "extended"):
        books.run(place(books.id, books.key_hash, hold_id, 0))
    books.run(closing(books.id))
    books.run(capture(books.id, "captured", 7))
    books.run(void(books.id, "voided"))
    books.run(expire(books.id, "expired", T0_MS + 600_000))
    books.refusal(extend(books.id, "extended", "1", 0), AccountClosed)
    assert books.figures == (0, 0, 0)


def test_nothing_is_posted_to_an_account_that_does_not_exist() -> None:
    ledger, account_id = PureLedger(), new_account_id()
    for command in (
        closing(account_id),
        grant(account_id, 1),
        adjust(account_id, 1),
        place(account_id, "0" * 64, "h", 1),
        extend(account_id, "h", "1", 1),
        capture(account_id, "h", 1),
        void(account_id, "h"),
        expire(account_id, "h", T0_MS),
    ):
        with pytest.raises(AccountNotFound, match=f"there is no account {account_id}"):
            ledger.run(command)
    assert ledger.journal == []


def test_a_total_the_database_cannot_hold_is_refused_not_rounded() -> None:
    ledger, account_id = PureLedger(total_cap_pico=ENTRY_MAX_PICO), new_account_id()
    ledger.run(opening(account_id))
    ledger.run(grant(account_id, ENTRY_MAX_PICO - 1))
    with pytest.raises(TotalTooLarge, match=r"would pass 9223372\.036854775807 dollars"):
        ledger.run(grant(account_id, 2, "more"))
    ledger.run(grant(account_id, 1, "rest"))
    with pytest.raises(TotalTooLarge):
        ledger.run(adjust(account_id, 1))


def test_a_floor_leaves_room_for_the_usage_it_allows() -> None:
    ledger, account_id = PureLedger(total_cap_pico=ENTRY_MAX_PICO), new_account_id()
    ledger.run(opening(account_id, min_balance_pico=-1))
    with pytest.raises(TotalTooLarge):
        ledger.run(grant(account_id, ENTRY_MAX_PICO))
    ledger.run(grant(account_id, ENTRY_MAX_PICO - 1))


def test_without_a_cap_an_account_may_pass_nine_million_dollars() -> None:
    ledger, account_id = PureLedger(), new_account_id()
    ledger.run(opening(account_id))
    for number in range(3):
        ledger.run(grant(account_id, ENTRY_MAX_PICO, f"grant {number}"))
    assert ledger.accounts[account_id].credits_pico == 3 * ENTRY_MAX_PICO


def put_in_debt(books: OneAccount) -> None:
    """As a later dispute will: below the floor, which no command of this ledger can do."""
    account = books.accounts[books.id]
    books.accounts[books.id] = msgspec.structs.replace(account, credits_pico=-1)


def test_an_account_in_debt_gets_nothing_not_even_a_free_call(books: OneAccount) -> None:
    put_in_debt(books)
    books.refusal(place(books.id, books.key_hash, "h", 0), InsufficientCredits)
    books.refusal(place(books.id, books.key_hash, "h", 1), InsufficientCredits)


REPEATED: list[Callable[[OneAccount], c.Command]] = [
    lambda b: opening(b.id),
    lambda b: grant(b.id, 10 * DOLLAR),
    lambda b: adjust(b.id, -1),
    lambda b: place(b.id, b.key_hash, "h", 5),
    lambda b: extend(b.id, "h", "1", 3),
    lambda b: capture(b.id, "h", 9),
    lambda b: void(b.id, "v"),
    lambda b: expire(b.id, "e", T0_MS + 600_000, 2),
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
        (5, {"amount_pico": 8}),
        (5, {"hold_id": "v"}),
        (6, {"hold_id": "h"}),
        (7, {"amount_pico": 0}),
        (7, {"hold_id": "h"}),
    ],
)
def test_a_reference_that_comes_again_for_something_else_is_refused(
    books: OneAccount, index: int, other: dict[str, object]
) -> None:
    command = msgspec.structs.replace(every_kind(books)[index], **other)
    message = str(books.refusal(command, ReferenceReused))
    assert message == (
        f"reference {command.reference!r} was used before on account {books.id} with other "
        "parameters; use a new reference for a new request"
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
    books.run(capture(books.id, "h", 9))
    books.refusal(capture(books.id, "h", 5), ReferenceReused)
    assert books.run(capture(books.id, "h", 9)).replayed


def test_a_refused_command_leaves_its_reference_free(books: OneAccount) -> None:
    books.refusal(adjust(books.id, -11 * DOLLAR, "r"), InsufficientCredits)
    books.refusal(void(books.id, "none"), HoldNotFound)
    books.at_first(adjust(books.id, -10 * DOLLAR, "r"))


def test_references_of_two_accounts_do_not_meet(books: OneAccount) -> None:
    other = new_account_id()
    books.run(opening(other))
    books.at_first(grant(other, 1))
    assert books.figures == (10 * DOLLAR, 0, 0)
    assert books.accounts[other].credits_pico == 1


def test_the_ledger_is_not_asked_to_apply_what_it_must_replay(books: OneAccount) -> None:
    account, entry = books.accounts[books.id], books.journal[-1]
    with pytest.raises(AssertionError):
        apply(State(account=account, prior=entry), grant(books.id, 1))
    with pytest.raises(AssertionError):
        replay(State(account=account), grant(books.id, 1))
