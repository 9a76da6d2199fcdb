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


def held(books: OneAccount, hold_id: str, amount_pico: int) -> None:
    books.run(place(books.id, books.key_hash, hold_id, amount_pico))


def test_a_hold_sets_its_amount_aside_and_moves_no_money(books: OneAccount) -> None:
    entry = books.at_first(place(books.id, books.key_hash, "h", 4))
    assert entry == Entry(
        account_id=books.id,
        seq=3,
        kind=EntryKind.HOLD,
        reference="hold:h",
        at_ms=T0_MS,
        balance_after_pico=10 * DOLLAR,
        held_after_pico=4,
        held_pico=4,
        hold_id="h",
        key_hash=books.key_hash,
    )
    assert books.figures == (10 * DOLLAR, 0, 4)
    assert books.holds[books.id, "h"] == Hold(
        account_id=books.id,
        id="h",
        key_hash=books.key_hash,
        state=HoldState.OPEN,
        amount_pico=4,
        created_at_ms=T0_MS,
        expires_at_ms=T0_MS + HOLD_MS,
    )
    key = books.keys[books.key_hash]
    assert (key.held_pico, key.usage_pico, key.last_used_at_ms) == (4, 0, T0_MS)


def test_the_last_pico_can_be_held_and_no_pico_more(books: OneAccount) -> None:
    held(books, "first", 10 * DOLLAR - 1)
    refused = books.refusal(place(books.id, books.key_hash, "over", 2), InsufficientCredits)
    assert "has 0.000000000001 available" in str(refused)
    assert str(refused).endswith("which does not cover 0.000000000002. Add credits.")
    held(books, "last", 1)
    books.refusal(place(books.id, books.key_hash, "more", 1), InsufficientCredits)


def test_a_free_call_needs_no_credits(books: OneAccount) -> None:
    held(books, "all", 10 * DOLLAR)
    held(books, "free", 0)
    entry = books.at_first(capture(books.id, books.key_hash, "free", 0))
    assert (entry.amount_pico, entry.held_pico, entry.platform_pico) == (0, 0, 0)


def test_a_capture_charges_the_use_and_frees_the_rest(books: OneAccount) -> None:
    held(books, "h", 4)
    entry = books.at_first(capture(books.id, books.key_hash, "h", 3, at_ms=T0_MS + 1))
    assert entry == Entry(
        account_id=books.id,
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
        key_hash=books.key_hash,
    )
    assert books.figures == (10 * DOLLAR, 3, 0)
    hold = books.holds[books.id, "h"]
    assert (hold.state, hold.charged_pico, hold.ended_at_ms) == (HoldState.CAPTURED, 3, T0_MS + 1)
    key = books.keys[books.key_hash]
    assert (key.held_pico, key.usage_pico) == (0, 3)


@pytest.mark.parametrize(
    ("used", "charged", "overrun"), [(0, 0, 0), (3, 3, 0), (4, 4, 0), (5, 4, -1), (10**18, 4, None)]
)
def test_a_customer_pays_the_hold_at_most_and_the_platform_the_overrun(
    books: OneAccount, used: int, charged: int, overrun: int | None
) -> None:
    held(books, "h", 4)
    entry = books.at_first(capture(books.id, books.key_hash, "h", used))
    assert entry.amount_pico == -charged
    assert entry.platform_pico == used
    assert entry.overrun_pico == (4 - used if overrun is None else overrun)
    assert books.figures == (10 * DOLLAR, charged, 0)
    assert books.keys[books.key_hash].usage_pico == charged


def test_a_void_frees_all_and_charges_nothing(books: OneAccount) -> None:
    held(books, "h", 4)
    entry = books.at_first(void(books.id, books.key_hash, "h"))
    assert (entry.kind, entry.amount_pico, entry.held_pico) == (EntryKind.VOID, 0, -4)
    assert (entry.platform, entry.platform_pico, entry.overrun_pico) == (None, 0, 0)
    assert books.figures == (10 * DOLLAR, 0, 0)
    hold = books.holds[books.id, "h"]
    assert (hold.state, hold.charged_pico, hold.ended_at_ms) == (HoldState.VOIDED, 0, T0_MS)
    assert books.keys[books.key_hash].held_pico == 0


