"""Fixtures of the tests that call the application in their own process."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from modelgates_server.service.ports import Store
from tests.server import Customer, new_customer
from tests.support import ManualClock
from tests.web.harness import Api


@pytest.fixture
async def api(store: Store, clock: ManualClock, tmp_path: Path) -> AsyncIterator[Api]:
    served = Api(store, clock, tmp_path / "spool")
    async with served.client:
        yield served


@pytest.fixture
async def acme(api: Api) -> Customer:
    """An account with 100 dollars and a key of each kind."""
    return await new_customer(api.services)


@pytest.fixture
async def other(api: Api) -> Customer:
    """Somebody else's."""
    return await new_customer(api.services)
