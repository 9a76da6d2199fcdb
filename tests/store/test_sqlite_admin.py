"""Backups when the file system or another process gets in the way."""

import errno
import os
from pathlib import Path

import pytest

from modelgates_server.core.errors import InvalidInput
from modelgates_server.store.sqlite import admin
from modelgates_server.store.sqlite.opening import open_store


def partials(folder: Path) -> list[Path]:
    return list(folder.glob("*.partial"))


def ignore(done: int, total: int) -> None:
    del done, total


async def test_backup_works_on_a_file_system_without_links(
    sqlite_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await open_store(sqlite_path).close()

    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", no_links)
    copy = tmp_path / "copy.db"
    admin.backup(sqlite_path, copy, ignore)
    assert admin.status(copy)["schema"] == admin.status(sqlite_path)["schema"]
    assert partials(tmp_path) == []


async def test_backup_does_not_overwrite_a_file_that_appears_meanwhile(
    sqlite_path: Path, tmp_path: Path
) -> None:
    await open_store(sqlite_path).close()
    copy = tmp_path / "copy.db"

    def appear(done: int, total: int) -> None:
        del done, total
        copy.write_text("mine")

    with pytest.raises(InvalidInput, match="meanwhile"):
        admin.backup(sqlite_path, copy, appear)
    assert copy.read_text() == "mine"
    assert partials(tmp_path) == []
