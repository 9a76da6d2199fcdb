"""Records of old calls move to archives, and nothing else changes."""

import asyncio
import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from modelgates_server.core.errors import (
    Conflict,
    GenerationArchived,
    InvalidInput,
    StoreUnavailable,
)
from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import ArchivedGeneration
from modelgates_server.core.pricing.usage import Usage
from modelgates_server.service.verify import verify
from modelgates_server.store.archives import files
from modelgates_server.store.archives.files import MANIFEST, RECORDS, manifests_in
from modelgates_server.store.archives.folder import ArchiveFolder
from modelgates_server.store.sqlite import archiving
from modelgates_server.store.sqlite.opening import open_store
from modelgates_server.store.zstandard import zstd
from tests.store.archived import (
    ACCOUNTS,
    BEFORE,
    IDS,
    LATER_MS,
    NOW_MS,
    OLD_IDS,
    complete,
    fill,
    key_of,
    records_in_database,
    run,
    verified,
)
from tests.support import capture, finished, open_generation, place

NAME = f"generations-before-{BEFORE}"
KEPT = """
select account_id, id, state, cost_pico, idempotency from generation
union all select account_id, key_hash, model, requests, usage_pico from activity
union all select id, name, credits_pico, usage_pico, held_pico from account order by 1, 2, 3"""


@pytest.fixture
def ledger(sqlite_path: Path) -> Path:
    asyncio.run(fill(sqlite_path))
    return sqlite_path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "archives"
    path.mkdir()
    return path


@pytest.fixture
def archived(ledger: Path, folder: Path) -> Path:
    run(ledger, folder)
    return ledger


