"""The file is edited behind the gateway's back, and `verify` must tell what was done to whom."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from modelgates_server.core.errors import StoreUnavailable
from modelgates_server.core.keys import Key
from modelgates_server.core.ledger import commands as c
from modelgates_server.core.ledger.commands import Attachment
from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import StoredAnswer
from modelgates_server.core.pricing.usage import Usage
from modelgates_server.service.ports import Store
from modelgates_server.service.verify import VerifyResult, verify
from modelgates_server.store.sqlite.opening import open_store
from tests.store import unpacked
from tests.store.damage import BROKEN, CHECKED, DAMAGE, LAST, NOWHERE, OF_ACCOUNT, SOUND
from tests.support import (
    DOLLAR,
    HOLD_MS,
    PICO_PRICE,
    T0_MS,
    adjust,
    capture,
    capture_late,
    expire,
    extend,
    finished,
    new_key,
    open_account,
    open_generation,
    place,
    void,
    voided_generation,
)

PAGE = 4096


# Statements that remove the database's own constraints.
UNGUARD = """
pragma ignore_check_constraints = on;
drop trigger entry_is_never_changed;
drop trigger entry_is_never_deleted;
drop trigger hold_ends_once;
drop trigger hold_is_never_deleted;
drop trigger generation_ends_once;
drop trigger generation_is_never_deleted;
drop trigger price_is_never_changed;
drop index entry_hold_ends_once;
drop index entry_late_usage_once;
pragma writable_schema = on;
update sqlite_schema set sql = replace(replace(sql, 'strict, ', ''), ') strict', ')');
update sqlite_schema set sql = replace(sql, 'record      text not null', 'record');
pragma writable_schema = reset;
"""
# Statements that edit the JSON of a record find it as earlier versions stored it.
UNPACK = "update generation set record = unpacked(packed), packed = null"


@pytest.fixture(scope="module")
async def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a closed store with three busy accounts."""
    path = tmp_path_factory.mktemp("sound") / "modelgates.db"
    store = open_store(path)
    for account_id in (SOUND, BROKEN, LAST):
        await keep_busy(store, account_id)
    await store.close()
    return path


@pytest.fixture
def sound_bytes(sound: Path) -> bytes:
    return sound.read_bytes()


@pytest.fixture
def ledger(sound: Path, sqlite_path: Path) -> Path:
    shutil.copy(sound, sqlite_path)
    return sqlite_path


async def keep_busy(store: Store, account_id: str) -> None:
    letter = account_id[-1].lower()
    _, key_1 = new_key(account_id, hash=f"{letter}1" * 32, label="one")
    _, key_2 = new_key(account_id, hash=f"{letter}2" * 32, label="two")
    await open_account(store, 10 * DOLLAR, account_id=account_id, min_balance_pico=-5 * DOLLAR)
    for key in (key_1, key_2):
        await store.create_key(key)
    await store.add_prices([PICO_PRICE])
    for step in journal(account_id, key_1, key_2):
        await store.execute(*step)


