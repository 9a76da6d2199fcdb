import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgates_server.core.errors import (
    HoldEnded,
    HoldNotExpired,
    HoldNotFound,
    InsufficientCredits,
    KeyDisabled,
    KeyExpired,
    KeyNotFound,
    NotPermitted,
    UnknownKey,
)
from modelgates_server.core.keys import KeyChange, KeyKind
from modelgates_server.core.ledger import commands as c
from modelgates_server.core.ledger.records import Entry, EntryKind, Hold, HoldState, PlatformAccount
from tests.core.conftest import OneAccount
from tests.support import (
    DOLLAR,
    HOLD_MS,
    T0_MS,
    capture,
    expire,
    extend,
    new_account_id,
    opening,
    place,
    void,
)


def held(ledger: OneAccount, hold_id: str, amount_pico: int) -> None:
    ledger.run(place(ledger.id, ledger.key_hash, hold_id, amount_pico))


def test_hold_sets_its_amount_aside_and_moves_no_money(ledger: OneAccount) -> None:
    entry = ledger.at_first(place(ledger.id, ledger.key_hash, "h", 4))
    assert entry == Entry(
        account_id=ledger.id,
        seq=3,
        kind=EntryKind.HOLD,
        reference="hold:h",
        at_ms=T0_MS,
        balance_after_pico=10 * DOLLAR,
        held_after_pico=4,
        held_pico=4,
        hold_id="h",
        key_hash=ledger.key_hash,
    )
    assert ledger.figures == (10 * DOLLAR, 0, 4)
    assert ledger.holds[ledger.id, "h"] == Hold(
        account_id=ledger.id,
        id="h",
        key_hash=ledger.key_hash,
        state=HoldState.OPEN,
        amount_pico=4,
        created_at_ms=T0_MS,
        expires_at_ms=T0_MS + HOLD_MS,
    )
    key = ledger.keys[ledger.key_hash]
    assert (key.held_pico, key.usage_pico, key.last_used_at_ms) == (4, 0, T0_MS)


def test_available_credits_can_be_held_to_the_last_pico(ledger: OneAccount) -> None:
    held(ledger, "first", 10 * DOLLAR - 1)
    refused = ledger.refusal(place(ledger.id, ledger.key_hash, "over", 2), InsufficientCredits)
    assert "has 0.000000000001 available" in str(refused)
    assert str(refused).endswith("which does not cover 0.000000000002. Add credits.")
    held(ledger, "last", 1)
    ledger.refusal(place(ledger.id, ledger.key_hash, "more", 1), InsufficientCredits)


def test_free_call_needs_no_available_credits(ledger: OneAccount) -> None:
    held(ledger, "all", 10 * DOLLAR)
    held(ledger, "free", 0)
    entry = ledger.at_first(capture(ledger.id, ledger.key_hash, "free", 0))
    assert (entry.amount_pico, entry.held_pico, entry.platform_pico) == (0, 0, 0)


def test_capture_charges_the_usage_and_releases_the_rest(ledger: OneAccount) -> None:
    held(ledger, "h", 4)
    entry = ledger.at_first(capture(ledger.id, ledger.key_hash, "h", 3, at_ms=T0_MS + 1))
    assert entry == Entry(
        account_id=ledger.id,
        seq=4,
        kind=EntryKind.USAGE,
        reference="end:h",
        at_ms=T0_MS + 1,
        balance_after_pico=10 * DOLLAR - 3,
        held_after_pico=0,
        amount_pico=-3,
        held_pico=-4,
        platform=PlatformAccount.REVENUE,
        platform_pico=3,
        hold_id="h",
        key_hash=ledger.key_hash,
    )
    assert ledger.figures == (10 * DOLLAR, 3, 0)
    hold = ledger.holds[ledger.id, "h"]
    assert (hold.state, hold.charged_pico, hold.ended_at_ms) == (HoldState.CAPTURED, 3, T0_MS + 1)
    key = ledger.keys[ledger.key_hash]
    assert (key.held_pico, key.usage_pico) == (0, 3)


