"""The contents of a disk after a power failure: all synced data, and any part of the rest."""

import random
from collections.abc import Iterator

from tests.power_loss.recorder import Create, Delete, Event, Sync, SyncFolder, Truncate, Write

SECTOR_BYTES = 512


class File:
    """`synced` is safe; `unsynced` has the other changes in the order of their requests."""

    def __init__(self) -> None:
        self.synced = bytearray()
        self.unsynced: list[Write | Truncate] = []

    def sync(self) -> None:
        for change in self.unsynced:
            _apply(self.synced, change)
        self.unsynced.clear()

    def after_power_loss(self, dice: random.Random) -> bytes:
        """Unsynced changes survive independently: the disk may write them in any order."""
        content = bytearray(self.synced)
        survivors = dice.choice([0.0, dice.random(), 1.0])
        for change in self.unsynced:
            if dice.random() < survivors:
                for part in _torn(change, dice) if dice.random() < 0.25 else [change]:
                    _apply(content, part)
        return bytes(content)


class Disk:
    """Files by number, and the folder with their names."""

    def __init__(self) -> None:
        self._files: dict[int, File] = {}
        self._names: dict[str, int] = {}
        self._unsynced_names: list[Create | Delete] = []

    def record(self, event: Event) -> None:
        match event:
            case Create(_, file):
                self._files[file] = File()
                self._unsynced_names.append(event)
            case Delete():
                self._unsynced_names.append(event)
            case SyncFolder():
                self._names = self._named(len(self._unsynced_names))
                self._unsynced_names.clear()
            case Write(file) | Truncate(file):
                self._files[file].unsynced.append(event)
            case Sync(file):
                self._files[file].sync()

    def after_power_loss(self, dice: random.Random) -> dict[str, bytes]:
        """Content by name. File systems journal names, so that only the latest names are lost."""
        names = self._named(dice.randint(0, len(self._unsynced_names)))
        return {name: self._files[file].after_power_loss(dice) for name, file in names.items()}

    def _named(self, count: int) -> dict[str, int]:
        names = dict(self._names)
        for event in self._unsynced_names[:count]:
            if isinstance(event, Create):
                names[event.name] = event.file
            else:
                names.pop(event.name, None)
        return names


def _torn(change: Write | Truncate, dice: random.Random) -> Iterator[Write | Truncate]:
    """Some sectors of a write. A sector is written as a whole or not at all; so is a new size."""
    if isinstance(change, Truncate):
        yield change
        return
    start, end = change.offset, change.offset + len(change.data)
    while start < end:
        stop = min(end, start - start % SECTOR_BYTES + SECTOR_BYTES)
        if dice.random() < 0.5:
            sector = change.data[start - change.offset : stop - change.offset]
            yield Write(change.file, start, sector)
        start = stop


def _apply(content: bytearray, change: Write | Truncate) -> None:
    if isinstance(change, Truncate):
        del content[change.size :]
        return
    content.extend(bytes(max(0, change.offset - len(content))))
    content[change.offset : change.offset + len(change.data)] = change.data
