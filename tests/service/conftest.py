"""Calls through the real service, to an upstream that a test tells what to say."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from modelgates_server.service.ports import Store
from tests.gateway import PATIENCE, Desk, open_desk
from tests.support import ManualClock
from tests.upstream import Upstream, answer, plain, running_upstream, usage


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with running_upstream() as running:
        running.say = lambda _: plain(answer("hi", usage(3, 5)))
        yield running


@pytest.fixture
async def desk(
    store: Store, clock: ManualClock, tmp_path: Path, upstream: Upstream
) -> AsyncIterator[Desk]:
    async with open_desk(store, clock, tmp_path, upstream.url, PATIENCE) as opened:
        yield opened
