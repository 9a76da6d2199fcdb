"""Where ends of calls go that neither the database nor the spool takes.

First a folder, meant to be on another disk; when the process stops, standard error as well.
"""

import os
import select
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread

import msgspec

from modelgates_server.service.spool_ports import PendingSettlement
from modelgates_server.store.end_lines import from_line, to_line
from modelgates_server.store.spool import FolderSpool

_STDERR = 2
_DEADLINE_S = 5


def emergency_folder(folder: Path) -> FolderSpool:
    """The folder. A file in it is one line of `store.end_lines`."""
    return FolderSpool(folder, encode=to_line, decode=from_line, setting="MODELGATES_EMERGENCY_DIR")


def write_to_stderr(settlements: Sequence[PendingSettlement]) -> None:
    """Write a line for each end, and one with the remedy. Gives up if no one reads them.

    Logs never contain responses, so the lines do not have those that are stored for repeats.
    """
    if sys.__stderr__ is None:
        return  # closed when the process started: the descriptor may be that of the database now
    remedy = {
        "event": "the ends of calls were not saved",
        "level": "critical",
        "count": len(settlements),
        "remedy": "Free disk space, save this log as FILE, run `modelgates spool replay`, then "
        "`modelgates spool replay FILE`. The lines above have the record of each end.",
    }
    lines = [to_line(msgspec.structs.replace(each, answer=None)) for each in settlements]
    write_within(
        [*lines, msgspec.json.encode(remedy) + b"\n"], descriptor=_STDERR, seconds=_DEADLINE_S
    )


def write_within(lines: Iterable[bytes], *, descriptor: int, seconds: float) -> None:
    """Write lines past every buffer of this process, and give up if no one reads them in time.

    The thread may never end, which an exit of the process does not wait for.
    """
    thread = Thread(target=_write, args=(lines, descriptor), daemon=True)
    thread.start()
    thread.join(seconds)


def _write(lines: Iterable[bytes], descriptor: int) -> None:
    with suppress(OSError):
        for line in lines:
            _write_line(line, descriptor)


def _write_line(line: bytes, descriptor: int) -> None:
    while line:
        try:
            line = line[os.write(descriptor, line) :]
        except BlockingIOError:  # another process has changed the pipe that it shares with this one
            select.select([], [descriptor], [])
