import asyncio

import msgspec
import pytest

from modelgates_server.core.errors import (
    AccountNotEmpty,
    AccountNotFound,
    HoldEnded,
    HoldNotFound,
    InsufficientCredits,
    KeyLimitExceeded,
    KeyNotFound,
    ReferenceReused,
    TotalTooLarge,
)
from modelgates_server.core.keys import WindowUsage
from modelgates_server.core.ledger import commands as c
from modelgates_server.core.ledger.records import (
    Account,
    Entry,
    EntryKind,
    Hold,
    HoldState,
    PlatformAccount,
)
from modelgates_server.core.money import ENTRY_MAX_PICO
from modelgates_server.core.times import MS_PER_DAY
from modelgates_server.service.ports import Store
from tests.support import (
    DOLLAR,
    HOLD_MS,
    T0_MS,
    adjust,
    capture,
    capture_late,
    closing,
    expire,
    extend,
    grant,
    make_key,
    new_account_id,
    open_account,
    open_database,
    opening,
    place,
    repair,
    void,
)


async def figures(store: Store, account_id: str) -> tuple[int, int, int]:
    account = await store.account(account_id)
    assert account is not None
    return account.credits_pico, account.usage_pico, account.held_pico


async def journal(store: Store, account_id: str) -> list[Entry]:
    return await store.entries(account_id, after_seq=0, limit=1000)


async def test_unknown_account_is_none_and_lists_are_empty(store: Store) -> None:
    nobody = new_account_id()
    assert await store.account(nobody) is None
    assert await journal(store, nobody) == []
    assert await store.accounts(after="", limit=10) == []
    assert await store.expired_holds(T0_MS, 10) == []


async def test_account_is_read_back_as_opened(store: Store) -> None:
    account_id = new_account_id()
    command = msgspec.structs.replace(opening(account_id, -5), name="Žofie 株式会社 🙂 '; --")
    receipt = await store.execute(command)
    assert not receipt.replayed
    assert await store.account(account_id) == Account(
        account_id, command.name, -5, T0_MS, last_seq=1
    )
    assert await journal(store, account_id) == [receipt.entry]


async def test_every_kind_of_entry_is_read_back_as_returned(store: Store) -> None:
    account_id = await open_account(store, 10 * DOLLAR)
    _, key = await make_key(store, account_id)
    receipts = [
        await store.execute(command)
        for command in (
            adjust(account_id, -DOLLAR),
            place(account_id, key.hash, "captured", 4),
            extend(account_id, key.hash, "captured", "1", 2),
            capture(account_id, key.hash, "captured", 9),
            place(account_id, key.hash, "voided", 1),
            void(account_id, key.hash, "voided"),
            place(account_id, key.hash, "expired", 3),
            expire(account_id, key.hash, "expired", T0_MS + HOLD_MS, 2),
            capture_late(account_id, key.hash, "expired", 3),
            place(account_id, key.hash, "tomorrow", 1),
            capture(account_id, key.hash, "tomorrow", 1, T0_MS + MS_PER_DAY),
            msgspec.structs.replace(repair(key, T0_MS, WindowUsage(9, 9, 9)), usage_pico=10),
            adjust(account_id, 10 - 9 * DOLLAR, "empty"),
            closing(account_id),
        )
    ]
    entries = await journal(store, account_id)
    assert entries[2:] == [receipt.entry for receipt in receipts]
    assert {entry.kind for entry in entries} == set(EntryKind)
    assert {entry.platform for entry in entries} == {None, *PlatformAccount}
    assert entries[5] == Entry(
        account_id=account_id,
        seq=6,
        kind=EntryKind.USAGE,
        reference="end:captured",
        at_ms=T0_MS,
        balance_after_pico=9 * DOLLAR - 6,
        held_after_pico=0,
        amount_pico=-6,
        held_pico=-6,
        platform=PlatformAccount.REVENUE,
        platform_pico=9,
        overrun_pico=-3,
        hold_id="captured",
        key_hash=key.hash,
    )


async def test_largest_amounts_are_exact_to_the_pico(store: Store) -> None:
    account_id = await open_account(store, ENTRY_MAX_PICO)
    _, key = await make_key(store, account_id)
    await store.execute(place(account_id, key.hash, "h", ENTRY_MAX_PICO))
    assert await figures(store, account_id) == (ENTRY_MAX_PICO, 0, ENTRY_MAX_PICO)
    receipt = await store.execute(capture(account_id, key.hash, "h", ENTRY_MAX_PICO))
    assert receipt.entry.amount_pico == -ENTRY_MAX_PICO
    assert await figures(store, account_id) == (ENTRY_MAX_PICO, ENTRY_MAX_PICO, 0)