def journal(
    name: str, key_1: Key, key_2: Key
) -> Iterator[tuple[c.Command, *tuple[Attachment, ...]]]:
    first = key_1.hash
    call = open_generation(name, first, "h1", DOLLAR, idempotency="digest")
    yield place(name, first, "h1", DOLLAR), call
    call = msgspec.structs.replace(call, hold_pico=2 * DOLLAR)
    yield extend(name, first, "h1", "1", DOLLAR), call
    ended = finished(call, Usage(input=DOLLAR + 500))
    yield capture(name, first, "h1", DOLLAR + 500), ended, StoredAnswer(name, "h1", b"{}", T0_MS)
    call = open_generation(name, first, "h2", DOLLAR // 2)
    yield place(name, first, "h2", DOLLAR // 2), call
    yield capture(name, first, "h2", DOLLAR), finished(call, Usage(input=DOLLAR))
    call = open_generation(name, first, "h3", DOLLAR)
    yield place(name, first, "h3", DOLLAR), call
    yield void(name, first, "h3"), voided_generation(call)
    call = open_generation(name, first, "h4", DOLLAR)
    yield place(name, first, "h4", DOLLAR), call
    late_ms, used_pico = T0_MS + HOLD_MS, DOLLAR // 4
    lost = finished(call, Usage(input=used_pico), late_ms, HoldState.EXPIRED)
    yield expire(name, first, "h4", late_ms, used_pico), lost
    yield (adjust(name, -11 * DOLLAR),)
    yield (
        place(name, key_2.hash, "h5", DOLLAR),
        open_generation(name, key_2.hash, "h5", DOLLAR),
    )
    yield (place(name, first, "h6", 0),)
    yield (capture_late(name, first, "h4", DOLLAR // 2, late_ms + 1),)


def edit(path: Path, line: str) -> None:
    with closing(unpacked.connect(path)) as connection:
        connection.executescript(UNGUARD)
        if "record" in line and "record = ''" not in line:
            connection.execute(UNPACK)
        changed = connection.execute(line).rowcount
        connection.commit()
    assert changed, line


def overwrite(path: Path, before: bytes, start: int, new: bytes) -> None:
    path.write_bytes(before[:start] + new + before[start + len(new) :])


def checked_rows(path: Path) -> list[list[tuple[object, ...]]]:
    with closing(unpacked.connect(path)) as connection:
        return [
            connection.execute(f"select {columns} from {table} order by 1, 2").fetchall()
            for table, columns in CHECKED.items()
        ]


async def verified(path: Path) -> VerifyResult:
    store = open_store(path)
    try:
        return await verify(store)
    finally:
        await store.close()


async def told(path: Path) -> list[str]:
    """The findings that an operator reads about a damaged file."""
    try:
        return [finding.message for finding in (await verified(path)).findings]
    except StoreUnavailable as error:
        return [str(error)]


async def test_intact_ledger_has_no_findings(ledger: Path) -> None:
    result = await verified(ledger)
    assert result.findings == []
    assert (result.accounts, result.entries, result.holds) == (3, 3 * 15, 3 * 6)
    assert result.generations == 3 * 5


async def test_missing_constraints_are_not_reported_as_lost_money(ledger: Path) -> None:
    edit(ledger, "select 1")
    assert (await verified(ledger)).findings == []


@pytest.mark.parametrize("line", DAMAGE)
async def test_damage_is_found(ledger: Path, line: str) -> None:
    edit(ledger, line)
    found = [finding for finding in (await verified(ledger)).findings if finding.account_id]
    assert found[0].account_id == BROKEN
    assert set(DAMAGE[line].split()) <= {f.invariant for f in found if f.account_id == BROKEN}


@pytest.mark.parametrize("what", NOWHERE)
async def test_rows_without_an_account_are_found(ledger: Path, what: str) -> None:
    edit(ledger, NOWHERE[what])
    assert any(what in message for message in await told(ledger))


async def test_missing_account_is_named(ledger: Path) -> None:
    edit(ledger, f"delete from account where id = '{BROKEN}'")
    assert BROKEN in (await told(ledger))[0]


async def test_invalid_text_does_not_crash_the_check(ledger: Path) -> None:
    edit(ledger, f"update entry set reason = cast(x'ff' as text) {OF_ACCOUNT} and seq = 2")
    with pytest.raises(StoreUnavailable, match=f"account {BROKEN} cannot be read: .*UTF-8"):
        await verified(ledger)


async def test_overwritten_bytes_are_found_and_do_not_crash_the_check(
    sound: Path, sound_bytes: bytes, sqlite_path: Path
) -> None:
    rows = checked_rows(sound)
    steps = range(512, len(sound_bytes), 1024)
    unseen = 0
    for start in steps:
        overwrite(sqlite_path, sound_bytes, start, b"damaged!")
        if not await told(sqlite_path):
            unseen += 1
            assert checked_rows(sqlite_path) == rows, start
    assert unseen < len(steps), "some of the bytes are those of rows"


async def test_emptied_page_is_found_and_does_not_crash_the_check(
    sound_bytes: bytes, sqlite_path: Path
) -> None:
    for start in range(PAGE, len(sound_bytes), PAGE):
        overwrite(sqlite_path, sound_bytes, start, bytes(PAGE))
        assert await told(sqlite_path), start
