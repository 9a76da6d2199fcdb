"""A harness that must have forgotten all outputs in the end."""

from collections.abc import AsyncIterator

import pytest

from modelgates_server.service.calls.joins import JOINABLE_MS
from modelgates_server.service.calls.output_memory import OutputMemory
from tests.gateway import CallHarness


@pytest.fixture
async def quiet(harness: CallHarness) -> AsyncIterator[CallHarness]:
    """A harness that uses no memory for outputs when its time is over."""
    yield harness
    harness.clock.forward(JOINABLE_MS + 1)
    harness.calls.registry.heartbeat()
    table = harness.calls._joins
    assert (table._by_id, table._by_key) == ({}, {})
    assert table._memory.free_bytes == OutputMemory().free_bytes
