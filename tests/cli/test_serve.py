import json
import signal
import subprocess
from typing import Any

import pytest

from tests.cli.console import Console
from tests.deadlines import DEADLINE_S, http_connection


def address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("ModelGates listens on http://127.0.0.1:"), line
    return line.split()[-1]


def read_credits(url: str, key: str) -> tuple[int, Any]:
    connection = http_connection(url)
    try:
        connection.request("GET", "/api/v1/credits", headers={"Authorization": f"Bearer {key}"})
        response = connection.getresponse()
        return response.status, json.load(response)
    finally:
        connection.close()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_next_request_sees_the_changes_of_commands(console: Console, stop: int) -> None:
    console.environment["MODELGATES_PORT"] = "1"  # the option overrides it
    with console.start("serve", "--port", "0") as process:
        url = address(process)
        account = console.account("100.5")
        key = console.key(account, "management")
        totals = {"total_credits": 100.5, "total_usage": 0}
        assert read_credits(url, key["key"]) == (200, {"data": totals})
        console.call("credits", "adjust", account, "-0.5")
        totals["total_credits"] = 100
        assert read_credits(url, key["key"]) == (200, {"data": totals})
        console.call("key", "disable", key["hash"])
        assert read_credits(url, key["key"])[0] == 401
        process.send_signal(stop)
        _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--port", "70000"], "MODELGATES_PORT"),
        (["--workers", "0"], "MODELGATES_WORKERS"),
        (["--tls-cert", "cert.pem"], "TLS needs both"),
        (["--tls-cert", "no.pem", "--tls-key", "no.pem"], "No such file"),
    ],
)
def test_server_that_cannot_start_prints_the_reason(
    console: Console, words: list[str], why: str
) -> None:
    assert why in console.call("serve", *words).refusal


@pytest.mark.parametrize("workers", ["1", "2"])
def test_deprecated_names_give_one_warning_when_the_server_starts(
    console: Console, workers: str
) -> None:
    provider = '[providers.openai]\nbase_url = "https://api.openai.com/v1"\nprices = "openai"\n'
    (console.folder / "modelgates.toml").write_text(provider, encoding="utf-8")
    console.environment["MODELGATES_MAX_BODY_MB"] = "5"
    with console.start("serve", "--port", "0", "--workers", workers) as process:
        address(process)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=DEADLINE_S)
    warnings = [line for line in map(json.loads, err.splitlines()) if line["level"] == "warning"]
    assert [(line["event"], line["write_instead"]) for line in warnings] == [
        (
            "old names work in this release only",
            {
                "MODELGATES_MAX_BODY_MB": "MODELGATES_MAX_BODY_MIB",
                "providers.openai.prices": "price_list",
            },
        )
    ]