def kept(path: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(KEPT).fetchall()


def test_records_of_old_calls_move_and_everything_else_stays(ledger: Path, folder: Path) -> None:
    before, records = kept(ledger), records_in_database(ledger)
    done = run(ledger, folder)
    assert done.archive is not None
    assert (done.completed, done.unreadable, done.ignored) == ([], 0, [])
    assert done.archive.generations == len(ACCOUNTS) * len(OLD_IDS)
    assert complete(ledger, folder) == records
    assert {name for _, name in records_in_database(ledger)} == IDS - OLD_IDS
    assert kept(ledger) == before
    assert sorted(path.name for path in folder.iterdir()) == [
        f"{NAME}{MANIFEST}",
        f"{NAME}{RECORDS}",
    ]
    assert all(path.stat().st_mode & 0o77 == 0 for path in folder.iterdir())


@pytest.mark.usefixtures("archived")
def test_archive_is_plain_zstd_and_the_manifest_has_its_sums(folder: Path) -> None:
    data = (folder / f"{NAME}{RECORDS}").read_bytes()
    lines = [json.loads(line) for line in zstd.decompress(data).splitlines()]
    names = [(line["account_id"], line["id"]) for line in lines]
    assert names == sorted(names)
    manifest = json.loads((folder / f"{NAME}{MANIFEST}").read_text())
    assert manifest["generations"] == len(lines)
    assert manifest["database"] == ACCOUNTS[0]
    assert manifest["bytes"] == len(data)
    cost_pico = sum(line.get("cost_pico", 0) for line in lines)
    assert manifest["cost"] == f"0.{cost_pico:012d}".rstrip("0")
    assert manifest["first_ended_ms"] == min(line["ended_at_ms"] for line in lines)


def test_archived_generation_says_where_it_is(archived: Path, folder: Path) -> None:
    async def read() -> None:
        store = open_store(archived)
        for wanted in (store.generation(ACCOUNTS[0], "keyed"), store.generation_by_id("keyed")):
            with pytest.raises(GenerationArchived, match=f"in the archive `{NAME}`"):
                await wanted
        latest = await store.latest_by_idempotency_key(ACCOUNTS[0], "voided")
        expected = ArchivedGeneration(ACCOUNTS[0], "voided", HoldState.VOIDED, 0, "voided", NAME)
        assert latest == expected
        assert (await store.generation(ACCOUNTS[0], "later")) is not None
        assert [hold.id for hold, _ in await store.open_holds(ACCOUNTS[0], limit=9)] == ["open"]
        await store.close()

    asyncio.run(read())
    found = ArchiveFolder(folder).find(ACCOUNTS[1], "keyed")
    assert (found.account_id, found.id, found.cost_pico) == (ACCOUNTS[1], "keyed", len("keyed"))


def test_verify_passes_with_archives_and_without(archived: Path, folder: Path) -> None:
    count = len(ACCOUNTS) * len(OLD_IDS)
    for given, not_seen in ((None, [NAME]), (folder, [])):
        result = verified(archived, given)
        assert result.findings == []
        assert (result.archived, result.archives, result.archives_not_seen) == (
            count,
            [NAME],
            not_seen,
        )
        assert result.generations == len(ACCOUNTS) * len(IDS)


def test_second_run_finds_nothing_and_a_later_one_makes_another_archive(
    archived: Path, folder: Path
) -> None:
    assert run(archived, folder) == archiving.ArchiveRun([], None, 0, [])
    with closing(sqlite3.connect(archived)) as connection:
        connection.execute("delete from answer")
        connection.commit()
    again = run(archived, folder).archive
    assert again is not None
    assert (again.name, again.generations) == (f"{NAME}-2", len(ACCOUNTS))
    assert verified(archived, folder).findings == []


def test_count_changes_nothing(ledger: Path) -> None:
    before = ledger.read_bytes()
    assert archiving.count_old(ledger, BEFORE, NOW_MS, lambda _: None) == 3 * len(OLD_IDS)
    assert ledger.read_bytes() == before


@pytest.mark.parametrize("before", ["2026-11-28", "2030-01-01"])
def test_day_that_is_too_recent_is_rejected(ledger: Path, folder: Path, before: str) -> None:
    with pytest.raises(InvalidInput, match="is too recent"):
        archiving.archive(ledger, folder, before, NOW_MS, lambda _: None)


def test_day_and_folder_are_checked(ledger: Path, folder: Path) -> None:
    with pytest.raises(InvalidInput, match="is not a day"):
        archiving.archive(ledger, folder, "yesterday", NOW_MS, lambda _: None)
    with pytest.raises(InvalidInput, match=r"The folder .*/missing does not exist"):
        run(ledger, folder / "missing")


def test_second_run_at_the_same_time_is_rejected(ledger: Path, folder: Path) -> None:
    with archiving._alone(ledger), pytest.raises(Conflict, match="is at work on this database"):
        run(ledger, folder)


def test_record_that_cannot_be_read_stays(ledger: Path, folder: Path) -> None:
    with closing(sqlite3.connect(ledger)) as connection:
        connection.execute("drop trigger generation_ends_once")
        connection.execute("update generation set packed = x'01ff' where id = 'keyed'")
        connection.commit()
    done = run(ledger, folder)
    assert (done.archive and done.archive.generations, done.unreadable) == (15, 3)
    unreadable = [f.message for f in verified(ledger, folder).findings if f.invariant == "file"]
    assert len(unreadable) == 3
    assert all("generation 'keyed' cannot be read" in message for message in unreadable)


@pytest.mark.usefixtures("archived")
def test_archive_of_another_database_is_left_alone(folder: Path, tmp_path: Path) -> None:
    manifest = manifests_in(folder)[NAME]
    other = tmp_path / "other.db"
    asyncio.run(fill(other))
    foreign = msgspec.structs.replace(manifest, database="user_X")
    (folder / f"{NAME}{MANIFEST}").write_bytes(msgspec.json.encode(foreign))
    done = run(other, folder)
    assert done.completed == []
    assert done.archive is not None
    assert done.archive.name == f"{NAME}-2"


def test_archive_of_a_later_state_is_left_alone(ledger: Path, folder: Path) -> None:
    with closing(sqlite3.connect(ledger)) as connection:
        connection.execute("vacuum into ?", (str(ledger.with_name("backup.db")),))

    async def call_later() -> None:
        store, key_hash = open_store(ledger), key_of(ACCOUNTS[0])
        call = open_generation(ACCOUNTS[0], key_hash, "new", 9)
        await store.execute(place(ACCOUNTS[0], key_hash, "new", 9), call)
        ended = finished(call, Usage(input=3))
        await store.execute(capture(ACCOUNTS[0], key_hash, "new", 3), ended)
        await store.close()

    asyncio.run(call_later())
    run(ledger, folder)
    done = run(ledger.with_name("backup.db"), folder)
    assert done.ignored == [NAME]
    assert done.archive is not None
    assert done.archive.name == f"{NAME}-2"


def rewrite(folder: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path = folder / f"{NAME}{RECORDS}"
    lines = zstd.decompress(path.read_bytes()).splitlines(keepends=True)
    path.write_bytes(zstd.compress(b"".join(change(lines))))


def forge(folder: Path, **changed: Any) -> None:
    """Changes the manifest, with the digest of the file as it is now."""
    manifest = manifests_in(folder)[NAME]
    digest = files.sha256_of(folder / f"{NAME}{RECORDS}")
    forged = msgspec.structs.replace(manifest, **{"sha256": digest, **changed})
    (folder / f"{NAME}{MANIFEST}").write_bytes(msgspec.json.encode(forged))


def rewrite_and_forge(folder: Path) -> None:
    rewrite(folder, cheaper)
    forge(folder)


def cheaper(lines: list[bytes]) -> list[bytes]:
    return [line.replace(b'"cost_pico":5', b'"cost_pico":4') for line in lines]


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "changed cost": (lambda folder: rewrite(folder, cheaper), "another SHA-256"),
    "changed cost, forged manifest": (
        rewrite_and_forge,
        "the manifest of archive .* is not that of the database",
    ),
    "missing line": (lambda folder: rewrite(folder, lambda lines: lines[1:]), "another SHA-256"),
    "damaged bytes": (
        lambda folder: (folder / f"{NAME}{RECORDS}").write_bytes(b"damaged"),
        "another SHA-256",
    ),
    "wrong digest": (
        lambda folder: forge(folder, sha256="0" * 64),
        "the manifest of archive .* is not that of the database",
    ),
    "wrong sum": (
        lambda folder: forge(folder, cost="1"),
        "the manifest of archive .* is not that of the database",
    ),
    "missing file": (
        lambda folder: (folder / f"{NAME}{RECORDS}").unlink(),
        "cannot be read",
    ),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damaged_archive_is_found(archived: Path, folder: Path, what: str) -> None:
    do, told = DAMAGE[what]
    do(folder)
    found = verified(archived, folder).findings
    assert any(finding.account_id is None for finding in found)
    with pytest.raises(AssertionError):
        assert not found
    assert any(re.search(told, finding.message) for finding in found)


EMPTY = "update generation set record = '', packed = null, archive_id = 1 where id = 'later'"


@pytest.mark.parametrize(
    ("damage", "with_archives", "told"),
    [
        (EMPTY, False, "archive .* has 18 generations that cost .*, but 21 that cost"),
        (EMPTY, True, "archive .* has 18 generations that cost .*, but 21 that cost"),
        ("update generation set cost_pico = 9 where id = 'keyed'", False, "cost of generation"),
        ("update generation set cost_pico = 9 where id = 'keyed'", True, "cost of generation"),
        ("update generation set idempotency = 'x' where id = 'keyed'", True, "idempotency of"),
        (
            "update generation set state = 'voided', cost_pico = 0 where id = 'keyed'",
            False,
            "state of",
        ),
        ("update activity set usage_pico = usage_pico + 1", False, "archived generations of key"),
        ("update activity set usage_pico = usage_pico + 1", True, "usage of activity"),
        ("update activity set prompt_tokens = 1", False, "prompt_tokens of activity .* less than"),
        ("delete from activity", False, "archived generations of key"),
        ("delete from archive", False, "generations without their archive"),
    ],
)
def test_damaged_row_of_an_archived_generation_is_found(
    archived: Path, folder: Path, damage: str, with_archives: bool, told: str
) -> None:
    with closing(sqlite3.connect(archived)) as connection:
        for name in ("generation_ends_once", "archive_is_never_deleted"):
            connection.execute(f"drop trigger {name}")
        connection.execute(damage)
        connection.commit()
    found = verified(archived, folder if with_archives else None).findings
    assert any(re.search(told, finding.message) for finding in found), found


async def test_calls_continue_while_records_are_archived(ledger: Path, folder: Path) -> None:
    store, key_hash = open_store(ledger), key_of(ACCOUNTS[2])
    archive = asyncio.create_task(asyncio.to_thread(run, ledger, folder))
    calls = 0
    while not archive.done() or calls < 20:
        name = f"new-{calls}"
        call = open_generation(ACCOUNTS[2], key_hash, name, 1, LATER_MS)
        await store.execute(place(ACCOUNTS[2], key_hash, name, 1, LATER_MS), call)
        ended = finished(call, Usage(input=1), LATER_MS)
        await store.execute(capture(ACCOUNTS[2], key_hash, name, 1, LATER_MS), ended)
        calls += 1
    assert (await archive).archive is not None
    result = await verify(store, archives=ArchiveFolder(folder))
    assert (result.findings, result.archives_not_seen) == ([], [])
    await store.close()


def test_interrupted_run_needs_the_folder_of_its_archive(
    ledger: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise StoreUnavailable("stopped")

    with monkeypatch.context() as stopping:
        stopping.setattr(archiving.Archiver, "empty", interrupted)
        with pytest.raises(StoreUnavailable, match="stopped"):
            run(ledger, folder)
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(InvalidInput, match="Give the folder with this archive in --to"):
        run(ledger, other)
    done = run(ledger, folder)
    assert ([archive.name for archive in done.completed], done.archive) == ([NAME], None)
