"""Official clients call models on the running server; their costs match the ledger."""

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.deadlines import DEADLINE_S, http_client
from tests.server import Customer, RunningServer

HERE = Path(__file__).parent / "clients"
NODE = HERE / "node"
SDKS = Path(sys.prefix) / "sdks"

PYTHON_CLIENTS = {
    "openai": ("openai_chat.py", None),
    "openrouter": ("openrouter_chat.py", None),
    "openrouter-0.11.46": ("openrouter_chat.py", "openrouter-0.11.46"),
    "modelgates": ("modelgates_chat.py", None),
    "langchain-openrouter": ("langchain_chat.py", "langchain-openrouter-0.2.9"),
    "llm-openrouter": ("llm_shell.py", "llm-openrouter-0.7.1"),
}
NODE_CLIENTS = ("openrouter_sdk.mjs", "ai_sdk.mjs")


def run(command: list[str], server: RunningServer, customer: Customer, **more: str) -> Any:
    """Runs a client; returns the last line that it prints, as JSON."""
    done = subprocess.run(
        [*command, server.api, customer.inference],
        env={**os.environ, **more},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr + server.log_path.read_text()[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def check_money(server: RunningServer, customer: Customer, generations: list[Any]) -> None:
    """Checks that receipt lines = cost = usage entry = change of `GET /credits`, exactly."""
    assert generations
    total = Decimal(0)
    with http_client(base_url=server.api) as http:
        for generation in generations:
            response = http.get(
                f"/generation?id={generation['id']}",
                headers={"Authorization": f"Bearer {customer.viewer}"},
            )
            shown = json.loads(response.text, parse_float=Decimal, parse_int=Decimal)["data"]
            lines = sum((Decimal(line["amount"]) for line in shown["lines"]), Decimal(0))
            assert lines == shown["total_cost"] == shown["usage"] == Decimal(generation["cost"]), (
                generation
            )
            total += shown["total_cost"]
        response = http.get("/credits", headers={"Authorization": f"Bearer {customer.management}"})
    used = json.loads(response.text, parse_float=Decimal, parse_int=Decimal)["data"]["total_usage"]
    assert used == total > 0


@pytest.mark.parametrize("client", PYTHON_CLIENTS)
def test_python_client_is_charged_the_cost_that_it_reports(
    client: str, server: RunningServer, customer: Customer
) -> None:
    script, folder = PYTHON_CLIENTS[client]
    path = "" if folder is None else str(SDKS / folder)
    output = run([sys.executable, str(HERE / script)], server, customer, PYTHONPATH=path)
    check_money(server, customer, output["generations"])


@pytest.mark.parametrize("script", NODE_CLIENTS)
def test_node_client_is_charged_the_cost_that_it_reports(
    script: str, server: RunningServer, customer: Customer
) -> None:
    if not (NODE / "node_modules").is_dir() and not os.environ.get("CI"):
        pytest.skip("Node 20 or newer is not installed; CI requires it")
    output = run(["node", str(NODE / script)], server, customer)
    check_money(server, customer, output["generations"])
