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
    """What the demo prints, up to its last line; then it only waits."""
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    printed = []
    for line in lines:
        printed.append(line)
        if line.startswith("Ctrl-C"):
            return "".join(printed)
    assert process.stderr is not None
    raise AssertionError(process.stderr.read())


def one(pattern: str, text: str) -> str:
    (found,) = set(re.findall(pattern, text, re.MULTILINE))
    return str(found)


def said(curl: list[str]) -> str:
    """What a `curl` with headers and a body prints."""
    values = [curl[i + 1] for i, word in enumerate(curl) if word == "-H"]
    headers = dict(value.split(": ") for value in values)
    answer = http_request("POST", curl[2], headers=headers, content=curl[curl.index("-d") + 1])
    assert answer.status_code == 200, answer.text
    return answer.text


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_demo_shows_what_is_true_and_leaves_nothing(
    console: Console, tmp_path: Path, stop: int
) -> None:
    mine = console.account("5")
    caller = Console(tmp_path / "caller")
    caller.folder.mkdir()
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    caller.environment["TMPDIR"] = str(temporary)
    # Settings of the caller: none of them may reach the demo.
    caller.environment["MODELGATES_DATABASE_URL"] = console.environment["MODELGATES_DATABASE_URL"]
    caller.environment["MODELGATES_WORKERS"] = "many"
    (caller.folder / ".env").write_text("MODELGATES_TLS_CERT=cert.pem\n")
    with caller.start("demo", "--port", "0") as process:
        shown = tour(process)
        curl = shlex.split(one(r"^  (curl \S*/credits .*)$", shown))
        url = curl[1].removesuffix("/api/v1/credits")
        answer = json.loads(one(r"^  (\{.*\})$", shown))
        assert answer == {"data": {"total_credits": 10, "total_usage": 0.000043}}
        assert curl[2] == "-H"
        assert read_credits(url, curl[3].removeprefix("Authorization: Bearer ")) == (200, answer)

        call = shlex.split(one(r"^  (curl -N (?:.*\\\n){2}.*)$", shown).replace("\\\n", ""))
        assert said(call).endswith("data: [DONE]\n\n")
        assert read_credits(url, curl[3].removeprefix("Authorization: Bearer "))[1] != answer

        docs = one(r"^  (http\S+/docs)$", shown)
        assert "<h1" in http_request("GET", docs).text

        other = Console(tmp_path)
        other.environment["MODELGATES_DATABASE_URL"] = one(r"^  export \w+=(sqlite:\S+)$", shown)
        commands = re.findall(r"^  \S*modelgates (.*)$", shown, re.MULTILINE)
        assert len(commands) == 4
        for command in commands:
            ended = other.call(*shlex.split(command))
            assert ended.code == 0, ended.err
        kinds = re.findall(r"^  (\w+) key +sk-mg-v1-\w{49}$", shown, re.MULTILINE)
        assert kinds == ["management", "inference"]

        process.send_signal(stop)
        _, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, err) == (0, "")
    assert list(temporary.iterdir()) == []
    assert console.call("credits", "show", mine, "--json").json["available"] == "5"


def test_a_taken_port_does_not_stop_the_demo(console: Console) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with console.start("demo", "--port", str(port)) as process:
            url = one(r"runs at (\S+)", tour(process))
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=DEADLINE_S)
    assert not url.endswith(f":{port}")
    assert err == f"Port {port} cannot be used (Address already in use); taking a free one.\n"
    assert process.returncode == 0


def test_a_demo_stopped_at_once_leaves_nothing(console: Console, tmp_path: Path) -> None:
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