@pytest.mark.parametrize(
    ("used", "charged", "overrun"), [(0, 0, 0), (3, 3, 0), (4, 4, 0), (5, 4, -1), (10**18, 4, None)]
)
def test_capture_charges_at_most_the_hold_and_the_platform_pays_the_overrun(
    ledger: OneAccount, used: int, charged: int, overrun: int | None
) -> None:
    held(ledger, "h", 4)
    entry = ledger.at_first(capture(ledger.id, ledger.key_hash, "h", used))
    assert entry.amount_pico == -charged
    assert entry.platform_pico == used
    assert entry.overrun_pico == (4 - used if overrun is None else overrun)
    assert ledger.figures == (10 * DOLLAR, charged, 0)
    assert ledger.keys[ledger.key_hash].usage_pico == charged


def test_void_releases_the_hold_and_charges_nothing(ledger: OneAccount) -> None:
    held(ledger, "h", 4)
    entry = ledger.at_first(void(ledger.id, ledger.key_hash, "h"))
    assert (entry.kind, entry.amount_pico, entry.held_pico) == (EntryKind.VOID, 0, -4)
    assert (entry.platform, entry.platform_pico, entry.overrun_pico) == (None, 0, 0)
    assert ledger.figures == (10 * DOLLAR, 0, 0)
    hold = ledger.holds[ledger.id, "h"]
    assert (hold.state, hold.charged_pico, hold.ended_at_ms) == (HoldState.VOIDED, 0, T0_MS)
    assert ledger.keys[ledger.key_hash].held_pico == 0


def test_hold_expires_at_its_expiry_and_not_a_millisecond_earlier(ledger: OneAccount) -> None:
    held(ledger, "h", 4)
    early = expire(ledger.id, ledger.key_hash, "h", T0_MS + HOLD_MS - 1)
    assert str(ledger.refusal(early, HoldNotExpired)) == (
        "Hold `h` has not expired yet. Resolve it after its expiry."
    )
    entry = ledger.at_first(expire(ledger.id, ledger.key_hash, "h", T0_MS + HOLD_MS))
    assert (entry.kind, entry.amount_pico, entry.held_pico) == (EntryKind.EXPIRE, 0, -4)
    assert ledger.holds[ledger.id, "h"].state is HoldState.EXPIRED
    assert ledger.figures == (10 * DOLLAR, 0, 0)


def test_expired_hold_charges_the_known_usage(ledger: OneAccount) -> None:
    held(ledger, "h", 4)
    entry = ledger.at_first(expire(ledger.id, ledger.key_hash, "h", T0_MS + HOLD_MS, amount_pico=9))
    assert (entry.amount_pico, entry.platform_pico, entry.overrun_pico) == (-4, 9, -5)
    assert ledger.figures == (10 * DOLLAR, 4, 0)


def test_hold_can_be_captured_after_its_expiry_until_it_is_resolved(
    ledger: OneAccount,
) -> None:
    held(ledger, "h", 4)
    ledger.at_first(capture(ledger.id, ledger.key_hash, "h", 4, at_ms=T0_MS + 10 * HOLD_MS))
    assert ledger.figures == (10 * DOLLAR, 4, 0)


@pytest.mark.parametrize("first", ["capture", "void", "expire"])
@pytest.mark.parametrize("then", ["capture", "void", "expire", "extend"])
def test_hold_ends_only_once(ledger: OneAccount, first: str, then: str) -> None:
    late = T0_MS + HOLD_MS
    ways: dict[str, c.Command] = {
        "capture": capture(ledger.id, ledger.key_hash, "h", 1),
        "void": void(ledger.id, ledger.key_hash, "h"),
        "expire": expire(ledger.id, ledger.key_hash, "h", late),
        "extend": extend(ledger.id, ledger.key_hash, "h", "1", 0),
    }
    held(ledger, "h", 4)
    ledger.run(msgspec.structs.replace(ways[first], reference="first"))
    message = str(ledger.refusal(msgspec.structs.replace(ways[then], reference="then"), HoldEnded))
    state = {"capture": "captured", "void": "voided", "expire": "expired"}[first]
    assert message == f"Hold `h` has ended already: it is {state}. A hold ends once."


