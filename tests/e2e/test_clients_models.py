"""Official clients look models up on the running server, with the base URLs that people give."""

import os
import sys
from dataclasses import replace

import pytest

from tests.e2e.test_clients import HERE, NODE, SDKS, run
from tests.server import Customer, RunningServer


class _Address(RunningServer):
    """The server under its bare address, which the scripts complete."""

    @property
    def api(self) -> str:
        return self.url


def bare(server: RunningServer) -> RunningServer:
    return _Address(**vars(replace(server)))


@pytest.mark.parametrize("folder", ["", "openai-1.109.1", "openrouter-0.11.46"])
def test_python_clients_look_models_up(
    folder: str, server: RunningServer, customer: Customer
) -> None:
    path = str(SDKS / folder) if folder else ""
    script = [sys.executable, str(HERE / "model_look_ups.py")]
    assert run(script, bare(server), customer, PYTHONPATH=path)["openai"]


def test_node_clients_look_models_up(server: RunningServer, customer: Customer) -> None:
    if not (NODE / "node_modules").is_dir() and not os.environ.get("CI"):
        pytest.skip("Node 20 or newer is not installed; CI requires it")
    assert run(["node", str(NODE / "model_look_ups.mjs")], bare(server), customer)["found"]
