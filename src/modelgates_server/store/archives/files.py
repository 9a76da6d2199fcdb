"""The two files of an archive: compressed JSON Lines with records, and a manifest of their sums.

The lines are in the order of account and generation id, so that several archives can be read next
to a database in one pass. Each line is the JSON of a record as the database had it. The file is
plain zstd: it needs neither the database nor its dictionaries.

Both files are written under names that end in `.partial`, synced and then renamed, the manifest
last.
"""

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import IO

import msgspec

from modelgates_server.core.errors import InvalidInput, StoreUnavailable
from modelgates_server.core.metering.archives import Archive
from modelgates_server.core.money import format_pico
from modelgates_server.store.files import sync
from modelgates_server.store.records import JSON_MAX_BYTES
from modelgates_server.store.zstandard import zstd

RECORDS, MANIFEST, PARTIAL = ".jsonl.zst", ".json", ".partial"
_LEVEL = 9
_CHUNK_BYTES = 1024 * 1024
_WINDOW_LOG_MAX = 27
"""The memory that reading an archive may take: 128 MiB. Ours need 8 MiB."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The sums of an archive. `database` is the first account of the database that it is from.

    `generations`, `cost` and `sha256` are as in `Archive`. Times are in ms since 1970.
    """

    format: int = 1
    name: str
    database: str
    file: str
    sha256: str
    bytes: int
    generations: int
    cost: str
    first_ended_ms: int
    last_ended_ms: int
    created_at_ms: int

    def archive(self, number: int) -> Archive:
        """The archive as a database knows it."""
        return Archive(
            number,
            self.name,
            self.sha256,
            self.generations,
            self.cost,
            self.first_ended_ms,
            self.last_ended_ms,
            self.created_at_ms,
        )


class ArchiveFile:
    """A new archive that gets its names when it is complete. Its folder must exist."""

    def __init__(self, folder: Path, name: str, database: str, created_at_ms: int) -> None:
        self._folder = folder
        self._name = name
        self._database = database
        self._created_at_ms = created_at_ms
        self._partial = _partial(folder / f"{name}{RECORDS}", database)
        descriptor = os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._file = os.fdopen(descriptor, "wb")
        self._zstd = zstd.ZstdFile(self._file, "wb", level=_LEVEL)
        self.count = 0
        self._cost_pico = 0
        self._ended_ms = (2**63, 0)

    def add(self, record: bytes, cost_pico: int, ended_ms: int) -> None:
        """Write a record. The records come in the order of account and id."""
        self._zstd.write(record + b"\n")
        self.count += 1
        self._cost_pico += cost_pico
        first, last = self._ended_ms
        self._ended_ms = min(first, ended_ms), max(last, ended_ms)

    def finish(self) -> Manifest:
        """Sync both files and give them their names, which survive a power loss then."""
        self._zstd.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        target = self._folder / f"{self._name}{RECORDS}"
        manifest = Manifest(
            name=self._name,
            database=self._database,
            file=target.name,
            sha256=sha256_of(self._partial),
            bytes=self._partial.stat().st_size,
            generations=self.count,
            cost=format_pico(self._cost_pico),
            first_ended_ms=self._ended_ms[0],
            last_ended_ms=self._ended_ms[1],
            created_at_ms=self._created_at_ms,
        )
        final = self._folder / f"{self._name}{MANIFEST}"
        partial = _write_synced(_partial(final, self._database), manifest)
        self._partial.rename(target)
        partial.rename(final)
        sync(self._folder)
        return manifest

    def discard(self) -> None:
        """Close the file and remove what was written, unless it is finished."""
        with suppress(OSError):
            self._zstd.close()
            self._file.close()
        self._partial.unlink(missing_ok=True)


def _partial(path: Path, database: str) -> Path:
    return path.with_name(f"{path.name}.{database}{PARTIAL}")


def clean_up(folder: Path, database: str) -> None:
    """Complete or remove what runs that were killed have left of the archives of a database."""
    for path in folder.glob(f"*{MANIFEST}.{database}{PARTIAL}"):
        final = path.with_name(path.name.removesuffix(f".{database}{PARTIAL}"))
        if final.with_name(f"{final.name.removesuffix(MANIFEST)}{RECORDS}").exists():
            path.rename(final)  # only this rename was missing
    for path in folder.glob(f"*.{database}{PARTIAL}"):
        path.unlink()
    sync(folder)


def _write_synced(path: Path, manifest: Manifest) -> Path:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return path


def sha256_of(path: Path) -> str:
    """The digest of a file's bytes; raises `OSError`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def manifests_in(folder: Path) -> dict[str, Manifest]:
    """The complete archives of a folder by name; other files are passed over."""
    found = {}
    for path in sorted(folder.glob(f"*{MANIFEST}")):
        try:
            manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if manifest.name == path.name.removesuffix(MANIFEST):
            found[manifest.name] = manifest
    return found


def records_of(folder: Path, name: str) -> Iterator[bytes]:
    """The records of an archive, one by one; raises `StoreUnavailable` if it is damaged."""
    path = folder / f"{name}{RECORDS}"
    try:
        with path.open("rb") as file, closing(_lines_of(file)) as lines:
            while line := lines.readline(JSON_MAX_BYTES):
                if not line.endswith(b"\n"):
                    raise StoreUnavailable(f"The archive {path} is damaged: a line has no end.")
                yield line[:-1]
    except (OSError, EOFError, zstd.ZstdError) as error:
        raise StoreUnavailable(f"The archive {path} cannot be read: {error}.") from error


def _lines_of(file: IO[bytes]) -> io.BufferedReader:
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG_MAX}
    return io.BufferedReader(zstd.ZstdFile(file, "rb", options=options), _CHUNK_BYTES)


def check_folder(folder: Path) -> None:
    """Raise `InvalidInput` unless archives can be in this folder."""
    if not folder.is_dir():
        raise InvalidInput(f"The folder {folder} does not exist. Create it, or correct its path.")


def free_name(folder: Path, before: str, taken: set[str]) -> str:
    """A name for a new archive that neither the database nor the folder has."""
    base = f"generations-before-{before}"
    number, name = 1, base
    while name in taken or any((folder / f"{name}{end}").exists() for end in (RECORDS, MANIFEST)):
        number += 1
        name = f"{base}-{number}"
    return name
