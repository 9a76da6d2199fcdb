"""A real server on a ledger whose newest entry is in the future."""

from pathlib import Path

import httpx
import msgspec

from modelgates_server import bootstrap
from tests.cli.console import Console
from tests.deadlines import http_client
from tests.e2e.calls import mortal_server
from tests.e2e.load import wait_until
from tests.support import DOLLAR, HOUR_MS, grant

CAUSE = "The clock is more than an hour behind the newest entry of the ledger."


def test_clock_behind_the_newest_entry_is_shown_and_logged(tmp_path: Path) -> None:
    console = Console(tmp_path)
    account = console.account("10")
    ahead_ms = bootstrap.now_ms() + 2 * HOUR_MS
    ahead = msgspec.structs.replace(grant(account, DOLLAR), at_ms=ahead_ms)
    console.do(lambda services: services.store.execute(ahead))
    with mortal_server(tmp_path) as server, http_client() as client:

        def ready() -> httpx.Response:
            return client.get(f"{server.url}/readyz")

        wait_until(lambda: "clock" in ready().json()["parts"], server.process)
        response = ready()
        wait_until(lambda: CAUSE in server.log_path.read_text(), server.process)
    assert response.status_code == 200
    ready_state = response.json()
    assert (ready_state["status"], ready_state["parts"]["clock"]) == ("ok", "warning")
    assert ready_state["causes"]["clock"] == CAUSE
    log = server.log_path.read_text()
    assert log.count(CAUSE) == 1
    assert "the newest entry is dated" in log
