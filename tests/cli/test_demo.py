import json
import os
import re
import shlex
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.cli.console import Console
from tests.cli.test_serve import read_credits
from tests.deadlines import DEADLINE_S, http_request


def tour(process: subprocess.Popen[str]) -> str:
    """Returns the output of the demo up to its last line, after which the demo waits."""
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    printed = []
    for line in lines:
        printed.append(line)
        if line.startswith("Ctrl-C"):
            return "".join(printed)
    assert process.stderr is not None
    raise AssertionError(process.stderr.read())


def only_match(pattern: str, text: str) -> str:
    (match,) = set(re.findall(pattern, text, re.MULTILINE))
    return str(match)


def curl_output(curl: list[str]) -> str:
    """Returns the output of a `curl` command with headers and a body."""
    values = [curl[i + 1] for i, word in enumerate(curl) if word == "-H"]
    headers = dict(value.split(": ") for value in values)
    response = http_request("POST", curl[2], headers=headers, content=curl[curl.index("-d") + 1])
    assert response.status_code == 200, response.text
    return response.text


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_tour_is_accurate_and_demo_leaves_no_files(
    console: Console, tmp_path: Path, stop: int
) -> None:
    mine = console.account("5")
    caller = Console(tmp_path / "caller")
    caller.folder.mkdir()
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    caller.environment["TMPDIR"] = str(temporary)
    # Settings of the caller, none of which may apply to the demo.
    caller.environment["MODELGATES_DATABASE_URL"] = console.environment["MODELGATES_DATABASE_URL"]
    caller.environment["MODELGATES_WORKERS"] = "many"
    (caller.folder / ".env").write_text("MODELGATES_TLS_CERT=cert.pem\n")
    with caller.start("demo", "--port", "0") as process:
        shown = tour(process)
        curl = shlex.split(only_match(r"^  (curl \S*/credits .*)$", shown))
        url = curl[1].removesuffix("/api/v1/credits")
        response = json.loads(only_match(r"^  (\{.*\})$", shown))
        assert response == {"data": {"total_credits": 10, "total_usage": 0.000043}}
        assert curl[2] == "-H"
        management_key = curl[3].removeprefix("Authorization: Bearer ")
        assert read_credits(url, management_key) == (200, response)

        call = shlex.split(only_match(r"^  (curl -N (?:.*\\\n){2}.*)$", shown).replace("\\\n", ""))
        assert curl_output(call).endswith("data: [DONE]\n\n")
        assert read_credits(url, management_key)[1] != response

        docs = only_match(r"^  (http\S+/docs)$", shown)
        assert "<h1" in http_request("GET", docs).text

        other = Console(tmp_path)
        other.environment["MODELGATES_DATABASE_URL"] = only_match(
            r"^  export \w+=(sqlite:\S+)$", shown
        )
        commands = re.findall(r"^  \S*modelgates (.*)$", shown, re.MULTILINE)
        assert len(commands) == 4
        for command in commands:
            ended = other.call(*shlex.split(command))
            assert ended.code == 0, ended.err
        kinds = re.findall(r"^  (\w+) key +sk-mg-v1-\w{49}$", shown, re.MULTILINE)
        assert kinds == ["inference", "management"]

        process.send_signal(stop)
        _, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, err) == (0, "")
    assert list(temporary.iterdir()) == []
    assert console.call("credits", "show", mine, "--json").json["available"] == "5"


def test_demo_uses_a_free_port_when_its_port_is_taken(console: Console) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with console.start("demo", "--port", str(port)) as process:
            url = only_match(r"is running at (\S+)", tour(process))
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=DEADLINE_S)
    assert not url.endswith(f":{port}")
    assert err == (
        f"Port {port} is unavailable (Address already in use). Using a free port instead.\n"
    )
    assert process.returncode == 0


def test_demo_leaves_no_files_when_stopped_during_start(console: Console, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    console.environment["TMPDIR"] = str(temporary)
    with console.start("demo", "--port", "0") as process:
        while process.poll() is None and not any(temporary.rglob("*.db")):
            os.sched_yield()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, err) == (0, "")
    assert list(temporary.iterdir()) == []
