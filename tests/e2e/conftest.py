"""One server, and one browser per module, for all tests that do not stop them."""

from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import Browser

from tests.e2e.browser import opened_browser
from tests.server import Customer, RunningServer, open_customer_now, running_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def customer(server: RunningServer) -> Customer:
    """An account with 100 dollars and a key of each kind."""
    return open_customer_now(server.database_path)


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with opened_browser() as opened:
        yield opened
