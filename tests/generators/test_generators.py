"""Clients that generators write from the served document, run against the server."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.generators import tools
from tests.server import RunningServer, open_customer_now, running_server

GENERATORS: dict[str, tools.Generator] = {
    "openapi-python-client": tools.openapi_python_client,
    "hey-api": tools.hey_api,
    "openapi-typescript": tools.openapi_typescript,
    "openapi-generator python": tools.generator_python,
    "openapi-generator typescript-fetch": tools.generator_typescript_fetch,
    "openapi-generator java": tools.generator_java,
    "openapi-generator go": tools.generator_go,
}
TOOLS = ("java", "mvn", "go", "node")

pytestmark = pytest.mark.skipif(
    not os.environ.get("ALL_GENERATORS"), reason="make test-generators runs them"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


def test_tools_of_all_generators_are_installed() -> None:
    assert not [tool for tool in TOOLS if shutil.which(tool) is None]
    assert tools.PYTHON_BIN.exists()
    assert tools.NODE_BIN.exists()


@pytest.mark.parametrize("name", GENERATORS)
def test_generated_client_reads_credits_and_makes_calls(
    name: str, server: RunningServer, tmp_path: Path
) -> None:
    customer = open_customer_now(server.database_path)
    command = GENERATORS[name](tmp_path, f"{server.url}/openapi.json?for=generators")
    printed = tools.run(
        command,
        tmp_path,
        API=server.api,
        MANAGEMENT_KEY=customer.management,
        INFERENCE_KEY=customer.inference,
    )
    output = json.loads(printed.stdout)
    assert output.pop("cost") > 0
    assert output == {
        "credits": 100,
        "available": "100",
        "text": "Hello",
        "reason": "max_cost_exceeded",
    }
