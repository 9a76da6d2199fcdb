"""The port `Spool` in a folder: one synced file per settlement, for database outages."""

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from modelgates_server.core.errors import StoreUnavailable
from modelgates_server.core.metering.generations import with_error_codes
from modelgates_server.service.ports import PendingSettlement
from modelgates_server.store.files import sync

_decoder = msgspec.json.Decoder(PendingSettlement)
_ENDING = ".json"


class FolderSpool:
    """Stores files in a folder, which it creates if needed; several processes may share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def check(self) -> None:
        """Test the folder before anything has to be spooled; raises `StoreUnavailable`."""
        probe = self._folder / f"probe-{os.getpid()}"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise StoreUnavailable(
                f"The spool {self._folder} cannot be written ({error.strerror}). Make it writable, "
                "or set MODELGATES_SPOOL_DIR to another folder."
            ) from error

    async def put(self, settlement: PendingSettlement) -> None:
        """See `Spool.put`."""
        await asyncio.to_thread(self._write, settlement)

    async def ids(self) -> list[str]:
        """See `Spool.ids`."""
        try:
            return sorted(path.stem for path in self._folder.glob(f"*{_ENDING}"))
        except OSError as error:
            raise StoreUnavailable(f"The spool {self._folder} cannot be read: {error}") from error

    async def load(self, generation_id: str) -> PendingSettlement | None:
        """See `Spool.load`."""
        path = self._path(generation_id)
        try:
            settlement = _decoder.decode(path.read_bytes())
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, UnicodeDecodeError, OSError) as error:
            raise StoreUnavailable(
                f"The spooled settlement {path} is damaged or cannot be read ({error}). Its hold "
                "is still open; move the file aside and the next sweep resolves it."
            ) from error
        generation = with_error_codes(settlement.generation)
        return msgspec.structs.replace(settlement, generation=generation)

    async def remove(self, generation_id: str) -> None:
        """See `Spool.remove`."""
        try:
            self._path(generation_id).unlink(missing_ok=True)
        except OSError as error:
            raise StoreUnavailable(f"The spool {self._folder} is read-only: {error}") from error

    def set_aside(self, generation_ids: Iterable[str], folder: Path) -> None:
        """Move settlements into a new folder on the same disk, where no server looks for them."""
        folder.mkdir(mode=0o700)
        for generation_id in generation_ids:
            path = self._path(generation_id)
            path.rename(folder / path.name)
        sync(folder)
        sync(self._folder)

    def _write(self, settlement: PendingSettlement) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(settlement.generation.id)
        partial = path.with_suffix(".partial")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(settlement))
                file.flush()
                os.fsync(file.fileno())
            partial.rename(path)
            sync(self._folder)
        finally:
            partial.unlink(missing_ok=True)

    def _path(self, generation_id: str) -> Path:
        return self._folder / f"{generation_id}{_ENDING}"
