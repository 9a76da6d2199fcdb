"""A server on a damaged database listens, says so, and serves no call."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.deadlines import http_request
from tests.server import open_customer_now, running_server


def test_server_names_the_damage_and_serves_nothing_until_a_backup_is_restored(
    tmp_path: Path,
) -> None:
    with running_server(tmp_path) as server:
        customer = open_customer_now(server.database_path)
        assert http_request("GET", f"{server.url}/readyz").status_code == 200
    with closing(sqlite3.connect(server.database_path)) as connection:
        connection.execute("drop trigger entry_is_never_changed")
    with running_server(tmp_path) as server:
        ready = http_request("GET", f"{server.url}/readyz")
        assert ready.status_code == 503
        assert ready.json()["causes"] == {"database": "The database is damaged. Restore a backup."}
        assert http_request("GET", f"{server.url}/healthz").status_code == 200
        call = http_request(
            "POST",
            f"{server.api}/chat/completions",
            headers={"Authorization": f"Bearer {customer.inference}"},
            json={"model": "sandbox/echo", "messages": [{"role": "user", "content": "hi"}]},
        )
        assert call.status_code == 503
    lines = [json.loads(line) for line in server.log_path.read_text().splitlines()]
    assert any("the trigger entry_is_never_changed is missing" in str(line) for line in lines)
