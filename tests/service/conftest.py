"""Calls through the real service, to an upstream that a test tells what to say."""

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
async def right_books(request: pytest.FixtureRequest, store: Store) -> AsyncIterator[None]:
    """The books are right when a test has ended, but for what its mark `books` says.

    `@pytest.mark.books(holds_open=True)`: it leaves calls that run or were lost.
    `@pytest.mark.books(damaged=True)`: it damages them itself.
    """
    yield
    mark = request.node.get_closest_marker("books")
    said = {} if mark is None else dict(mark.kwargs)
    if not said.pop("damaged", False):
        await check_ledger(store, **said)


@pytest.fixture
async def harness(
    store: Store, clock: ManualClock, tmp_path: Path, upstream: Upstream, right_books: None
) -> AsyncIterator[CallHarness]:
    del right_books  # it looks when all is over
    async with open_harness(store, clock, tmp_path, upstream.url, TIMEOUTS) as opened:
        yield opened
