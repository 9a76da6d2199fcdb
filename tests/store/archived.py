"""A ledger with old and new calls of all kinds, and the records that it has with its archives."""

import asyncio
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import msgspec

from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import Generation, StoredAnswer
from modelgates_server.core.pricing.usage import Usage
from modelgates_server.core.times import MS_PER_DAY
from modelgates_server.service.ports import Store
from modelgates_server.service.verify import VerifyResult, verify
from modelgates_server.store.archives.files import manifests_in, records_of
from modelgates_server.store.archives.folder import ArchiveFolder
from modelgates_server.store.sqlite import archiving
from modelgates_server.store.sqlite.archiving import ArchiveRun
from modelgates_server.store.sqlite.connection import Connect, connect_stdlib
from modelgates_server.store.sqlite.opening import open_store
from modelgates_server.store.sqlite.snapshot import generation_rows
from tests.store import unpacked
from tests.support import (
    HOLD_MS,
    PICO_PRICE,
    T0_MS,
    capture,
    expire,
    finished,
    make_key,
    open_account,
    open_generation,
    place,
    void,
    voided_generation,
)

ACCOUNTS = [f"user_{letter * 22}" for letter in "ABC"]
BEFORE = "2026-11-24"
LATER_MS = T0_MS + 2 * MS_PER_DAY
NOW_MS = T0_MS + 5 * MS_PER_DAY
OLD_IDS = {"captured", "charged", "keyed", "voided", "free", "plain"}
IDS = OLD_IDS | {"answered", "later", "lost", "open"}
PLAIN = """
drop trigger generation_ends_once;
update generation set record = unpacked(packed), packed = null where id = 'plain';
"""


def key_of(account_id: str) -> str:
    return account_id[-1].lower() * 64


async def fill(path: Path) -> None:
    """Three accounts with a call of each id in `IDS`; `plain` is stored as version 0.3 did."""
    store = open_store(path)
    await store.add_prices([PICO_PRICE])
    for account_id in ACCOUNTS:
        await open_account(store, 1000, account_id=account_id)
        await make_key(store, account_id, hash=key_of(account_id))
        for hold_id in sorted(IDS):
            await _call(store, account_id, hold_id)
    await store.close()
    with closing(unpacked.connect(path)) as connection:
        (trigger,) = connection.execute(
            "select sql from sqlite_schema where name = 'generation_ends_once'"
        ).fetchone()
        connection.executescript(PLAIN + trigger)


async def _call(store: Store, account_id: str, hold_id: str) -> None:
    key_hash, at_ms = key_of(account_id), LATER_MS if hold_id == "later" else T0_MS
    digests = {"idempotency": hold_id, "request_digest": "digest"}
    call = open_generation(account_id, key_hash, hold_id, 20, at_ms, **digests)
    await store.execute(place(account_id, key_hash, hold_id, 20, at_ms), call)
    if hold_id == "voided":
        ended = voided_generation(call, at_ms)
        await store.execute(void(account_id, key_hash, hold_id, at_ms), ended)
    elif hold_id == "lost":
        late_ms = at_ms + HOLD_MS
        ended = finished(call, Usage(input=3), late_ms, HoldState.EXPIRED)
        await store.execute(expire(account_id, key_hash, hold_id, late_ms, 3), ended)
    elif hold_id != "open":
        used = 0 if hold_id == "free" else len(hold_id)
        ended = finished(call, Usage(input=used), at_ms)
        answers = [StoredAnswer(account_id, hold_id, b"{}", at_ms)] if hold_id == "answered" else []
        await store.execute(capture(account_id, key_hash, hold_id, used, at_ms), ended, *answers)


def run(path: Path, folder: Path, connect: Connect = connect_stdlib) -> ArchiveRun:
    return archiving.archive(path, folder, BEFORE, NOW_MS, lambda _: None, connect)


def records_in_database(path: Path) -> dict[tuple[str, str], bytes]:
    with closing(sqlite3.connect(path)) as connection:
        rows = generation_rows(connection)
        query = "select account_id, id, record, packed from generation where archive_id is null"
        return {
            (account_id, name): rows.json_of(name, record, packed)
            for account_id, name, record, packed in connection.execute(query)
        }


def records_in_archives(path: Path, folder: Path) -> list[dict[tuple[str, str], bytes]]:
    """The records of each archive that the database knows, without repeats."""
    with closing(sqlite3.connect(path)) as connection:
        names = [name for (name,) in connection.execute("select name from archive order by id")]
    found = []
    for name in names:
        records = [
            (msgspec.json.decode(each, type=Generation), each) for each in records_of(folder, name)
        ]
        by_name = {(record.account_id, record.id): each for record, each in records}
        assert len(by_name) == len(records) == manifests_in(folder)[name].generations
        found.append(by_name)
    return found


def complete(path: Path, folder: Path) -> dict[tuple[str, str], bytes]:
    """All records; asserts that none is in two archives, and that those in two places are equal."""
    database, archives = records_in_database(path), records_in_archives(path, folder)
    in_archives = Counter(name for records in archives for name in records)
    assert not in_archives or max(in_archives.values()) == 1
    together = {name: json for records in archives for name, json in records.items()}
    assert all(together.get(name, json) == json for name, json in database.items())
    return together | database


def verified(path: Path, folder: Path | None = None) -> VerifyResult:
    async def check() -> VerifyResult:
        store = open_store(path)
        try:
            archives = None if folder is None else ArchiveFolder(folder)
            return await verify(store, archives=archives)
        finally:
            await store.close()

    return asyncio.run(check())
