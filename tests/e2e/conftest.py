"""One server for all tests that need a running one and do not stop it."""

from collections.abc import Iterator

import pytest

from tests.server import Customer, RunningServer, open_customer_now, running_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def customer(server: RunningServer) -> Customer:
    """An account with 100 dollars and a key of each kind."""
    return open_customer_now(server.database_path)