def test_a_hold_expires_at_its_time_and_not_a_millisecond_before(books: OneAccount) -> None:
    held(books, "h", 4)
    early = expire(books.id, books.key_hash, "h", T0_MS + HOLD_MS - 1)
    assert str(books.refusal(early, HoldNotExpired)) == (
        "Hold `h` has not expired yet. Resolve it after its expiry."
    )
    entry = books.at_first(expire(books.id, books.key_hash, "h", T0_MS + HOLD_MS))
    assert (entry.kind, entry.amount_pico, entry.held_pico) == (EntryKind.EXPIRE, 0, -4)
    assert books.holds[books.id, "h"].state is HoldState.EXPIRED
    assert books.figures == (10 * DOLLAR, 0, 0)


def test_an_expired_hold_charges_what_is_known_to_have_been_used(books: OneAccount) -> None:
    held(books, "h", 4)
    entry = books.at_first(expire(books.id, books.key_hash, "h", T0_MS + HOLD_MS, amount_pico=9))
    assert (entry.amount_pico, entry.platform_pico, entry.overrun_pico) == (-4, 9, -5)
    assert books.figures == (10 * DOLLAR, 4, 0)


def test_a_hold_past_its_time_may_still_be_captured_until_it_is_resolved(
    books: OneAccount,
) -> None:
    held(books, "h", 4)
    books.at_first(capture(books.id, books.key_hash, "h", 4, at_ms=T0_MS + 10 * HOLD_MS))
    assert books.figures == (10 * DOLLAR, 4, 0)


@pytest.mark.parametrize("first", ["capture", "void", "expire"])
@pytest.mark.parametrize("then", ["capture", "void", "expire", "extend"])
def test_a_hold_ends_once(books: OneAccount, first: str, then: str) -> None:
    late = T0_MS + HOLD_MS
    ways: dict[str, c.Command] = {
        "capture": capture(books.id, books.key_hash, "h", 1),
        "void": void(books.id, books.key_hash, "h"),
        "expire": expire(books.id, books.key_hash, "h", late),
        "extend": extend(books.id, books.key_hash, "h", "1", 0),
    }
    held(books, "h", 4)
    books.run(msgspec.structs.replace(ways[first], reference="first"))
    message = str(books.refusal(msgspec.structs.replace(ways[then], reference="then"), HoldEnded))
    state = {"capture": "captured", "void": "voided", "expire": "expired"}[first]
    assert message == f"Hold `h` has ended already: it is {state}. A hold ends once."


def test_a_hold_id_names_one_call_for_ever(books: OneAccount) -> None:
    held(books, "h", 4)
    again = msgspec.structs.replace(place(books.id, books.key_hash, "h", 4), reference="other")
    books.refusal(again, HoldEnded)
    books.run(void(books.id, books.key_hash, "h"))
    books.refusal(again, HoldEnded)


def test_a_hold_that_was_never_placed_cannot_end_or_grow(books: OneAccount) -> None:
    for command in (
        capture(books.id, books.key_hash, "h", 1),
        void(books.id, books.key_hash, "h"),
        expire(books.id, books.key_hash, "h", T0_MS + HOLD_MS),
        extend(books.id, books.key_hash, "h", "1", 1),
    ):
        message = str(books.refusal(command, HoldNotFound))
        assert message == "Hold `h` does not exist. Check the ID."


def test_holds_of_two_accounts_with_one_id_do_not_meet(books: OneAccount) -> None:
    other = new_account_id()
    books.run(opening(other))
    held(books, "h", 4)
    with pytest.raises(HoldNotFound):
        books.run(void(other, books.key_hash, "h"))
    assert books.figures == (10 * DOLLAR, 0, 4)


def test_an_extension_adds_to_the_hold_and_its_time(books: OneAccount) -> None:
    held(books, "h", 4)
    entry = books.at_first(extend(books.id, books.key_hash, "h", "1", 3, at_ms=T0_MS + 5))
    assert (entry.kind, entry.amount_pico, entry.held_pico) == (EntryKind.EXTEND, 0, 3)
    hold = books.holds[books.id, "h"]
    assert (hold.amount_pico, hold.expires_at_ms) == (7, T0_MS + 5 + HOLD_MS)
    assert hold.created_at_ms == T0_MS
    assert books.figures == (10 * DOLLAR, 0, 7)
    assert books.keys[books.key_hash].held_pico == 7
    books.run(capture(books.id, books.key_hash, "h", 6))
    assert books.figures == (10 * DOLLAR, 6, 0)


def test_an_extension_never_brings_the_expiry_forward(books: OneAccount) -> None:
    held(books, "h", 4)
    books.run(extend(books.id, books.key_hash, "h", "1", 1, at_ms=T0_MS - HOLD_MS))
    assert books.holds[books.id, "h"].expires_at_ms == T0_MS + HOLD_MS


