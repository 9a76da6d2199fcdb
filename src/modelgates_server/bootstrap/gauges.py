"""Reads the gauges of a server process from the parts that know them."""

from collections.abc import Iterator

from modelgates_server.service.calls.call import CallService
from modelgates_server.service.clock_check import ClockCheck
from modelgates_server.service.part_states import PartStates, Status
from modelgates_server.service.ports import Clock, Store
from modelgates_server.service.spool_ports import Disk
from modelgates_server.telemetry.gauges import Reading

_LEVELS = {Status.OK: 0, Status.WARNING: 1, Status.UNAVAILABLE: 2}


def read_gauges(
    store: Store,
    disk: Disk,
    calls: CallService,
    clock_check: ClockCheck,
    parts: PartStates,
    clock: Clock,
) -> Iterator[Reading]:
    """Yields a reading of each gauge; see `telemetry.gauges.GAUGES`."""
    files = store.files()
    yield Reading("database_bytes", files.database_bytes)
    yield Reading("wal_bytes", files.wal_bytes)
    if files.newest_backup_ms is not None:
        yield Reading("backup_age_seconds", (clock() - files.newest_backup_ms) / 1000)
    for name, free in disk.free_bytes().items():
        yield Reading("disk_free_bytes", free, name)
    yield Reading("spool_files", calls.settling.spooled.files)
    yield Reading("spool_bytes", calls.settling.spooled.size_bytes)
    yield Reading("unsaved_ends", len(calls.settling.unsaved()))
    yield Reading("clock_behind_seconds", clock_check.behind_ms / 1000)
    yield Reading("clock_stepped_seconds", clock_check.stepped_ms / 1000)
    for part, state in parts.states().items():
        yield Reading("part_status", _LEVELS[state.status], part)
