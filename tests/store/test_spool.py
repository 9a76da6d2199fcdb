"""The spool in a folder: settlements are read back completely, or the problem is reported."""

import os
from decimal import Decimal
from pathlib import Path
from stat import S_IMODE

import pytest
from msgspec.structs import replace

from modelgates_server.core.errors import StoreUnavailable
from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import Attempt, Generation, Origin, StoredAnswer
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.core.pricing.prices import ReceiptLine
from modelgates_server.core.pricing.usage import Usage
from modelgates_server.service.spool_ports import PendingSettlement, SpoolFigures
from modelgates_server.store.end_lines import to_json
from modelgates_server.store.files import locked
from modelgates_server.store.spool import FolderSpool
from tests.gateway import pending
from tests.support import T0_MS

ACCOUNT = "user_spooled"


def settlement(generation_id: str = "gen-1") -> PendingSettlement:
    """A call with everything on it that a settlement can have."""
    generation = Generation(
        id=generation_id,
        account_id=ACCOUNT,
        key_hash="a" * 64,
        api=Api.CHAT,
        model="acme/large",
        endpoint_id="acme:large",
        provider="acme",
        price_id="price_1",
        markup_bp=50,
        origin=Origin(request_id="req_1", user="bob", title="Ünïcode \u2028 app"),
        created_at_ms=T0_MS,
        hold_pico=2**63 - 1,
        prompt_tokens_max=10,
        completion_tokens_max=10,
        streamed=False,
        state=HoldState.CAPTURED,
        ended_at_ms=T0_MS + 1,
        cost_pico=9_007_199_254_740_993,  # not a double
        overrun_pico=1,
        lines=(ReceiptLine("input", 3, Decimal("0.000000000000000001"), Decimal("3E-18")),),
        usage=Usage(input=3, output=1, estimated=True),
        reported={"prompt_tokens": 3, "odd": [None, 1.5, {"deep": "\x00"}]},
        attempts=(Attempt(provider="acme", upstream_model="large", started_at_ms=T0_MS),),
        idempotency="b" * 64,
        request_digest="c" * 64,
    )
    return PendingSettlement(
        generation, StoredAnswer(ACCOUNT, generation_id, b'{"\xc3\xa9":1}', T0_MS)
    )


