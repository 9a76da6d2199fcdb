import msgspec
import pytest

from modelgates_server.core.errors import (
    AccountClosed,
    AccountExists,
    AccountNotEmpty,
    AccountNotFound,
    InsufficientCredits,
    TotalTooLarge,
)
from modelgates_server.core.ledger.records import Account, Entry, EntryKind, PlatformAccount
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


def test_an_account_starts_with_nothing() -> None:
    ledger, account_id = PureLedger(), new_account_id()
    entry = ledger.run(opening(account_id, -5)).entry
    assert entry == Entry(
        account_id, 1, EntryKind.OPEN, "open", T0_MS, 0, 0, reason="test", min_balance_pico=-5
    )
    assert ledger.accounts[account_id] == Account(account_id, "test", -5, T0_MS, last_seq=1)


def test_an_account_is_not_opened_twice(books: OneAccount) -> None:
    message = str(books.refusal(opening(books.id, reference="again"), AccountExists))
    assert message == f"Account `{books.id}` exists already. Use another ID."


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
        f"Account `{books.id}` has 6 available (4 is held), which does not cover 6.000000000001. "
        "Add credits."
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
    books.run(capture(books.id, books.key_hash, "h", 3))
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
    books.run(capture(books.id, books.key_hash, "captured", 7))
    books.run(void(books.id, books.key_hash, "voided"))
    books.run(expire(books.id, books.key_hash, "expired", T0_MS + 600_000))
    books.refusal(extend(books.id, books.key_hash, "extended", "1", 0), AccountClosed)
    assert books.figures == (0, 0, 0)


def test_nothing_is_posted_to_an_account_that_does_not_exist() -> None:
    ledger, account_id = PureLedger(), new_account_id()
    for command in (
        closing(account_id),
        grant(account_id, 1),
        adjust(account_id, 1),
        place(account_id, "0" * 64, "h", 1),
        extend(account_id, "0" * 64, "h", "1", 1),
        capture(account_id, "0" * 64, "h", 1),
        void(account_id, "0" * 64, "h"),
        expire(account_id, "0" * 64, "h", T0_MS),
    ):
        with pytest.raises(AccountNotFound, match=f"Account `{account_id}` does not exist"):
            ledger.run(command)
    assert ledger.journal == []


def test_a_total_the_database_cannot_hold_is_refused_not_rounded() -> None:
    ledger, account_id = PureLedger(total_cap_pico=ENTRY_MAX_PICO), new_account_id()
    ledger.run(opening(account_id))
    ledger.run(grant(account_id, ENTRY_MAX_PICO - 1))
    with pytest.raises(TotalTooLarge, match=r"would exceed 9223372\.036854775807 dollars"):
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
