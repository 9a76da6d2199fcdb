import http.client
import json
import signal
import socket

import pytest

from tests.cli.console import Console
from tests.deadlines import DEADLINE_S, http_connection


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_sandbox_serves_where_it_says_and_ends_well(console: Console, stop: int) -> None:
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
    assert err == "", "a cut that was asked for is no news"
    assert not console.path.exists(), "it keeps nothing"


def test_a_port_in_use_is_told_in_one_line(console: Console) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refusal = console.run("sandbox", "serve", "--port", port).refusal
    assert refusal == (
        f"Cannot listen on 127.0.0.1, port {port}: Address already in use. "
        "Choose another address with --host and --port."
    )
