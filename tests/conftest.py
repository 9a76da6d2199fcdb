"""Fixtures of all tests. What is not a fixture is in `tests.support`."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import settings

from modelgates_server.service.ports import Store
from tests.support import ManualClock, open_database

# The same cases on every run and machine: a red run can be repeated, a green one is not luck.
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
    """An empty database of the test's own, one line per implementation; see `open_database`."""
    urls = {"sqlite": f"sqlite:///{sqlite_path}"}
    return urls[request.param]


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    opened = open_database(database_url)
    yield opened
    await opened.close()
