"""The part `log` and its metric while lines are dropped."""

import os

import pytest

from modelgates_server.service.part_states import Status
from modelgates_server.service.ports import Store
from modelgates_server.telemetry import process_output
from modelgates_server.telemetry.log_check import LogCheck
from modelgates_server.telemetry.metrics import Metrics
from modelgates_server.telemetry.queued_output import QueuedOutput
from tests.deadlines import DEADLINE_S
from tests.support import ManualClock

COUNTER = "modelgates_log_lines_dropped_total"


async def test_dropped_lines_are_a_warning_and_are_counted(
    store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = Metrics(store, clock)
    check = LogCheck(metrics.count_log_lines_dropped)
    assert (await check()).status is Status.OK
    assert f"{COUNTER} 0.0" in (await metrics.exposition()).decode()

    read_end, write_end = os.pipe()
    output = QueuedOutput(write_end, process_output._report, most_bytes=10)
    monkeypatch.setattr(process_output, "_outputs", {"stderr": output})
    os.close(read_end)  # writes fail from here on
    output.put(b"fits\n")
    for _ in range(3):
        output.put(b"does not fit\n")
    state = await check()
    assert state.status is Status.WARNING
    assert "dropped" in state.cause
    await check()
    dropped = output.dropped_lines
    assert dropped in (2, 3)  # the thread may have made room for one
    assert f"{COUNTER} {dropped}.0" in (await metrics.exposition()).decode()
    assert output.close(DEADLINE_S)
    os.close(write_end)