def test_an_extension_beyond_the_credits_is_refused_and_the_hold_stays(books: OneAccount) -> None:
    held(books, "h", 9 * DOLLAR)
    books.refusal(extend(books.id, books.key_hash, "h", "1", DOLLAR + 1), InsufficientCredits)
    books.run(extend(books.id, books.key_hash, "h", "1", DOLLAR))


@pytest.mark.parametrize(
    ("members", "kind"),
    [
        ({"disabled": True}, KeyDisabled),
        ({"deleted_at_ms": T0_MS}, UnknownKey),
        ({"expires_at_ms": T0_MS}, KeyExpired),
    ],
)
def test_a_key_revoked_since_the_request_came_in_spends_nothing(
    books: OneAccount, members: dict[str, object], kind: type[UnknownKey]
) -> None:
    key_hash = books.add_key(**members)
    books.refusal(place(books.id, key_hash, "h", 1), kind)


def test_a_running_call_is_settled_though_its_key_was_deleted(books: OneAccount) -> None:
    for hold_id in ("captured", "voided", "expired"):
        held(books, hold_id, 2)
    books.change_key(books.key_hash, KeyChange(deleted=True), T0_MS)
    books.run(extend(books.id, books.key_hash, "captured", "1", 2))
    books.run(capture(books.id, books.key_hash, "captured", 3))
    books.run(void(books.id, books.key_hash, "voided"))
    books.run(expire(books.id, books.key_hash, "expired", T0_MS + HOLD_MS))
    assert books.figures == (10 * DOLLAR, 3, 0)
    assert books.keys[books.key_hash].usage_pico == 3


def test_a_key_spends_only_from_its_own_account(books: OneAccount) -> None:
    other = new_account_id()
    books.run(opening(other))
    for key_hash in (books.key_hash, "f" * 64):
        with pytest.raises(KeyNotFound, match=f"Account `{other}` does not have this key"):
            books.run(place(other, key_hash, "h", 0))


@pytest.mark.parametrize("other", ["another key of the account", "no key"])
def test_hold_is_refused_to_a_command_with_the_hash_of_another_key(
    books: OneAccount, other: str
) -> None:
    held(books, "h", 5)
    key_hash = books.add_key() if other == "another key of the account" else "f" * 64
    late_ms = T0_MS + HOLD_MS
    for command in (
        extend(books.id, key_hash, "h", "1", 1),
        capture(books.id, key_hash, "h", 1),
        void(books.id, key_hash, "h"),
        expire(books.id, key_hash, "h", late_ms),
    ):
        refused = books.refusal(command, HoldNotFound)
        assert str(refused) == f"Hold `h` does not belong to key `{key_hash}`. Check both IDs."
    books.run(capture(books.id, books.key_hash, "h", 2))
    assert books.figures == (10 * DOLLAR, 2, 0)


amounts = st.integers(0, 4 * DOLLAR)


@given(st.lists(st.tuples(amounts, amounts, st.booleans()), max_size=12))
def test_no_order_of_calls_overspends_or_loses_a_pico(calls: list[tuple[int, int, bool]]) -> None:
    books = OneAccount()
    spent = 0
    for number, (amount, used, kept) in enumerate(calls):
        hold_id = str(number)
        available = books.accounts[books.id].available_pico
        if amount > available:
            books.refusal(place(books.id, books.key_hash, hold_id, amount), InsufficientCredits)
            continue
        held(books, hold_id, amount)
        if not kept:
            books.run(capture(books.id, books.key_hash, hold_id, used))
            spent += min(amount, used)
    credits_pico, usage_pico, held_pico = books.figures
    assert usage_pico == spent == -sum(e.amount_pico for e in books.journal[2:])
    assert credits_pico - usage_pico - held_pico >= 0
    assert held_pico == sum(e.held_pico for e in books.journal)
    assert sum(e.amount_pico + e.platform_pico + e.overrun_pico for e in books.journal) == 0


def test_hold_is_refused_when_its_id_was_placed_under_another_reference(books: OneAccount) -> None:
    held(books, "h", 4)
    other = msgspec.structs.replace(
        place(books.id, books.key_hash, "h", 4), reference="hold:another"
    )
    with pytest.raises(HoldEnded, match="placed before under another reference"):
        books.run(other)


@pytest.mark.parametrize("kind", [KeyKind.MANAGEMENT, KeyKind.VIEWER])
def test_hold_is_refused_when_its_key_is_of_another_kind(books: OneAccount, kind: KeyKind) -> None:
    books.refusal(place(books.id, books.add_key(kind=kind), "h", 4), NotPermitted)
