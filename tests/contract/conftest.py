"""A server shared by all tests that need one running and do not stop it."""

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


@pytest.fixture(scope="session")
def owner(server: RunningServer) -> Customer:
    """A shared account, for tests that do not depend on its state."""
    return open_customer_now(server.database_path)
