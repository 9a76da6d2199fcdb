import http.client
import json
import signal
import socket

import pytest

from tests.cli.console import Console
from tests.deadlines import DEADLINE_S, http_connection


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_sandbox_listens_on_the_printed_url_and_stops_cleanly(console: Console, stop: int) -> None:
    with console.start("sandbox", "serve", "--port", "0") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("The sandbox listens on http://127.0.0.1:"), line
        connection = http_connection(line.split()[-1])
        connection.request("GET", "/v1/models")
        assert json.load(connection.getresponse())["object"] == "list"
        cut = {"role": "user", "content": '{"cut_after": 1}'}
        body = json.dumps({"model": "chaos", "messages": [cut], "stream": True})
        connection.request("POST", "/v1/chat/completions", body)
        with pytest.raises(http.client.IncompleteRead):
            connection.getresponse().read()
        connection.close()
        process.send_signal(stop)
        _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0
    assert err == "", "a requested cut is not logged"
    assert not console.path.exists(), "the sandbox stores nothing"


def test_port_in_use_gives_a_one_line_error(console: Console) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refusal = console.run("sandbox", "serve", "--port", port).refusal
    assert refusal == (
        f"Cannot listen on 127.0.0.1, port {port}: Address already in use. "
        "Choose another address with --host and --port."
    )
