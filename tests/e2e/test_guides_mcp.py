"""The configurations that the guide shows reach both MCP servers, with the tools it lists."""

import json
import re
from typing import Any

import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

from tests.deadlines import DEADLINE_S
from tests.e2e.guides import ADDRESSES, ROOT, blocks
from tests.server import Customer, RunningServer

PAGE = "docs/guides/mcp.md"
DOCS_TOOLS = {"searchDocs", "getPage"}
FOR_ALL = {"get_credits", "list_models", "get_generation"}
FOR_MANAGEMENT = {"list_keys", "create_key"}
SECRET = re.compile(r"\$\{[\w:-]+\}")


def configurations() -> list[dict[str, Any]]:
    """The servers in the configuration of each assistant."""
    files = [json.loads(block.text) for block in blocks(PAGE) if block.language == "json"]
    named = [file.get("mcpServers") or file.get("servers") for file in files]
    return [servers for servers in named if servers]


async def tools_of(server: RunningServer, configured: dict[str, Any], key: str) -> set[str]:
    """The tools that a client of the official library gets from a configured server."""
    url = configured["url"].replace(ADDRESSES[0], server.url)
    headers = {name: SECRET.sub(key, text) for name, text in configured.get("headers", {}).items()}
    async with (
        create_mcp_http_client(headers=headers) as http,
        Client(
            streamable_http_client(url, http_client=http), read_timeout_seconds=DEADLINE_S
        ) as client,
    ):
        return {tool.name for tool in (await client.list_tools()).tools}


@pytest.mark.parametrize("servers", configurations(), ids=["claude", "cursor", "vscode"])
async def test_configuration_of_an_assistant_reaches_both_servers(
    servers: dict[str, Any], server: RunningServer, customer: Customer
) -> None:
    tools = {
        name: await tools_of(server, configured, customer.viewer)
        for name, configured in servers.items()
    }
    assert tools == {"modelgates-docs": DOCS_TOOLS, "modelgates": FOR_ALL}


async def test_guide_lists_every_tool_and_no_other(
    server: RunningServer, customer: Customer
) -> None:
    account = configurations()[0]["modelgates"]
    every = await tools_of(server, account, customer.management)
    assert every == FOR_ALL | FOR_MANAGEMENT
    text = (ROOT / PAGE).read_text("utf-8")
    [row] = re.findall(r"^\| tools \|.*$", text, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", row)) == every | DOCS_TOOLS