def test_hold_id_can_never_be_placed_again(ledger: OneAccount) -> None:
    held(ledger, "h", 4)
    again = msgspec.structs.replace(place(ledger.id, ledger.key_hash, "h", 4), reference="other")
    ledger.refusal(again, HoldEnded)
    ledger.run(void(ledger.id, ledger.key_hash, "h"))
    ledger.refusal(again, HoldEnded)


def test_hold_command_is_refused_when_the_hold_does_not_exist(ledger: OneAccount) -> None:
    for command in (
        capture(ledger.id, ledger.key_hash, "h", 1),
        void(ledger.id, ledger.key_hash, "h"),
        expire(ledger.id, ledger.key_hash, "h", T0_MS + HOLD_MS),
        extend(ledger.id, ledger.key_hash, "h", "1", 1),
    ):
        message = str(ledger.refusal(command, HoldNotFound))
        assert message == "Hold `h` does not exist. Check the ID."


def test_holds_with_the_same_id_on_two_accounts_are_independent(ledger: OneAccount) -> None:
    other = new_account_id()
    ledger.run(opening(other))
    held(ledger, "h", 4)
    with pytest.raises(HoldNotFound):
        ledger.run(void(other, ledger.key_hash, "h"))
    assert ledger.figures == (10 * DOLLAR, 0, 4)


def test_extension_adds_to_the_amount_and_moves_the_expiry(ledger: OneAccount) -> None:
    held(ledger, "h", 4)
    entry = ledger.at_first(extend(ledger.id, ledger.key_hash, "h", "1", 3, at_ms=T0_MS + 5))
    assert (entry.kind, entry.amount_pico, entry.held_pico) == (EntryKind.EXTEND, 0, 3)
    hold = ledger.holds[ledger.id, "h"]
    assert (hold.amount_pico, hold.expires_at_ms) == (7, T0_MS + 5 + HOLD_MS)
    assert hold.created_at_ms == T0_MS
    assert ledger.figures == (10 * DOLLAR, 0, 7)
    assert ledger.keys[ledger.key_hash].held_pico == 7
    ledger.run(capture(ledger.id, ledger.key_hash, "h", 6))
    assert ledger.figures == (10 * DOLLAR, 6, 0)


def test_extension_never_moves_the_expiry_earlier(ledger: OneAccount) -> None:
    held(ledger, "h", 4)
    ledger.run(extend(ledger.id, ledger.key_hash, "h", "1", 1, at_ms=T0_MS - HOLD_MS))
    assert ledger.holds[ledger.id, "h"].expires_at_ms == T0_MS + HOLD_MS


def test_extension_beyond_the_credits_is_refused_and_the_hold_stays_open(
    ledger: OneAccount,
) -> None:
    held(ledger, "h", 9 * DOLLAR)
    ledger.refusal(extend(ledger.id, ledger.key_hash, "h", "1", DOLLAR + 1), InsufficientCredits)
    ledger.run(extend(ledger.id, ledger.key_hash, "h", "1", DOLLAR))


@pytest.mark.parametrize(
    ("members", "kind"),
    [
        ({"disabled": True}, KeyDisabled),
        ({"deleted_at_ms": T0_MS}, UnknownKey),
        ({"expires_at_ms": T0_MS}, KeyExpired),
    ],
)
def test_hold_is_refused_when_its_key_was_revoked_after_authentication(
    ledger: OneAccount, members: dict[str, object], kind: type[UnknownKey]
) -> None:
    key_hash = ledger.add_key(**members)
    ledger.refusal(place(ledger.id, key_hash, "h", 1), kind)


