"""Official clients call models on the running server: what they are told is on the books."""

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
}
NODE_CLIENTS = ("openrouter_sdk.mjs", "ai_sdk.mjs")


def run(command: list[str], server: RunningServer, customer: Customer, **more: str) -> Any:
    """What a client prints last, as JSON."""
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
    """Receipt lines = cost = usage entry = what GET /credits moved by, as exact decimals."""
    assert generations
    total = Decimal(0)
    with http_client(base_url=server.api) as http:
        for told in generations:
            answer = http.get(
                f"/generation?id={told['id']}",
                headers={"Authorization": f"Bearer {customer.viewer}"},
            )
            shown = json.loads(answer.text, parse_float=Decimal, parse_int=Decimal)["data"]
            lines = sum((Decimal(line["amount"]) for line in shown["lines"]), Decimal(0))
            assert lines == shown["total_cost"] == shown["usage"] == Decimal(told["cost"]), told
            total += shown["total_cost"]
        answer = http.get("/credits", headers={"Authorization": f"Bearer {customer.management}"})
    used = json.loads(answer.text, parse_float=Decimal, parse_int=Decimal)["data"]["total_usage"]
    assert used == total > 0


@pytest.mark.parametrize("client", PYTHON_CLIENTS)
def test_a_python_client_is_charged_what_it_is_told(
    client: str, server: RunningServer, customer: Customer
) -> None:
    script, apart = PYTHON_CLIENTS[client]
    place = "" if apart is None else str(SDKS / apart)
    told = run([sys.executable, str(HERE / script)], server, customer, PYTHONPATH=place)
    check_money(server, customer, told["generations"])


@pytest.mark.parametrize("script", NODE_CLIENTS)
def test_a_node_client_is_charged_what_it_is_told(
    script: str, server: RunningServer, customer: Customer
) -> None:
    if not (NODE / "node_modules").is_dir() and not os.environ.get("CI"):
        pytest.skip("there is no Node 20 or newer on this machine; CI demands these")
    told = run(["node", str(NODE / script)], server, customer)
    check_money(server, customer, told["generations"])
