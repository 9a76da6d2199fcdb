import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from modelgates_server.core.ledger.records import Entry, EntryKind
from modelgates_server.core.money import format_pico
from modelgates_server.service.ports import Store
from tests.contract.workers import Job, Worker, several, work
from tests.support import DOLLAR, make_key, new_account_id, open_account, open_database

CLIENTS = 64
PROCESSES = 4
AMOUNT_PICO = 12_345_678_901


@pytest.fixture
async def workers(database_url: str) -> AsyncIterator[list[Worker]]:
    async with several(database_url, PROCESSES) as started:
        assert await asyncio.gather(*(worker.open() for worker in started)) == ["open"] * PROCESSES
        yield started


async def spread(workers: list[Worker], job: Job) -> Counter[str]:
    """Runs the same job in every process at once, each with its own hold ids."""
    jobs = [replace(job, prefix=f"{job.prefix}{number}.") for number in range(len(workers))]
    answers = await asyncio.gather(
        *(worker.do(each) for worker, each in zip(workers, jobs, strict=True))
    )
    return sum(answers, Counter())


async def whole_journal(store: Store, account_id: str) -> list[Entry]:
    entries: list[Entry] = []
    while page := await store.entries(account_id, after_seq=len(entries), limit=1000):
        entries.extend(page)
    return entries


async def test_64_clients_place_exactly_the_holds_that_credits_cover(store: Store) -> None:
    for affordable in [*range(0, CLIENTS, 5), CLIENTS]:
        account_id = await open_account(store, affordable * AMOUNT_PICO + AMOUNT_PICO - 1)
        _, key = await make_key(store, account_id)
        job = Job(account_id, "h", CLIENTS, CLIENTS, key.hash, AMOUNT_PICO)
        refused = CLIENTS - affordable
        assert await work(store, job) == Counter(done=affordable, InsufficientCredits=refused)
        account = await store.account(account_id)
        assert account is not None
        assert account.available_pico == AMOUNT_PICO - 1


async def test_64_clients_place_exactly_the_holds_that_key_limit_covers(store: Store) -> None:
    account_id = await open_account(store, 1000 * DOLLAR)
    for affordable in [*range(0, CLIENTS, 5), CLIENTS]:
        _, key = await make_key(store, account_id, limit_pico=(affordable + 1) * AMOUNT_PICO - 1)
        job = Job(account_id, key.hash[:9], CLIENTS, CLIENTS, key.hash, AMOUNT_PICO)
        refused = CLIENTS - affordable
        assert await work(store, job) == Counter(done=affordable, KeyLimitExceeded=refused)


async def test_several_processes_place_exactly_the_holds_that_credits_cover(
    store: Store, workers: list[Worker]
) -> None:
    for affordable in (0, 1, 7, 33, 63, 64):
        account_id = await open_account(store, affordable * AMOUNT_PICO + AMOUNT_PICO - 1)
        _, key = await make_key(store, account_id)
        job = Job(account_id, "h", CLIENTS // PROCESSES, CLIENTS, key.hash, AMOUNT_PICO)
        refused = CLIENTS - affordable
        outcomes = await spread(workers, job)
        assert outcomes == Counter(done=affordable, InsufficientCredits=refused)
        account = await store.account(account_id)
        assert account is not None
        assert account.available_pico == AMOUNT_PICO - 1


async def test_several_processes_place_exactly_the_holds_that_key_limit_covers(
    store: Store, workers: list[Worker]
) -> None:
    account_id = await open_account(store, 1000 * DOLLAR)
    for affordable in (0, 1, 7, 33, 63, 64):
        _, key = await make_key(store, account_id, limit_pico=(affordable + 1) * AMOUNT_PICO - 1)
        prefix = key.hash[:9]
        job = Job(account_id, prefix, CLIENTS // PROCESSES, CLIENTS, key.hash, AMOUNT_PICO)
        refused = CLIENTS - affordable
        assert await spread(workers, job) == Counter(done=affordable, KeyLimitExceeded=refused)


async def test_parallel_first_requests_of_several_processes_open_one_account(
    store: Store, workers: list[Worker]
) -> None:
    for _ in range(5):
        account_id = new_account_id()
        outcomes = await spread(workers, Job(account_id, "", 16, 16))
        assert outcomes == Counter(done=1, again=CLIENTS - 1)
        assert len(await whole_journal(store, account_id)) == 1


async def test_ten_thousand_parallel_captures_add_up_to_the_pico(store: Store) -> None:
    calls, used_pico = 10_000, 100_000
    account_id = await open_account(store, DOLLAR)
    _, key = await make_key(store, account_id)
    job = Job(account_id, "h", calls, 500, key.hash, used_pico * 3, used_pico)
    assert await work(store, job) == Counter(done=calls)
    account, saved = await store.account(account_id), await store.key(key.hash)
    assert account is not None
    assert saved is not None
    assert format_pico(account.usage_pico) == "0.001"
    assert (account.held_pico, saved.held_pico, saved.usage_pico) == (0, 0, account.usage_pico)
    entries = await whole_journal(store, account_id)
    assert len(entries) == 2 * calls + 2
    assert -sum(e.amount_pico for e in entries if e.kind is EntryKind.USAGE) == account.usage_pico


async def test_updates_of_hot_key_by_several_processes_are_all_kept(
    store: Store, workers: list[Worker]
) -> None:
    calls = 250
    account_id = await open_account(store, DOLLAR)
    _, key = await make_key(store, account_id, limit_pico=DOLLAR)
    job = Job(account_id, "h", calls, 16, key.hash, 5, 3)
    assert await spread(workers, job) == Counter(done=calls * PROCESSES)
    account, saved = await store.account(account_id), await store.key(key.hash)
    assert account is not None
    assert saved is not None
    assert (account.usage_pico, account.held_pico) == (3 * calls * PROCESSES, 0)
    assert (saved.usage_pico, saved.held_pico) == (account.usage_pico, 0)
    entries = await whole_journal(store, account_id)
    assert [entry.seq for entry in entries] == list(range(1, 2 * calls * PROCESSES + 3))


async def test_two_writing_processes_progress_equally_on_one_database(
    store: Store, database_url: str
) -> None:
    calls = 6000
    account_id = await open_account(store, DOLLAR)
    _, key = await make_key(store, account_id)
    async with several(database_url, 2) as pair:
        assert await asyncio.gather(*(worker.open() for worker in pair)) == ["open", "open"]
        job = Job(account_id, "", calls, CLIENTS, key.hash, 1)
        assert await spread(pair, job) == Counter(done=2 * calls)
    done: Counter[str] = Counter()
    for entry in (await whole_journal(store, account_id))[2:]:
        done[(entry.hold_id or "")[:2]] += 1
        if max(done.values()) == calls:
            break
    # With SQLite's own busy handler, the slower process had mostly made fewer than 400 by then.
    assert min(done["0."], done["1."]) >= calls // 2, done


async def test_empty_database_is_opened_by_several_processes_at_once(
    database_url: str,
) -> None:
    async with several(database_url, 6) as started:
        assert await asyncio.gather(*(worker.open() for worker in started)) == ["open"] * 6
        job = Job(new_account_id(), "", 1, 1)
        assert await spread(started, job) == Counter(done=1, again=5)
    store = open_database(database_url)
    assert await store.damage() == []
    await store.close()