def files(folder: Path) -> dict[str, int]:
    """The contents of a folder, with permissions."""
    if not folder.exists():
        return {}
    return {path.name: S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def is_at(path: Path, found: os.stat_result) -> bool:
    return os.path.samestat(path.stat(), found)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "spool"


async def test_numbers_survive_the_spool_unrounded(folder: Path) -> None:
    await FolderSpool(folder).put(settlement())
    assert await pending(FolderSpool(folder)) == [settlement()]


async def test_settlement_that_is_spooled_twice_is_stored_once(folder: Path) -> None:
    spool = FolderSpool(folder)
    for _ in range(2):
        await spool.put(settlement())
    await spool.put(settlement("gen-2"))
    assert await pending(spool) == [settlement(), settlement("gen-2")]


async def test_committed_settlement_is_removed_by_any_process(folder: Path) -> None:
    spool = FolderSpool(folder)
    await spool.put(settlement())
    for _ in range(2):
        await spool.remove("gen-1")
    assert await pending(spool) == []
    assert files(folder) == {}


async def test_missing_folder_is_an_empty_spool(folder: Path) -> None:
    assert await pending(FolderSpool(folder)) == []
    await FolderSpool(folder).remove("gen-1")
    assert files(folder.parent) == {}


async def test_settlement_committed_by_another_process_meanwhile_is_skipped(folder: Path) -> None:
    spool = FolderSpool(folder)
    await spool.put(settlement())
    (folder / "gen-0.json").symlink_to(folder / "gone")
    assert await spool.load("gen-0") is None
    assert await pending(spool) == [settlement()]


def partial_of(folder: Path, content: bytes) -> Path:
    """A file whose process died while it wrote."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "gen-2.partial"
    partial.write_bytes(content)
    return partial


@pytest.mark.parametrize("content", [b"", b'{"generation":{"id":"gen-2"', b"\x00" * 100])
async def test_partial_file_of_a_dead_process_is_deleted(folder: Path, content: bytes) -> None:
    spool = FolderSpool(folder)
    await spool.put(settlement())
    partial_of(folder, content)
    assert await spool.tend() == SpoolFigures(1, (folder / "gen-1.json").stat().st_size)
    assert files(folder) == {"gen-1.json": 0o600}


async def test_whole_file_of_a_process_that_died_before_it_had_a_name_is_kept(folder: Path) -> None:
    partial_of(folder, to_json(settlement("gen-2")))
    spool = FolderSpool(folder)
    await spool.tend()
    assert await pending(spool) == [settlement("gen-2")]


async def test_partial_file_of_a_running_process_is_left_alone(folder: Path) -> None:
    partial = partial_of(folder, b"")
    spool = FolderSpool(folder)
    with locked(partial, os.O_WRONLY):
        await spool.tend()
        assert partial.exists()
    await spool.tend()
    assert not partial.exists()


async def test_settlement_is_saved_when_its_partial_file_is_cleaned_up_meanwhile(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clean-up comes between creating the file and locking it."""
    spool = FolderSpool(folder)
    open_file, opened = os.open, list[Path]()

    def cleaned_up(path: Path, *more: int) -> int:
        descriptor = open_file(path, *more)
        if Path(path).suffix == ".partial" and not opened:
            opened.append(path)
            spool._resolve(Path(path))
        return descriptor

    monkeypatch.setattr(os, "open", cleaned_up)
    await spool.put(settlement())
    assert opened
    assert await pending(spool) == [settlement()]


async def test_missing_spool_has_no_files(folder: Path) -> None:
    assert await FolderSpool(folder).tend() == SpoolFigures(0, 0)


async def test_room_is_made_until_the_settlement_fits(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, asked = [0], []
    write = os.write

    def limited(descriptor: int, data: bytes) -> int:
        if free[0] < len(data):
            raise OSError(28, "No space left on device")
        return write(descriptor, data)

    def make_room(count: int) -> bool:
        asked.append(count)
        free[0] += 500
        return True

    monkeypatch.setattr(os, "write", limited)
    await FolderSpool(folder, make_room=make_room).put(settlement())
    assert set(asked) == {len(to_json(settlement()))}
    assert len(asked) > 1
    assert await pending(FolderSpool(folder)) == [settlement()]


async def test_put_is_repeated_once_when_no_room_is_left_to_make(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may have made room since the write failed."""
    writes, write = [], os.write

    def full_once(descriptor: int, data: bytes) -> int:
        writes.append(data)
        if len(writes) == 1:
            raise OSError(122, "Disk quota exceeded")
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", full_once)
    await FolderSpool(folder, make_room=lambda _: False).put(settlement())
    assert await pending(FolderSpool(folder)) == [settlement()]


async def test_partial_file_of_a_crash_is_not_read_as_a_settlement(folder: Path) -> None:
    spool = FolderSpool(folder)
    await spool.put(settlement())
    (folder / "gen-2.partial").write_bytes(b'{"generation":{"id":"gen-2"')
    assert await pending(spool) == [settlement()]


@pytest.mark.parametrize("content", [b"", b"{}", b'{"generation":{"id":"gen-2"', b"\xff"])
async def test_damaged_spool_file_is_named_and_not_skipped(folder: Path, content: bytes) -> None:
    spool = FolderSpool(folder)
    await spool.put(settlement())
    (folder / "gen-2.json").write_bytes(content)
    assert await spool.ids() == ["gen-1", "gen-2"]
    with pytest.raises(StoreUnavailable, match=r"gen-2\.json is damaged"):
        await spool.load("gen-2")
    assert await spool.load("gen-1") == settlement()


async def test_files_are_readable_only_by_their_owner(folder: Path) -> None:
    await FolderSpool(folder).put(settlement())
    assert files(folder) == {"gen-1.json": 0o600}
    assert files(folder.parent) == {"spool": 0o700}


async def test_power_failure_leaves_the_whole_file_or_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    fsync, rename = os.fsync, Path.rename

    def synced(descriptor: int) -> None:
        fsync(descriptor)
        found = os.fstat(descriptor)
        [name] = [p.name for p in (*folder.parents, *folder.iterdir(), folder) if is_at(p, found)]
        steps.append(f"sync {name}")

    def renamed(path: Path, target: Path) -> Path:
        steps.append(f"rename {path.name} {target.name}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    await FolderSpool(folder).put(settlement())
    new_folders = [f"sync {folder.parent.parent.name}", "sync deep"]
    assert steps == [
        *new_folders,
        "sync gen-1.partial",
        "rename gen-1.partial gen-1.json",
        "sync spool",
    ]


async def test_spool_reports_a_full_disk_and_leaves_no_partial_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        await FolderSpool(folder).put(settlement())
    assert files(folder) == {}


async def test_spool_reports_a_path_that_is_not_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="directory"):
        await FolderSpool(tmp_path / "file" / "spool").put(settlement())


async def test_spool_that_cannot_be_written_is_reported_before_it_is_needed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match="MODELGATES_SPOOL_DIR"):
        FolderSpool(tmp_path / "file" / "spool").check()
    good = FolderSpool(tmp_path / "new" / "spool")
    good.check()
    assert await good.ids() == []
    assert list((tmp_path / "new" / "spool").iterdir()) == []


async def test_error_spooled_by_an_old_version_is_loaded_as_a_code(tmp_path: Path) -> None:
    spool = FolderSpool(tmp_path)
    kept = settlement()
    await spool.put(replace(kept, generation=replace(kept.generation, error="Stopping")))
    loaded = await spool.load("gen-1")
    assert loaded == replace(kept, generation=replace(kept.generation, error="server_stopping"))
