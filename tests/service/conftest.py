"""Calls through the real service, to an upstream whose replies a test sets."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from modelgates_server.service.ports import Store
from tests.gateway import TIMEOUTS, CallHarness, open_harness
from tests.ledger_checks import check_ledger
from tests.support import ManualClock
from tests.upstream import Upstream, answer, plain, running_upstream, usage


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with running_upstream() as running:
        running.say = lambda _: plain(answer("hi", usage(3, 5)))
        yield running


@pytest.fixture
async def verified_ledger(request: pytest.FixtureRequest, store: Store) -> AsyncIterator[None]:
    """Verify the ledger at the end of a test, except as its mark `ledger` says.

    `@pytest.mark.ledger(holds_open=True)`: the test leaves calls that run or were lost.
    `@pytest.mark.ledger(damaged=True)`: the test damages the ledger itself.
    """
    yield
    mark = request.node.get_closest_marker("ledger")
    exceptions = {} if mark is None else dict(mark.kwargs)
    if not exceptions.pop("damaged", False):
        await check_ledger(store, **exceptions)


@pytest.fixture
async def harness(
    store: Store, clock: ManualClock, tmp_path: Path, upstream: Upstream, verified_ledger: None
) -> AsyncIterator[CallHarness]:
    del verified_ledger  # it verifies at the end
    async with open_harness(store, clock, tmp_path, upstream.url, TIMEOUTS) as opened:
        yield opened
