"""The bridge from the HTTP server to the official library: limits, batches, and failures."""

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
NOTIFICATION = {"jsonrpc": "2.0", "method": "notifications/initialized"}


class Probe:
    """An MCP server whose list of tools waits for `may_continue` and may raise `failure`."""

    def __init__(self) -> None:
        self.loads = 0
        self.requests = 0
        self.may_continue = asyncio.Event()
        self.may_continue.set()
        self.failure: Exception | None = None

    def load(self) -> McpTransport:
        self.loads += 1
        return McpTransport(Server[Any]("probe", on_list_tools=self._list))

    async def _list(self, _: Context, __: PaginatedRequestParams | None) -> ListToolsResult:
        self.requests += 1
        await self.may_continue.wait()
        if self.failure is not None:
            raise self.failure
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
async def test_every_version_with_a_handshake_is_supported(served: Served, version: str) -> None:
    client = {"name": "test", "version": "1"}
    result = await served.ask(
        "initialize", protocolVersion=version, capabilities={}, clientInfo=client
    )
    assert result["protocolVersion"] == version
    answer = await served.post(NOTIFICATION, mcp_protocol_version=version)
    assert (answer.status_code, answer.content) == (202, b"")
    assert "content-type" not in answer.headers
    answer = await served.post(PING, mcp_protocol_version=version)
    assert (answer.status_code, answer.json()["result"]) == (200, {})
    assert "mcp-session-id" not in answer.headers


async def test_unknown_version_is_refused(served: Served) -> None:
    answer = await served.post(PING, mcp_protocol_version="1999-01-01")
    assert answer.status_code == 400
    assert error_of(answer) == -32602


async def test_subscription_is_refused_as_unknown_method(served: Served) -> None:
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
async def test_client_without_accept_header_gets_json(served: Served, version: str) -> None:
    headers = {"content-type": "application/json", "mcp-protocol-version": version}
    # httpx adds an Accept header to requests without one.
    request = served.client.build_request("POST", "/mcp", json=PING, headers=headers)
    del request.headers["accept"]
    answer = await served.client.send(request)
    assert answer.headers["content-type"] == "application/json"
    assert answer.status_code == (200 if version == "2025-11-25" else 400), "no envelope"


async def test_unknown_method_and_invalid_message_have_different_codes(served: Served) -> None:
    assert (await served.ask("no/such/method"))["code"] == -32601
    assert error_of(await served.post({**PING, "jsonrpc": "1"})) == -32600
    assert error_of(await served.post(b"{")) == -32700


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_streams_and_sessions_are_not_supported(served: Served, method: str) -> None:
    answer = await served.client.request(method, "/mcp", headers={"accept": "text/event-stream"})
    assert answer.status_code == 405
    assert answer.headers["allow"] == "OPTIONS, POST"


async def test_oversized_body_is_refused_before_the_library_is_loaded(
    served: Served, probe: Probe
) -> None:
    answer = await served.post(b" " * (BODY_MAX_BYTES + 1))
    assert (answer.status_code, error_of(answer)) == (413, -32600)
    assert probe.loads == 0
    padding = b" " * (BODY_MAX_BYTES - len(b'{"jsonrpc":"2.0","id":1,"method":"ping"}'))
    answer = await served.post(b'{"jsonrpc":"2.0","id":1,"method":"ping"}' + padding)
    assert answer.status_code == 200


async def test_batch_gets_one_response(served: Served) -> None:
    unknown = {**PING, "id": "b", "method": "no/such/method"}
    answer = await served.post([PING, NOTIFICATION, unknown])
    first, second = answer.json()
    assert (first["id"], first["result"]) == (1, {})
    assert (second["id"], second["error"]["code"]) == ("b", -32601)
    answer = await served.post([NOTIFICATION, NOTIFICATION])
    assert (answer.status_code, answer.content) == (202, b"")


async def test_responses_of_a_batch_are_limited_together(
    served: Served, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "BATCH_ANSWERS_BYTES", 80)
    tools = {**PING, "method": "tools/list"}
    batch = [
        {**tools, "id": 1},
        {**tools, "id": 2},
        {**tools, "id": "c"},
        NOTIFICATION,
        {**tools, "id": 4},
    ]
    first, second, third, fourth = (await served.post(batch)).json()
    assert first["result"] == second["result"] == {"tools": []}
    assert (third["id"], fourth["id"]) == ("c", 4)
    assert third["error"] == fourth["error"]
    assert "Send fewer messages" in third["error"]["message"]
    assert probe.requests == 2, "refused messages are not processed"


async def test_concurrent_first_requests_load_the_library_once(
    served: Served, probe: Probe
) -> None:
    assert probe.loads == 0
    answers = await asyncio.gather(*(served.post(PING) for _ in range(5)))
    assert [answer.status_code for answer in answers] == [200] * 5
    assert probe.loads == 1


async def test_only_requests_above_the_limit_are_refused(served: Served, probe: Probe) -> None:
    probe.may_continue.clear()
    asking = [asyncio.create_task(served.ask("tools/list")) for _ in range(RUNNING_MAX)]
    await until(lambda: probe.requests == RUNNING_MAX)
    refused = await served.post(PING)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert error_of(refused) == -32000
    probe.may_continue.set()
    assert await asyncio.gather(*asking) == [{"tools": []}] * RUNNING_MAX
    assert (await served.post(PING)).status_code == 200


async def test_unexpected_error_is_logged_without_details_for_the_client(
    served: Served, probe: Probe
) -> None:
    probe.failure = OSError("/var/lib/secret.db")
    with capture_logs() as logged:
        error = await served.ask("tools/list")
    assert error == {"code": -32603, "message": "Internal Server Error"}
    (line,) = logged
    assert (line["log_level"], line["method"]) == ("error", "tools/list")


async def test_unexpected_response_from_client_is_ignored(served: Served) -> None:
    answer = await served.post({"jsonrpc": "2.0", "id": 9, "result": {}})
    assert (answer.status_code, answer.content) == (202, b"")


def test_unused_server_does_not_load_the_library() -> None:
    # In another process, because the tests have loaded it in this one.
    program = (
        "import sys, modelgates_server.bootstrap.serving\n"
        "print(*({'mcp', 'mcp_types', 'markdown_it'} & set(sys.modules)))"
    )
    process = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, timeout=DEADLINE_S
    )
    assert process.stdout.strip() == b""
