"""The bridge from our server to the official library: bounds, batches, and trouble."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp.server.lowlevel import Server
from mcp_types import ListToolsResult, PaginatedRequestParams
from structlog.testing import capture_logs

from modelgates_server.service.ports import Store
from modelgates_server.web.mcp import server as endpoint
from modelgates_server.web.mcp.jsonrpc import BODY_MAX_BYTES
from modelgates_server.web.mcp.server import RUNNING_MAX, StatelessMcpServer
from modelgates_server.web.mcp.transport import Context, McpTransport
from tests.deadlines import DEADLINE_S
from tests.gateway import until
from tests.support import ManualClock
from tests.web.mcp.served import Served

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
TOLD = {"jsonrpc": "2.0", "method": "notifications/initialized"}


class Probe:
    """An MCP server whose listing of tools waits until it may go on."""

    def __init__(self) -> None:
        self.loads = 0
        self.asked = 0
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.trouble: Exception | None = None

    def load(self) -> McpTransport:
        self.loads += 1
        return McpTransport(Server[Any]("probe", on_list_tools=self._list))

    async def _list(self, _: Context, __: PaginatedRequestParams | None) -> ListToolsResult:
        self.asked += 1
        await self.may_go_on.wait()
        if self.trouble is not None:
            raise self.trouble
        return ListToolsResult(tools=[])


@pytest.fixture
def probe() -> Probe:
    return Probe()


@pytest.fixture
async def served(
    probe: Probe, store: Store, clock: ManualClock, tmp_path: Path
) -> AsyncIterator[Served]:
    serving = Served(store, clock, tmp_path / "spool", StatelessMcpServer(probe.load).answer)
    async with serving.client:
        yield serving


def error_of(answer: httpx.Response) -> int:
    assert answer.headers["content-type"] == "application/json"
    code: int = answer.json()["error"]["code"]
    return code


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
async def test_every_version_with_a_handshake_is_spoken(served: Served, version: str) -> None:
    client = {"name": "test", "version": "1"}
    result = await served.ask(
        "initialize", protocolVersion=version, capabilities={}, clientInfo=client
    )
    assert result["protocolVersion"] == version
    answer = await served.post(TOLD, mcp_protocol_version=version)
    assert (answer.status_code, answer.content) == (202, b"")
    assert "content-type" not in answer.headers
    answer = await served.post(PING, mcp_protocol_version=version)
    assert (answer.status_code, answer.json()["result"]) == (200, {})
    assert "mcp-session-id" not in answer.headers


async def test_a_version_nobody_knows_is_refused(served: Served) -> None:
    answer = await served.post(PING, mcp_protocol_version="1999-01-01")
    assert answer.status_code == 400
    assert error_of(answer) == -32602


async def test_a_stream_that_nobody_has_is_refused_in_words(served: Served) -> None:
    meta = {"protocolVersion": "2026-07-28", "clientCapabilities": {}}
    params = {
        "_meta": {f"io.modelcontextprotocol/{name}": value for name, value in meta.items()},
        "notifications": {},
    }
    listen = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params}
    headers = {"mcp_protocol_version": "2026-07-28", "mcp_method": "subscriptions/listen"}
    answer = await served.post(listen, **headers)
    assert (answer.status_code, error_of(answer)) == (404, -32601)


@pytest.mark.parametrize("version", ["2025-11-25", "2026-07-28"])
async def test_a_client_that_does_not_say_what_it_takes_gets_json(
    served: Served, version: str
) -> None:
    headers = {"content-type": "application/json", "mcp-protocol-version": version}
    # httpx adds an Accept to what has none.
    request = served.client.build_request("POST", "/mcp", json=PING, headers=headers)
    del request.headers["accept"]
    answer = await served.client.send(request)
    assert answer.headers["content-type"] == "application/json"
    assert answer.status_code == (200 if version == "2025-11-25" else 400), "no envelope"


async def test_an_unknown_method_is_told_apart_from_an_unknown_message(served: Served) -> None:
    assert (await served.ask("no/such/method"))["code"] == -32601
    assert error_of(await served.post({**PING, "jsonrpc": "1"})) == -32600
    assert error_of(await served.post(b"{")) == -32700


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_there_are_neither_streams_nor_sessions(served: Served, method: str) -> None:
    answer = await served.client.request(method, "/mcp", headers={"accept": "text/event-stream"})
    assert answer.status_code == 405
    assert answer.headers["allow"] == "OPTIONS, POST"


async def test_an_oversized_body_is_refused_before_anything_is_loaded(
    served: Served, probe: Probe
) -> None:
    answer = await served.post(b" " * (BODY_MAX_BYTES + 1))
    assert (answer.status_code, error_of(answer)) == (413, -32600)
    assert probe.loads == 0
    padding = b" " * (BODY_MAX_BYTES - len(b'{"jsonrpc":"2.0","id":1,"method":"ping"}'))
    answer = await served.post(b'{"jsonrpc":"2.0","id":1,"method":"ping"}' + padding)
    assert answer.status_code == 200


async def test_a_batch_is_answered_as_one(served: Served) -> None:
    unknown = {**PING, "id": "b", "method": "no/such/method"}
    answer = await served.post([PING, TOLD, unknown])
    first, second = answer.json()
    assert (first["id"], first["result"]) == (1, {})
    assert (second["id"], second["error"]["code"]) == ("b", -32601)
    answer = await served.post([TOLD, TOLD])
    assert (answer.status_code, answer.content) == (202, b"")


async def test_the_answers_of_a_batch_are_bounded_together(
    served: Served, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "BATCH_ANSWERS_BYTES", 80)
    tools = {**PING, "method": "tools/list"}
    batch = [{**tools, "id": 1}, {**tools, "id": 2}, {**tools, "id": "c"}, TOLD, {**tools, "id": 4}]
    first, second, third, fourth = (await served.post(batch)).json()
    assert first["result"] == second["result"] == {"tools": []}
    assert (third["id"], fourth["id"]) == ("c", 4)
    assert third["error"] == fourth["error"]
    assert "ask for less" in third["error"]["message"]
    assert probe.asked == 2, "what is refused is not done"


async def test_first_requests_that_come_together_load_it_once(served: Served, probe: Probe) -> None:
    assert probe.loads == 0
    answers = await asyncio.gather(*(served.post(PING) for _ in range(5)))
    assert [answer.status_code for answer in answers] == [200] * 5
    assert probe.loads == 1


async def test_too_many_at_once_are_refused_and_the_others_are_not(
    served: Served, probe: Probe
) -> None:
    probe.may_go_on.clear()
    asking = [asyncio.create_task(served.ask("tools/list")) for _ in range(RUNNING_MAX)]
    await until(lambda: probe.asked == RUNNING_MAX)
    refused = await served.post(PING)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert error_of(refused) == -32000
    probe.may_go_on.set()
    assert await asyncio.gather(*asking) == [{"tools": []}] * RUNNING_MAX
    assert (await served.post(PING)).status_code == 200


async def test_what_breaks_inside_is_logged_and_not_shown(served: Served, probe: Probe) -> None:
    probe.trouble = OSError("/var/lib/secret.db")
    with capture_logs() as logged:
        error = await served.ask("tools/list")
    assert error == {"code": -32603, "message": "Internal Server Error"}
    (line,) = logged
    assert (line["log_level"], line["method"]) == ("error", "tools/list")


async def test_a_client_that_answers_what_nobody_asked_does_no_harm(served: Served) -> None:
    answer = await served.post({"jsonrpc": "2.0", "id": 9, "result": {}})
    assert (answer.status_code, answer.content) == (202, b"")


def test_a_server_that_nobody_asks_does_not_load_the_library() -> None:
    # In a process of its own, as the tests have loaded it.
    program = (
        "import sys, modelgates_server.bootstrap.serving\n"
        "print(*({'mcp', 'mcp_types', 'markdown_it'} & set(sys.modules)))"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, timeout=DEADLINE_S
    )
    assert told.stdout.strip() == b""
