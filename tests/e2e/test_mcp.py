"""The official MCP client against a running server, for the documentation and for an account."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp_types import CallToolResult, TextContent, TextResourceContents

from modelgates_server.docsite.model import ORIGIN
from tests.deadlines import DEADLINE_S, async_http_client
from tests.server import Customer, RunningServer, running_server

# Clients of today start with a handshake ("legacy"), later ones do without it ("auto").
MODES = ["legacy", "auto"]
PING = b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}'
JSON = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
CREDITS = "api/api-reference/credits/get-credits"


def docs_client(url: str, mode: str) -> Client:
    return Client(f"{url}/docs/_mcp/server", mode=mode, read_timeout_seconds=DEADLINE_S)


@asynccontextmanager
async def account_client(server: RunningServer, key: str, mode: str) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        create_mcp_http_client(headers=headers) as http,
        Client(
            streamable_http_client(f"{server.api}/mcp", http_client=http),
            mode=mode,
            read_timeout_seconds=DEADLINE_S,
        ) as client,
    ):
        yield client


def text_of(result: object) -> str:
    assert isinstance(result, CallToolResult)
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


@pytest.mark.parametrize("mode", MODES)
async def test_search_for_remaining_credits_finds_their_page_first(
    server: RunningServer, mode: str
) -> None:
    async with docs_client(server.url, mode) as client:
        tools = (await client.list_tools()).tools
        assert [tool.name for tool in tools] == ["searchDocs", "getPage"]
        results = text_of(await client.call_tool("searchDocs", {"query": "remaining credits"}))
        first = results.splitlines()[1]
        assert first == f"{server.url}/docs/{CREDITS}"
        for path in (first, CREDITS):
            page = text_of(await client.call_tool("getPage", {"path": path}))
            assert page.startswith("# ")
            assert f"{server.api}/credits" in page


@pytest.mark.parametrize("mode", MODES)
async def test_every_page_is_a_resource(server: RunningServer, mode: str) -> None:
    async with docs_client(server.url, mode) as client:
        listed = await client.list_resources()
        uris = {str(resource.uri) for resource in listed.resources}
        assert f"{server.url}/docs/{CREDITS}.md" in uris
        for uri in uris:
            (content,) = (await client.read_resource(uri)).contents
            assert isinstance(content, TextResourceContents)
            assert ORIGIN not in content.text
        (content,) = (await client.read_resource(f"{server.url}/docs/openapi.json")).contents
        assert isinstance(content, TextResourceContents)
        assert json.loads(content.text)["servers"] == [{"url": server.api}]
        assert (await client.list_resource_templates()).resource_templates


@pytest.mark.parametrize("path", ["/docs/_mcp/server", "/api/v1/mcp"])
async def test_body_that_is_not_a_message_gets_a_protocol_error(
    server: RunningServer, customer: Customer, path: str
) -> None:
    headers = {**JSON, "authorization": f"Bearer {customer.viewer}"}
    async with async_http_client(base_url=server.url, headers=headers) as client:
        for body, status, code in [
            (b"{", 400, -32700),
            (b"{}", 400, -32600),
            (b" " * 100_000, 413, -32600),
            (PING.replace(b"ping", b"no/such"), 200, -32601),
        ]:
            response = await client.post(path, content=body)
            assert (response.status_code, response.json()["error"]["code"]) == (status, code)
        for method in ("GET", "DELETE"):
            response = await client.request(method, path)
            assert (response.status_code, response.headers["allow"]) == (405, "OPTIONS, POST")
        assert (await client.post(path, content=PING)).json()["result"] == {}


@pytest.mark.parametrize("mode", MODES)
async def test_management_key_creates_a_key_that_works(
    server: RunningServer, customer: Customer, mode: str
) -> None:
    async with account_client(server, customer.management, mode) as client:
        result = await client.call_tool("create_key", {"name": "by an assistant", "limit": 0.5})
        assert not result.is_error
        created = json.loads(text_of(result))
        keys = json.loads(text_of(await client.call_tool("list_keys", {})))
        assert created["data"] in keys["data"]
    async with account_client(server, created["key"], mode) as client:
        assert json.loads(text_of(await client.call_tool("list_models", {})))["data"]
        refused = await client.call_tool("create_key", {"name": "more"})
        assert refused.is_error
        assert "Only management keys" in text_of(refused)


@pytest.mark.parametrize("mode", MODES)
async def test_viewer_key_reads_credits_and_cannot_create_keys(
    server: RunningServer, customer: Customer, mode: str
) -> None:
    async with account_client(server, customer.viewer, mode) as client:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        assert tools == {"get_credits", "list_models", "get_generation"}
        figures = json.loads(text_of(await client.call_tool("get_credits", {})))
        assert figures["data"] == {"total_credits": 100, "total_usage": 0}
        assert (await client.call_tool("create_key", {"name": "x"})).is_error


async def test_receipt_is_read_with_the_key_of_the_call(
    server: RunningServer, customer: Customer
) -> None:
    body = {"model": "sandbox/echo", "messages": [{"role": "user", "content": "hi"}]}
    headers = {"authorization": f"Bearer {customer.inference}"}
    async with async_http_client(headers=headers) as http:
        response = await http.post(f"{server.api}/chat/completions", json=body)
    assert response.status_code == 200, response.text
    generation_id = response.json()["id"]
    async with account_client(server, customer.inference, "auto") as client:
        got = text_of(await client.call_tool("get_generation", {"id": generation_id}))
    assert json.loads(got)["data"]["total_cost"] == response.json()["usage"]["cost"]


async def test_account_tools_are_refused_without_a_valid_key(
    server: RunningServer, customer: Customer
) -> None:
    unknown = customer.viewer[:-1] + ("0" if customer.viewer[-1] != "0" else "1")
    async with async_http_client(headers=JSON) as client:
        for headers, message in [
            ({}, "Missing Authentication header"),
            ({"authorization": "Bearer x"}, "Missing Authentication header"),
            ({"authorization": f"Bearer {unknown}"}, "User not found."),
        ]:
            response = await client.post(f"{server.api}/mcp", content=PING, headers=headers)
            error = response.json()["error"]
            assert (error["message"], error["code"]) == (message, 401)
            assert response.status_code == 401
            assert response.headers["www-authenticate"].startswith("Bearer ")


async def test_mcp_server_works_behind_a_path_prefix(tmp_path: Path) -> None:
    async with reverse_proxy("/llm") as (url, targets):
        with running_server(tmp_path, MODELGATES_PUBLIC_URL=url) as server:
            targets.append(server.url)
            for mode in MODES:
                async with docs_client(url, mode) as client:
                    await check_addresses(client, url)


async def check_addresses(client: Client, url: str) -> None:
    """All addresses start with `url`, and the client can read them."""
    results = text_of(await client.call_tool("searchDocs", {"query": "remaining credits"}))
    addresses = [result.splitlines()[1] for result in results.split("\n\n")]
    assert addresses[0] == f"{url}/docs/{CREDITS}"
    assert all(address.startswith(f"{url}/docs") for address in addresses)
    page = text_of(await client.call_tool("getPage", {"path": f"{url}/docs/{CREDITS}"}))
    assert f"{url}/api/v1/credits" in page
    for resource in (await client.list_resources()).resources[:3]:
        assert str(resource.uri).startswith(f"{url}/docs")
        assert (await client.read_resource(str(resource.uri))).contents


@asynccontextmanager
async def reverse_proxy(prefix: str) -> AsyncIterator[tuple[str, list[str]]]:
    """A proxy that removes `prefix`. Yields its URL, and a list for the URL of its target."""
    targets = list[str]()

    async def forward(request: web.Request) -> web.Response:
        target = targets[0] + request.path_qs.removeprefix(prefix)
        kept = {k: v for k, v in request.headers.items() if k.lower() != "host"}
        async with async_http_client() as client:
            response = await client.request(
                request.method, target, headers=kept, content=await request.read()
            )
        media_type = {"content-type": response.headers.get("content-type", "text/plain")}
        return web.Response(status=response.status_code, body=response.content, headers=media_type)

    app = web.Application()
    app.router.add_route("*", f"{prefix}/{{rest:.*}}", forward)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}{prefix}", targets
    finally:
        await runner.cleanup()
