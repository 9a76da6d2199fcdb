"""The port `Spool` in a folder: one synced file per settlement, for database outages."""

import asyncio
import fcntl
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from modelgates_server.core.errors import InvalidInput, StoreUnavailable
from modelgates_server.service.spool_ports import PendingSettlement, SpoolFigures
from modelgates_server.store.end_lines import from_json, to_json
from modelgates_server.store.files import is_full, locked, make_folder, sync

_ENDING = ".json"
_PARTIAL = ".partial"


class FolderSpool:
    """Stores files in a folder, which it creates if needed; several processes may share it.

    `make_room` frees at least a number of bytes on the disk; it returns whether any were left.
    `encode` and `decode` define the content of a file; `decode` raises `InvalidInput`. `setting` is
    where an operator sets the folder.
    """

    def __init__(
        self,
        folder: Path,
        *,
        make_room: Callable[[int], bool] = lambda _: False,
        encode: Callable[[PendingSettlement], bytes] = to_json,
        decode: Callable[[bytes], PendingSettlement] = from_json,
        setting: str = "MODELGATES_SPOOL_DIR",
    ) -> None:
        self._folder = folder
        self._make_room = make_room
        self._encode = encode
        self._decode = decode
        self._setting = setting
        self._is_made = False

    def check(self) -> None:
        """Test the folder before anything has to be spooled; raises `StoreUnavailable`."""
        probe = self._folder / f"probe-{os.getpid()}"
        try:
            self._make_folder()
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise StoreUnavailable(
                f"The spool {self._folder} cannot be written ({error.strerror}). Make it writable, "
                f"or set {self._setting} to another folder."
            ) from error

    async def put(self, settlement: PendingSettlement) -> None:
        """See `Spool.put`."""
        await asyncio.to_thread(self._write, settlement)

    async def ids(self) -> list[str]:
        """See `Spool.ids`."""
        return await asyncio.to_thread(self._ids)

    def _ids(self) -> list[str]:
        try:
            return sorted(path.stem for path in self._folder.glob(f"*{_ENDING}"))
        except OSError as error:
            raise StoreUnavailable(f"The spool {self._folder} cannot be read: {error}") from error

    async def load(self, generation_id: str) -> PendingSettlement | None:
        """See `Spool.load`."""
        return await asyncio.to_thread(self._load, generation_id)

    def _load(self, generation_id: str) -> PendingSettlement | None:
        path = self._path(generation_id)
        try:
            return self._decode(path.read_bytes())
        except FileNotFoundError:
            return None
        except (InvalidInput, OSError) as error:
            raise StoreUnavailable(
                f"The spooled settlement {path} is damaged or cannot be read ({error}). Its hold "
                "is still open; move the file aside and the next sweep resolves it."
            ) from error

    async def remove(self, generation_id: str) -> None:
        """See `Spool.remove`."""
        try:
            self._path(generation_id).unlink()
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            raise StoreUnavailable(f"The spool {self._folder} is read-only: {error}") from error

    async def tend(self) -> SpoolFigures:
        """See `Spool.tend`."""
        return await asyncio.to_thread(self._tend)

    def set_aside(self, generation_ids: Iterable[str], name: str) -> Path:
        """Move settlements into a new folder in this one, where no server looks for them.

        The spool may be a disk of its own, from which nothing can be moved.
        """
        folder = self._folder / name
        folder.mkdir(mode=0o700)
        for generation_id in generation_ids:
            path = self._path(generation_id)
            path.rename(folder / path.name)
        sync(folder)
        sync(self._folder)
        return folder

    def _write(self, settlement: PendingSettlement) -> None:
        """Write a file; if the disk is full, make room until it fits or no room is left."""
        content = self._encode(settlement)
        path = self._path(settlement.generation.id)
        is_last = False
        while True:
            try:
                self._make_folder()
                _create(path, content)
            except OSError as error:
                if is_last or not is_full(error):
                    raise
                # If nothing is left, another process may have made room in the meantime.
                is_last = not self._make_room(len(content))
            else:
                return

    def _make_folder(self) -> None:
        if not (self._is_made and self._folder.is_dir()):
            make_folder(self._folder)
            self._is_made = True

    def _tend(self) -> SpoolFigures:
        files = size = 0
        with suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            for entry in entries:
                with suppress(OSError):  # it may be gone
                    if entry.name.endswith(_ENDING):
                        size += entry.stat().st_size
                        files += 1
                    elif entry.name.endswith(_PARTIAL):
                        self._resolve(Path(entry.path))
        return SpoolFigures(files, size)

    def _resolve(self, partial: Path) -> None:
        """Complete or delete a file whose process died while it wrote."""
        descriptor = os.open(partial, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while it is written
            os.fsync(descriptor)
            self._decode(partial.read_bytes())
            partial.rename(partial.with_suffix(_ENDING))
            sync(self._folder)
        except InvalidInput:
            partial.unlink()
        finally:
            os.close(descriptor)

    def _path(self, generation_id: str) -> Path:
        return self._folder / f"{generation_id}{_ENDING}"


def _create(path: Path, content: bytes) -> None:
    """Write a whole file or none. The lock shows others that the partial file is in use."""
    partial = path.with_suffix(_PARTIAL)
    try:
        while True:
            with locked(partial, os.O_WRONLY | os.O_CREAT) as descriptor:
                if not _is_at(partial, descriptor):
                    continue  # another process has just cleaned up a file of this name
                os.ftruncate(descriptor, 0)
                _write_all(descriptor, content)
                os.fsync(descriptor)
                partial.rename(path)
                sync(path.parent)
                return
    finally:
        partial.unlink(missing_ok=True)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]
