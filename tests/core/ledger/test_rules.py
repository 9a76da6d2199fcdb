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


def test_new_account_has_no_credits() -> None:
    ledger, account_id = PureLedger(), new_account_id()
    entry = ledger.run(opening(account_id, -5)).entry
    assert entry == Entry(
        account_id, 1, EntryKind.OPEN, "open", T0_MS, 0, 0, reason="test", min_balance_pico=-5
    )
    assert ledger.accounts[account_id] == Account(account_id, "test", -5, T0_MS, last_seq=1)


def test_account_is_not_opened_twice(ledger: OneAccount) -> None:
    message = str(ledger.refusal(opening(ledger.id, reference="again"), AccountExists))
    assert message == f"Account `{ledger.id}` exists already. Use another ID."


def test_grant_is_paid_by_the_platform(ledger: OneAccount) -> None:
    entry = ledger.at_first(grant(ledger.id, 5, "second"))
    assert entry == Entry(
        account_id=ledger.id,
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
    assert ledger.figures == (10 * DOLLAR + 5, 0, 0)


@pytest.mark.parametrize("amount_pico", [1, -1, -10 * DOLLAR])
def test_adjustment_changes_credits_and_not_usage(ledger: OneAccount, amount_pico: int) -> None:
    entry = ledger.at_first(adjust(ledger.id, amount_pico))
    assert (entry.kind, entry.amount_pico) == (EntryKind.ADJUSTMENT, amount_pico)
    assert (entry.platform, entry.platform_pico) == (PlatformAccount.ADJUSTMENTS, -amount_pico)
    assert ledger.figures == (10 * DOLLAR + amount_pico, 0, 0)


def test_adjustment_is_refused_when_it_exceeds_what_is_available(ledger: OneAccount) -> None:
    ledger.run(place(ledger.id, ledger.key_hash, "h", 4 * DOLLAR))
    refused = ledger.refusal(adjust(ledger.id, -6 * DOLLAR - 1), InsufficientCredits)
    assert str(refused) == (
        f"Account `{ledger.id}` has 6 available (4 is held), which does not cover 6.000000000001. "
        "Add credits."
    )
    ledger.run(adjust(ledger.id, -6 * DOLLAR))


def test_adjustment_upwards_is_accepted_when_the_account_is_in_debt(ledger: OneAccount) -> None:
    put_in_debt(ledger)
    ledger.run(adjust(ledger.id, 1))


def test_account_is_overdrawn_to_its_floor_and_no_further() -> None:
    ledger = OneAccount()
    account = ledger.accounts[ledger.id]
    ledger.accounts[ledger.id] = msgspec.structs.replace(account, min_balance_pico=-2 * DOLLAR)
    ledger.run(adjust(ledger.id, -12 * DOLLAR, "down"))
    assert ledger.accounts[ledger.id].available_pico == -2 * DOLLAR
    ledger.refusal(adjust(ledger.id, -1), InsufficientCredits)


def test_entry_records_balance_and_held_amount_after_it(ledger: OneAccount) -> None:
    ledger.run(place(ledger.id, ledger.key_hash, "h", 4))
    ledger.run(capture(ledger.id, ledger.key_hash, "h", 3))
    after = [(e.balance_after_pico, e.held_after_pico) for e in ledger.journal]
    whole = 10 * DOLLAR
    assert after == [(0, 0), (whole, 0), (whole, 4), (whole - 3, 0)]
    assert [e.seq for e in ledger.journal] == [1, 2, 3, 4]
    assert ledger.accounts[ledger.id].last_seq == 4


def test_command_is_refused_when_the_account_is_closed(ledger: OneAccount) -> None:
    ledger.run(adjust(ledger.id, -10 * DOLLAR, "empty"))
    entry = ledger.at_first(closing(ledger.id))
    assert (entry.kind, entry.amount_pico, entry.platform_pico) == (EntryKind.CLOSE, 0, 0)
    assert ledger.accounts[ledger.id].closed_at_ms == T0_MS
    for command in (
        grant(ledger.id, 1, "late"),
        adjust(ledger.id, 1, "late"),
        place(ledger.id, ledger.key_hash, "late", 0),
        closing(ledger.id, "again"),
    ):
        ledger.refusal(command, AccountClosed)


@pytest.mark.parametrize(
    ("taken_pico", "held_pico", "expected"),
    [
        (0, 0, "10 and 0 held"),
        (0, 10 * DOLLAR, "10 and 10 held"),
        (10 * DOLLAR, 5, "0 and 0.000000000005 held"),
    ],
)
def test_account_is_not_closed_when_it_has_a_balance_or_open_holds(
    ledger: OneAccount, taken_pico: int, held_pico: int, expected: str
) -> None:
    account = ledger.accounts[ledger.id]
    ledger.accounts[ledger.id] = msgspec.structs.replace(account, min_balance_pico=-5)
    if taken_pico:
        ledger.run(adjust(ledger.id, -taken_pico, "taken"))
    ledger.run(place(ledger.id, ledger.key_hash, "h", held_pico))
    message = str(ledger.refusal(closing(ledger.id), AccountNotEmpty))
    assert f"has a balance of {expected}" in message


def test_account_is_not_closed_when_it_is_in_debt(ledger: OneAccount) -> None:
    put_in_debt(ledger)
    ledger.refusal(closing(ledger.id), AccountNotEmpty)


def test_free_call_can_end_when_its_account_is_closed(ledger: OneAccount) -> None:
    # A hold of 0 does not show in `held`. If its end were refused, maintenance would retry forever.
    ledger.run(adjust(ledger.id, -10 * DOLLAR, "empty"))
    for hold_id in ("captured", "voided", "expired", "extended"):
        ledger.run(place(ledger.id, ledger.key_hash, hold_id, 0))
    ledger.run(closing(ledger.id))
    ledger.run(capture(ledger.id, ledger.key_hash, "captured", 7))
    ledger.run(void(ledger.id, ledger.key_hash, "voided"))
    ledger.run(expire(ledger.id, ledger.key_hash, "expired", T0_MS + 600_000))
    ledger.refusal(extend(ledger.id, ledger.key_hash, "extended", "1", 0), AccountClosed)
    assert ledger.figures == (0, 0, 0)


def test_command_is_refused_when_the_account_does_not_exist() -> None:
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


def test_lifetime_total_above_the_database_maximum_is_refused() -> None:
    ledger, account_id = PureLedger(total_cap_pico=ENTRY_MAX_PICO), new_account_id()
    ledger.run(opening(account_id))
    ledger.run(grant(account_id, ENTRY_MAX_PICO - 1))
    with pytest.raises(TotalTooLarge, match=r"would exceed 9223372\.036854775807 dollars"):
        ledger.run(grant(account_id, 2, "more"))
    ledger.run(grant(account_id, 1, "rest"))
    with pytest.raises(TotalTooLarge):
        ledger.run(adjust(account_id, 1))


def test_floor_counts_toward_the_lifetime_total() -> None:
    ledger, account_id = PureLedger(total_cap_pico=ENTRY_MAX_PICO), new_account_id()
    ledger.run(opening(account_id, min_balance_pico=-1))
    with pytest.raises(TotalTooLarge):
        ledger.run(grant(account_id, ENTRY_MAX_PICO))
    ledger.run(grant(account_id, ENTRY_MAX_PICO - 1))


def test_lifetime_total_is_unlimited_without_a_database_maximum() -> None:
    ledger, account_id = PureLedger(), new_account_id()
    ledger.run(opening(account_id))
    for number in range(3):
        ledger.run(grant(account_id, ENTRY_MAX_PICO, f"grant {number}"))
    assert ledger.accounts[account_id].credits_pico == 3 * ENTRY_MAX_PICO


def put_in_debt(ledger: OneAccount) -> None:
    """Takes an account below its floor, as disputes will. No present command can do that."""
    account = ledger.accounts[ledger.id]
    ledger.accounts[ledger.id] = msgspec.structs.replace(account, credits_pico=-1)


def test_free_call_is_refused_when_the_account_is_in_debt(ledger: OneAccount) -> None:
    put_in_debt(ledger)
    ledger.refusal(place(ledger.id, ledger.key_hash, "h", 0), InsufficientCredits)
    ledger.refusal(place(ledger.id, ledger.key_hash, "h", 1), InsufficientCredits)
