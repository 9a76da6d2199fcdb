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

SOUND, BROKEN, LAST = (f"user_{letter * 22}" for letter in "ABC")
KEY_1, KEY_2 = "b1" * 32, "b2" * 32
PAGE = 4096

OF_ACCOUNT = f"where account_id = '{BROKEN}'"

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

# The journal of BROKEN: 1 open, 2 grant 10, 3 hold h1, 4 extend h1, 5 usage h1, 6 hold h2,
# 7 usage h2 with overrun, 8 hold h3, 9 void h3, 10 hold h4, 11 expire h4, 12 adjustment -11,
# 13 hold h5 of key 2, still open, 14 hold h6, open and free, 15 late_usage h4. SOUND, LAST: alike.
# Every hold but h6 has a generation; that of h1 has an answer.
#
# Changes to a row of BROKEN, and the invariants that they violate.
ACCOUNT = {
    "credits_pico = credits_pico + 1": "I1 I7 I8",
    "credits_pico = credits_pico + 0.5": "file",
    "credits_pico = 'many'": "file",
    "usage_pico = usage_pico - 1": "I1 I7 I8",
    "credits_pico = credits_pico + 1, usage_pico = usage_pico + 1": "I1 I8",
    "held_pico = 0": "I2 I8",
    "last_seq = last_seq + 1": "I4",
    "min_balance_pico = 0": "I3",
    "min_balance_pico = min_balance_pico - 1": "I3",
    "closed_at_ms = 5": "I1",
    "name = 'Somebody Else'": "I1",
    "created_at_ms = created_at_ms - 1": "I1",
    "name = x'00ff'": "file",
}
ENTRY = {
    (2, "amount_pico = amount_pico + 1"): "I1 I7 I8",
    (2, "amount_pico = amount_pico + 1, platform_pico = platform_pico - 1"): "I1 I7 I8",
    (2, "amount_pico = 0.5"): "file I1 I7 I8",
    (2, "platform_pico = platform_pico + 1"): "I7",
    (2, "platform = 'revenue'"): "I7",
    (2, "platform = null"): "I7",
    (2, "platform = 'nobody'"): "file I1 I7 I8",
    (2, "kind = 'nonsense'"): "file I1 I7 I8",
    (2, "kind = 'adjustment'"): "I7",
    (4, "kind = 'hold'"): "I5",
    (5, "at_ms = 9223372036854775807"): "file I1 I2 I6 I7 I8",
    (5, "overrun_pico = -1, platform_pico = platform_pico + 1"): "I6",
    (7, "overrun_pico = overrun_pico - 1"): "I7",
    (8, "balance_after_pico = 5"): "I1",
    (8, "held_after_pico = 5"): "I2",
    (8, "kind = 'extend'"): "I5",
    (9, "hold_id = 'h1'"): "I2 I5 I6",
    (9, "hold_id = null"): "I2 I5 I6",
    (9, "key_hash = null"): "I2 I5 I6",
    (9, "key_hash = 'x'"): "I1 I2 I6",
    (9, "seq = 20"): "I4",
    (14, "account_id = 'x'"): "I4",
    (14, f"account_id = '{LAST}', seq = 16, reference = 'x'"): "I4",
    (15, "amount_pico = amount_pico + 1, overrun_pico = -1"): "I1 I6 I7 I8",
    (15, "platform_pico = platform_pico + 1, overrun_pico = -1"): "I6",
    (15, "kind = 'usage'"): "I5",
    **{(15, f"hold_id = '{hold_id}'"): "I6" for hold_id in ("h1", "h3", "h6")},
    (15, "held_pico = 1"): "I2",
}
HOLD = {
    ("h1", "state = 'voided'"): "I6",
    ("h1", "state = 'nonsense'"): "file",
    ("h1", "state = 'open', charged_pico = null, ended_at_ms = null"): "I2 I6",
    ("h1", "amount_pico = amount_pico + 1"): "I6",
    ("h1", "charged_pico = charged_pico - 1"): "I6",
    ("h1", f"key_hash = '{KEY_2}'"): "I6",
    ("h1", f"account_id = '{LAST}', id = 'x'"): "I6",
    ("h5", "state = 'voided', charged_pico = 0, ended_at_ms = 5"): "I2 I6",
    ("h5", "amount_pico = amount_pico + 1"): "I2 I6",
}
KEY = {
    "usage_pico = 0": "I1",
    "held_pico = 1": "I2",
    "usage_day = usage_day + 1": "I1",
    "usage_daily_pico = 1": "I1",
    "usage_weekly_pico = 1": "I1",
    "usage_monthly_pico = 1": "I1",
    "kind = 'nonsense'": "file I1",
    f"account_id = '{LAST}'": "I1",
}
GENERATION = {
    ("h1", "state = 'expired'"): "I6",
    ("h1", "state = 'nonsense'"): "file",
    ("h1", "cost_pico = cost_pico + 1"): "I6",
    ("h1", "cost_pico = 0.5"): "file",
    ("h1", "idempotency = null"): "I6",
    ("h1", "record = substr(record, 2)"): "file",
    ("h1", "record = replace(record, '\"input\":', '\"input\":-')"): "file",
    ("h1", "record = x'00ff'"): "file",
    ("h1", "record = null"): "file",
    ("h1", "record = 5"): "file",
    ("h1", "record = '', packed = null"): "file",
    ("h1", "record = '', packed = x''"): "file",
    ("h1", "packed = 'text'"): "file",
    ("h1", "record = '', packed = x'0100ff'"): "file",
    ("h1", "packed = substr(packed, 1, length(packed) - 1)"): "file",
    ("h1", "packed = cast(x'09' || substr(packed, 2) as blob)"): "file",
    ("h1", f"packed = (select packed from generation {OF_ACCOUNT} and id = 'h2')"): "I6",
    ("h1", f"account_id = '{LAST}', id = 'x'"): "I1",
    ("h5", "state = 'captured', record = json_set(record, '$.state', 'captured')"): "I6",
}
RECORD = {
    "id": "'h9'",
    "account_id": f"'{LAST}'",
    "key_hash": f"'{KEY_2}'",
    "hold_pico": 5,
    "overrun_pico": 5,
    "created_at_ms": 5,
    "ended_at_ms": T0_MS + 1,
    "idempotency": "'another'",
    "lines[0].quantity": 5,
    "lines[0].rate": "'2e-12'",
    "lines[0].amount": "'1.5'",
    "lines": "json('[]')",
    "usage.input": 5,
    "usage.output": 5,
}
SUMS = ("requests", "usage_pico", "prompt_tokens", "completion_tokens", "cached_tokens")
ACTIVITY = {
    **{f"{name} = {name} + 1": "I1" for name in (*SUMS, "reasoning_tokens")},
    "quarter_hour = quarter_hour + 9000": "I1",
    "model = 'another'": "I1",
    "provider = 'another'": "I1",
    f"key_hash = '{KEY_2}'": "I1",
    f"account_id = '{LAST}', quarter_hour = quarter_hour - 9000": "I1",
    "requests = 0.5": "file",
    "model = x'00ff'": "file",
}
OF_ACCOUNT = f"where account_id = '{BROKEN}'"
ADD_ENTRY = "insert into entry select account_id, 16, kind, 'new', at_ms, balance_after_pico"
DAMAGE = {
    **{f"update account set {do} where id = '{BROKEN}'": inv for do, inv in ACCOUNT.items()},
    **{f"update entry set {do} {OF_ACCOUNT} and seq = {n}": i for (n, do), i in ENTRY.items()},
    **{f"update hold set {do} {OF_ACCOUNT} and id = '{n}'": i for (n, do), i in HOLD.items()},
    **{f"update api_key set {do} where hash = '{KEY_1}'": inv for do, inv in KEY.items()},
    **{
        f"update generation set {do} {OF_ACCOUNT} and id = '{n}'": i
        for (n, do), i in GENERATION.items()
    },
    **{
        f"update generation set record = json_set(record, '$.{name}', {value}) {OF_ACCOUNT} "
        "and id = 'h1'": "I6"
        for name, value in RECORD.items()
    },
    **{f"update activity set {do} {OF_ACCOUNT}": inv for do, inv in ACTIVITY.items()},
    f"delete from activity {OF_ACCOUNT}": "I1",
    f"delete from generation {OF_ACCOUNT} and id = 'h1'": "I1",
    f"delete from entry {OF_ACCOUNT}": "I1 I2 I4 I7 I8",
    f"delete from entry {OF_ACCOUNT} and seq = 1": "I4",
    f"delete from entry {OF_ACCOUNT} and seq = 9": "I2 I4 I6",
    f"delete from entry {OF_ACCOUNT} and seq = 14": "I4",
    f"delete from hold {OF_ACCOUNT} and id = 'h1'": "I6",
    f"delete from hold {OF_ACCOUNT} and id = 'h5'": "I2 I6",
    f"delete from api_key where hash = '{KEY_1}'": "I1",
    # More credits, another hold, a second charge for a hold, each without its rows.
    f"{ADD_ENTRY} + 1, held_after_pico, 1, 0, 'grants', -1, 0, null, null, 'x', null from entry "
    f"{OF_ACCOUNT} and seq = 2": "I1 I4 I7 I8",
    f"{ADD_ENTRY}, 0, 0, 0, null, 0, 0, 'h9', key_hash, null, null from entry "
    f"{OF_ACCOUNT} and seq = 8": "I1 I4 I6",
    f"{ADD_ENTRY}, 0, 0, 0, platform, 0, 0, hold_id, key_hash, null, null from entry "
    f"{OF_ACCOUNT} and seq = 5": "I1 I2 I4 I5 I6",
    f"delete from entry {OF_ACCOUNT} and seq = 15": "I1",
    f"{ADD_ENTRY} - 1, held_after_pico, -1, 0, platform, 1, 0, hold_id, key_hash, null, null from "
    f"entry {OF_ACCOUNT} and seq = 15": "I1 I4 I6",
}
NOWHERE = {
    "entries without an account": f"delete from account where id = '{BROKEN}'",
    "holds without an account": f"update hold set account_id = 'x' {OF_ACCOUNT} and id = 'h1'",
    "keys without an account": f"update api_key set account_id = 'x' where hash = '{KEY_1}'",
    "holds without an entry": "insert into hold select account_id, 'h9', key_hash, state, "
    "amount_pico, created_at_ms, expires_at_ms, charged_pico, ended_at_ms from hold "
    f"{OF_ACCOUNT} and id = 'h1'",
    "generations without a hold": f"update generation set id = 'x' {OF_ACCOUNT} and id = 'h3'",
    "answers without a generation": f"update answer set generation_id = 'x' {OF_ACCOUNT}",
    "activity without an account": f"update activity set account_id = 'x' {OF_ACCOUNT}",
    "The price 'price-1' cannot be read": "update price set tiers = '[]'",
}
# All that a check answers for; the other columns hold names, limits and the like.
CHECKED = {
    "account": "id, closed_at_ms, credits_pico, usage_pico, held_pico, last_seq",
    "entry": """account_id, seq, kind, balance_after_pico, held_after_pico, amount_pico, held_pico,
        platform, platform_pico, overrun_pico, hold_id, key_hash""",
    "hold": """account_id, id, key_hash, state, amount_pico, created_at_ms, charged_pico,
        ended_at_ms""",
    "api_key": """account_id, hash, held_pico, usage_pico, usage_day, usage_daily_pico,
        usage_weekly_pico, usage_monthly_pico""",
    "generation": """account_id, id, state, cost_pico, idempotency, json_extract(unpacked(packed),
        '$.lines', '$.id', '$.key_hash', '$.hold_pico', '$.cost_pico', '$.created_at_ms',
        '$.ended_at_ms')""",
    "activity": "*",
    "answer": "account_id, generation_id",
}


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
