"""Fixtures of all tests. Other helpers are in `tests.support`."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import settings

from modelgates_server.service.ports import Store
from tests.server import Customer, new_customer
from tests.support import ManualClock, open_database
from tests.web.harness import Api

# The same cases on every run and machine: failures can be repeated, and passing is not luck.
settings.register_profile("fixed", derandomize=True, database=None, deadline=None)
settings.load_profile("fixed")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def sqlite_path(tmp_path: Path) -> Path:
    return tmp_path / "modelgates.db"


@pytest.fixture(params=["sqlite"])
def database_url(request: pytest.FixtureRequest, sqlite_path: Path) -> str:
    """An empty database for one test, once for each implementation; see `open_database`."""
    urls = {"sqlite": f"sqlite:///{sqlite_path}"}
    return urls[request.param]


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    opened = open_database(database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def api(store: Store, clock: ManualClock, tmp_path: Path) -> AsyncIterator[Api]:
    """The application, called in the test's process."""
    served = Api(store, clock, tmp_path / "spool")
    async with served.client:
        yield served


@pytest.fixture
async def acme(api: Api) -> Customer:
    """An account with 100 dollars and a key of each kind."""
    return await new_customer(api.services)


@pytest.fixture
async def other(api: Api) -> Customer:
    """Another account, with 100 dollars and a key of each kind."""
    return await new_customer(api.services)