async def test_largest_overrun_is_exact_to_the_pico(store: Store) -> None:
    account_id = await open_account(store, 1)
    _, key = await make_key(store, account_id)
    await store.execute(place(account_id, key.hash, "h", 0))
    receipt = await store.execute(capture(account_id, key.hash, "h", ENTRY_MAX_PICO))
    assert receipt.entry.overrun_pico == -ENTRY_MAX_PICO
    assert (await journal(store, account_id))[-1] == receipt.entry


async def test_write_is_visible_to_the_next_read_of_every_store(
    store: Store, database_url: str
) -> None:
    other = open_database(database_url)
    account_id = await open_account(store, 5)
    for number in range(20):
        writer, reader = (store, other) if number % 2 else (other, store)
        await writer.execute(grant(account_id, 1, f"grant {number}"))
        for seen in (writer, reader):
            assert await figures(seen, account_id) == (6 + number, 0, 0)
            assert len(await journal(seen, account_id)) == 3 + number
    _, key = await make_key(other, account_id)
    caller = await store.authenticated_key(key.hash)
    assert caller is not None
    assert caller.credits_pico == 25
    await other.close()


async def test_reference_is_remembered_permanently_by_every_store(
    store: Store, database_url: str
) -> None:
    account_id = await open_account(store, 5)
    first = await store.execute(adjust(account_id, -2))
    for _ in range(3):
        later = open_database(database_url)
        again = await later.execute(
            msgspec.structs.replace(adjust(account_id, -2), at_ms=T0_MS * 2)
        )
        assert (again.entry, again.replayed) == (first.entry, True)
        with pytest.raises(ReferenceReused):
            await later.execute(adjust(account_id, -1))
        with pytest.raises(ReferenceReused):
            await later.execute(grant(account_id, 2, "adjust"))
        await later.close()
    assert await figures(store, account_id) == (3, 0, 0)


async def test_command_sent_many_times_at_once_is_posted_once(store: Store) -> None:
    account_id = await open_account(store, 5)
    receipts = await asyncio.gather(*(store.execute(grant(account_id, 7, "x")) for _ in range(50)))
    assert sum(not receipt.replayed for receipt in receipts) == 1
    assert len({receipt.entry.seq for receipt in receipts}) == 1
    assert await figures(store, account_id) == (12, 0, 0)


async def test_account_opened_many_times_at_once_is_one_account(store: Store) -> None:
    account_id = new_account_id()
    receipts = await asyncio.gather(*(store.execute(opening(account_id)) for _ in range(50)))
    assert sum(not receipt.replayed for receipt in receipts) == 1
    assert len(await journal(store, account_id)) == 1


async def test_refusals_of_the_core_are_raised_unchanged(store: Store) -> None:
    account_id = await open_account(store, 5)
    nobody = new_account_id()
    _, key = await make_key(store, account_id, limit_pico=3)
    before = await journal(store, account_id)
    refused: list[tuple[c.Command, type[Exception]]] = [
        (grant(nobody, 1), AccountNotFound),
        (adjust(account_id, -6), InsufficientCredits),
        (place(account_id, key.hash, "h", 6), InsufficientCredits),
        (place(account_id, key.hash, "h", 4), KeyLimitExceeded),
        (place(account_id, "f" * 64, "h", 1), KeyNotFound),
        (void(account_id, key.hash, "h"), HoldNotFound),
        (closing(account_id), AccountNotEmpty),
        (grant(account_id, ENTRY_MAX_PICO, "big"), TotalTooLarge),
        (grant(account_id, 4), ReferenceReused),
    ]
    for command, kind in refused:
        with pytest.raises(kind):
            await store.execute(command)
    assert await journal(store, account_id) == before
    assert await figures(store, account_id) == (5, 0, 0)


async def test_refused_command_does_not_affect_others_of_its_batch(store: Store) -> None:
    account_id = await open_account(store, 10)
    _, key = await make_key(store, account_id)
    commands: list[c.Command] = [
        place(account_id, key.hash, "good", 6),
        place(account_id, key.hash, "too much", 5),
        void(account_id, key.hash, "nothing"),
        place(account_id, "f" * 64, "no key", 1),
        place(account_id, key.hash, "good too", 4),
    ]
    results = await asyncio.gather(
        *(store.execute(command) for command in commands), return_exceptions=True
    )
    assert [isinstance(result, Exception) for result in results] == [False, *[True] * 3, False]
    assert await figures(store, account_id) == (10, 0, 10)