def test_running_call_is_settled_when_its_key_is_deleted(ledger: OneAccount) -> None:
    for hold_id in ("captured", "voided", "expired"):
        held(ledger, hold_id, 2)
    ledger.change_key(ledger.key_hash, KeyChange(deleted=True), T0_MS)
    ledger.run(extend(ledger.id, ledger.key_hash, "captured", "1", 2))
    ledger.run(capture(ledger.id, ledger.key_hash, "captured", 3))
    ledger.run(void(ledger.id, ledger.key_hash, "voided"))
    ledger.run(expire(ledger.id, ledger.key_hash, "expired", T0_MS + HOLD_MS))
    assert ledger.figures == (10 * DOLLAR, 3, 0)
    assert ledger.keys[ledger.key_hash].usage_pico == 3


def test_hold_is_refused_when_the_key_belongs_to_another_account(ledger: OneAccount) -> None:
    other = new_account_id()
    ledger.run(opening(other))
    for key_hash in (ledger.key_hash, "f" * 64):
        with pytest.raises(KeyNotFound, match=f"Account `{other}` does not have this key"):
            ledger.run(place(other, key_hash, "h", 0))


@pytest.mark.parametrize("other", ["another key of the account", "no key"])
def test_hold_is_refused_to_a_command_with_the_hash_of_another_key(
    ledger: OneAccount, other: str
) -> None:
    held(ledger, "h", 5)
    key_hash = ledger.add_key() if other == "another key of the account" else "f" * 64
    late_ms = T0_MS + HOLD_MS
    for command in (
        extend(ledger.id, key_hash, "h", "1", 1),
        capture(ledger.id, key_hash, "h", 1),
        void(ledger.id, key_hash, "h"),
        expire(ledger.id, key_hash, "h", late_ms),
    ):
        refused = ledger.refusal(command, HoldNotFound)
        assert str(refused) == f"Hold `h` does not belong to key `{key_hash}`. Check both IDs."
    ledger.run(capture(ledger.id, ledger.key_hash, "h", 2))
    assert ledger.figures == (10 * DOLLAR, 2, 0)


amounts = st.integers(0, 4 * DOLLAR)


@given(st.lists(st.tuples(amounts, amounts, st.booleans()), max_size=12))
def test_calls_in_any_order_never_overspend_or_lose_a_pico(
    calls: list[tuple[int, int, bool]],
) -> None:
    ledger = OneAccount()
    spent = 0
    for number, (amount, used, kept) in enumerate(calls):
        hold_id = str(number)
        available = ledger.accounts[ledger.id].available_pico
        if amount > available:
            ledger.refusal(place(ledger.id, ledger.key_hash, hold_id, amount), InsufficientCredits)
            continue
        held(ledger, hold_id, amount)
        if not kept:
            ledger.run(capture(ledger.id, ledger.key_hash, hold_id, used))
            spent += min(amount, used)
    credits_pico, usage_pico, held_pico = ledger.figures
    assert usage_pico == spent == -sum(e.amount_pico for e in ledger.journal[2:])
    assert credits_pico - usage_pico - held_pico >= 0
    assert held_pico == sum(e.held_pico for e in ledger.journal)
    assert sum(e.amount_pico + e.platform_pico + e.overrun_pico for e in ledger.journal) == 0


def test_hold_is_refused_when_its_id_was_placed_under_another_reference(ledger: OneAccount) -> None:
    held(ledger, "h", 4)
    other = msgspec.structs.replace(
        place(ledger.id, ledger.key_hash, "h", 4), reference="hold:another"
    )
    with pytest.raises(HoldEnded, match="placed before under another reference"):
        ledger.run(other)


@pytest.mark.parametrize("kind", [KeyKind.MANAGEMENT, KeyKind.VIEWER])
def test_hold_is_refused_when_its_key_is_of_another_kind(ledger: OneAccount, kind: KeyKind) -> None:
    ledger.refusal(place(ledger.id, ledger.add_key(kind=kind), "h", 4), NotPermitted)