async def test_commands_of_one_caller_are_posted_in_order(store: Store) -> None:
    account_id = await open_account(store, 10)
    _, key = await make_key(store, account_id)
    for number in range(20):
        hold = place(account_id, key.hash, str(number), 10)
        results = await asyncio.gather(
            store.execute(hold), store.execute(void(account_id, key.hash, str(number)))
        )
        assert [r.entry.kind for r in results] == [EntryKind.HOLD, EntryKind.VOID]


async def test_hold_ends_once_when_many_end_it_at_once(store: Store) -> None:
    account_id = await open_account(store, 100)
    _, key = await make_key(store, account_id)
    for number in range(10):
        hold_id = str(number)
        await store.execute(place(account_id, key.hash, hold_id, 5))
        ends: list[c.Command] = [
            capture(account_id, key.hash, hold_id, 5),
            void(account_id, key.hash, hold_id),
            expire(account_id, key.hash, hold_id, T0_MS + HOLD_MS),
        ] * 5
        named = [
            msgspec.structs.replace(end, reference=f"{hold_id} {place_}")
            for place_, end in enumerate(ends)
        ]
        results = await asyncio.gather(
            *(store.execute(end) for end in named), return_exceptions=True
        )
        assert sum(not isinstance(result, Exception) for result in results) == 1
        assert {type(r) for r in results if isinstance(r, Exception)} == {HoldEnded}
    assert (await figures(store, account_id))[2] == 0


async def test_entries_are_paged_without_gaps_or_repeats(store: Store) -> None:
    account_id = await open_account(store)
    await open_account(store, 5)
    for number in range(24):
        await store.execute(grant(account_id, 1, f"grant {number}"))
    pages = []
    after = 0
    while page := await store.entries(account_id, after_seq=after, limit=10):
        pages.append(page)
        after = page[-1].seq
    assert [len(page) for page in pages] == [10, 10, 5]
    seqs = [entry.seq for page in pages for entry in page]
    assert seqs == list(range(1, 26))
    assert {entry.account_id for page in pages for entry in page} == {account_id}


async def test_accounts_are_paged_in_code_point_order(store: Store) -> None:
    ids = {"user_" + "0" * 21 + last for last in "019AZaz"}
    for account_id in ids:
        await open_account(store, account_id=account_id)
    listed: list[str] = []
    while page := await store.accounts(after=listed[-1] if listed else "", limit=3):
        listed.extend(account.id for account in page)
    assert listed == sorted(ids)


async def test_expired_holds_are_the_open_ones_past_expiry_oldest_first(store: Store) -> None:
    account_id = await open_account(store, 100)
    _, key = await make_key(store, account_id)
    for hold_id, minute in (("third", 3), ("first", 1), ("second", 2), ("late", 9), ("ended", 0)):
        at_ms = T0_MS + minute * 60_000
        await store.execute(place(account_id, key.hash, hold_id, 1, at_ms))
    await store.execute(void(account_id, key.hash, "ended"))
    last_ms = T0_MS + 3 * 60_000 + HOLD_MS
    expired = await store.expired_holds(last_ms, 10)
    assert [hold.id for hold in expired] == ["first", "second", "third"]
    assert expired[0] == Hold(
        account_id=account_id,
        id="first",
        key_hash=key.hash,
        state=HoldState.OPEN,
        amount_pico=1,
        created_at_ms=T0_MS + 60_000,
        expires_at_ms=T0_MS + 60_000 + HOLD_MS,
    )
    assert [hold.id for hold in await store.expired_holds(last_ms - 1, 10)] == ["first", "second"]
    assert [hold.id for hold in await store.expired_holds(last_ms, 1)] == ["first"]


async def test_commands_of_cancelled_caller_are_still_posted(store: Store) -> None:
    account_id = await open_account(store, 5)
    for number in range(20):
        running = asyncio.ensure_future(store.execute(grant(account_id, 1, str(number))))
        await asyncio.sleep(0)
        running.cancel()
    await store.execute(grant(account_id, 1, "last"))
    assert await figures(store, account_id) == (26, 0, 0)
