"""The tools and resources of the documentation for assistants."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from threading import Thread, current_thread, main_thread

import pytest

from modelgates_server.core.errors import InvalidInput
from modelgates_server.docsite import site as sites
from modelgates_server.docsite.model import ORIGIN, Heading, Page, Section
from modelgates_server.docsite.site import Site
from modelgates_server.service.ports import Store
from modelgates_server.web.mcp import docs, docs_tools
from modelgates_server.web.mcp.docs import DocsMcp
from modelgates_server.web.mcp.jsonrpc import BATCH_MAX
from modelgates_server.web.request import RequestContext
from tests.support import ManualClock
from tests.web.mcp.served import Served

BASE = "https://example.com/llm"
OPENAPI = {"openapi": "3.1.0", "servers": [{"url": f"{ORIGIN}/api/v1"}]}


def page(path: str, title: str, text: str, *headings: Heading) -> Page:
    markdown = f"# {title}\n\n{text}"
    return Page(path, title, f"About {title}.", "Guides", markdown, "", headings)


FRONT = page("", "ModelGates", "Begin here.")
CREDITS = page(
    "api/credits/get-credits",
    "Get remaining credits",
    f"Send `GET {ORIGIN}/api/v1/credits`.\n\n## Errors\n\nA wrong key is a 401.",
    Heading(2, "Errors", "errors"),
)
LONG = page("guides/long", "Long", "word " * docs_tools.PAGE_MAX_CHARS)
MANY = [page(f"guides/{number}", f"Guide {number}", "Read.") for number in range(150)]
PAGES = (FRONT, CREDITS, LONG, *MANY)


@pytest.fixture(scope="module")
def site() -> Site:
    assets = dict(sites._assets())
    return Site((Section("Guides", PAGES),), OPENAPI, assets, searchable=True)


@pytest.fixture
async def served(
    site: Site, store: Store, clock: ManualClock, tmp_path: Path
) -> AsyncIterator[Served]:
    async def get_site() -> Site:
        return site

    serving = Served(store, clock, tmp_path, DocsMcp(get_site, base_of, clock).answer)
    async with serving.client:
        yield serving


def base_of(call: RequestContext) -> str:
    if call.headers[b"host"] == b"!":
        raise InvalidInput("The Host header is invalid.")
    return BASE


async def test_search_result_has_the_address_that_the_client_used(served: Served) -> None:
    text, is_error = await served.use("searchDocs", query="remaining credits")
    assert not is_error
    assert text.splitlines()[:2] == [
        "1. Get remaining credits",
        f"{BASE}/docs/api/credits/get-credits",
    ]
    text, _ = await served.use("searchDocs", query="wrong")
    assert text == (
        "1. Get remaining credits > Errors\n"
        f"{BASE}/docs/api/credits/get-credits#errors\nA **wrong** key is a 401."
    )


async def test_search_returns_a_limited_number_of_excerpts(served: Served) -> None:
    text, _ = await served.use("searchDocs", query="read")
    assert text.count(f"{BASE}/docs/") == docs_tools.EXCERPTS_MAX
    text, is_error = await served.use("searchDocs", query="nowhere-to-be-found")
    assert (text, is_error) == ("No results. Try other words, or fewer words.", False)


@pytest.mark.parametrize(
    "named",
    [
        "api/credits/get-credits",
        "/api/credits/get-credits/",
        "/docs/api/credits/get-credits",
        "/docs/api/credits/get-credits.md",
        "api/credits/get-credits.mdx",
        f"{BASE}/docs/api/credits/get-credits?x=1#errors",
        f" {BASE}/docs/api/credits/get-credits.md\n",
        f"{ORIGIN}/docs/api/credits/get-credits",
        "docs/api/credits/get-credits",
        "api/credits/get-credits.html",
        "api/credits/get-credits/index.html",
        "https://other.test/below/docs/api/credits/get-credits#errors",
    ],
)
async def test_page_is_found_by_path_and_by_address(served: Served, named: str) -> None:
    text, is_error = await served.use("getPage", path=named)
    assert not is_error
    assert text.startswith("# Get remaining credits\n")
    assert f"GET {BASE}/api/v1/credits" in text
    assert ORIGIN not in text


FRONTS = ["", "docs", "/docs", "/docs/", "index", "/docs/index.md", "https://x.test/docs"]


@pytest.mark.parametrize("named", [*FRONTS, f"{BASE}/docs", f"{BASE}/docs.md"])
async def test_front_page_is_found(served: Served, named: str) -> None:
    assert (await served.use("getPage", path=named))[0].startswith("# ModelGates")


@pytest.mark.parametrize(
    "named",
    [
        "nowhere",
        "../openapi.yaml",
        "/etc/passwd",
        "/docsguides/long",
        "indexguides/long",
        "https://x.test",
        "https://x.test/guides/long",
    ],
)
async def test_unknown_page_is_an_error_that_suggests_a_search(served: Served, named: str) -> None:
    text, is_error = await served.use("getPage", path=named)
    assert is_error
    assert "searchDocs" in text


async def test_long_page_is_truncated_with_the_address_of_the_whole(served: Served) -> None:
    text, _ = await served.use("getPage", path="guides/long")
    assert len(text) < docs_tools.PAGE_MAX_CHARS + 200
    assert text.rstrip().endswith(f"Whole page: {BASE}/docs/guides/long.md]")


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("searchDocs", {}),
        ("searchDocs", {"query": 5}),
        ("searchDocs", {"query": "a", "limit": 1000}),
        ("searchDocs", {"query": "a" * 401}),
        ("getPage", {"path": "a" * 401}),
        ("getPage", {"page": "guides/long"}),
    ],
)
async def test_invalid_arguments_are_reported_to_the_assistant(
    served: Served, tool: str, arguments: dict[str, object]
) -> None:
    text, is_error = await served.use(tool, **arguments)
    assert is_error
    assert text.startswith(("`query` ", "`path` ", "Unknown field `"))


async def test_unknown_tool_is_a_protocol_error(served: Served) -> None:
    error = await served.ask("tools/call", name="deleteDocs", arguments={})
    assert error["code"] == -32602


async def test_resources_are_all_pages_and_the_openapi_document(served: Served) -> None:
    listed = await served.ask("resources/list")
    assert len(listed["resources"]) == docs_tools.RESOURCES_A_PAGE
    more = await served.ask("resources/list", cursor=listed["nextCursor"])
    assert "nextCursor" not in more
    resources = [*listed["resources"], *more["resources"]]
    assert len({each["uri"] for each in resources}) == len(PAGES) + 1
    assert (await served.ask("resources/list", cursor="9" * 9))["resources"] == []
    assert (await served.ask("resources/list", cursor="-1"))["code"] == -32602
    for resource in resources[:3]:
        read = await served.ask("resources/read", uri=resource["uri"])
        (content,) = read["contents"]
        assert content["mimeType"] == resource["mimeType"]
        assert ORIGIN not in content["text"]
    openapi = await served.ask("resources/read", uri=f"{BASE}/docs/openapi.json")
    document = json.loads(openapi["contents"][0]["text"])
    assert document["servers"] == [{"url": f"{BASE}/api/v1"}]


async def test_resource_template_makes_readable_addresses(served: Served) -> None:
    (template,) = (await served.ask("resources/templates/list"))["resourceTemplates"]
    uri = template["uriTemplate"].replace("{+path}", CREDITS.path)
    assert (await served.ask("resources/read", uri=uri))["contents"]
    assert (await served.ask("resources/read", uri=f"{BASE}/docs/nowhere.md"))["code"] == -32602


async def test_invalid_host_is_refused(served: Served) -> None:
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    answer = await served.post(ping, host="!")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32600)


@pytest.mark.parametrize("version", ["2025-06-18", "2026-07-28"])
@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("a" * 60_000, {}),
        ("resources/read", {"uri": f"{BASE}/docs/{'a' * 60_000}"}),
        ("resources/read", {"uri": f"{BASE}/docs?{'a' * 60_000}"}),
        ("tools/call", {"name": "a" * 60_000}),
        ("tools/call", {"name": "getPage", "arguments": {"a" * 60_000: 1}}),
        ("resources/list", {"cursor": "a" * 60_000}),
    ],
)
async def test_error_repeats_little_of_a_long_request(
    served: Served, method: str, params: dict[str, object], version: str
) -> None:
    meta = {"protocolVersion": version, "clientCapabilities": {}}
    named = {f"io.modelcontextprotocol/{name}": value for name, value in meta.items()}
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": named}}
    headers = {"mcp_protocol_version": version, "mcp_method": method[:100]}
    name = params.get("uri") or params.get("name")
    if name is not None:
        headers["mcp_name"] = str(name)
    answer = await served.post(message, **headers)
    assert answer.json()["id"] == 1
    assert len(answer.content) < 1000


async def test_search_runs_outside_the_main_thread(
    site: Site, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = list[Thread]()

    def find(*_: object) -> list[object]:
        threads.append(current_thread())
        return []

    monkeypatch.setattr(site, "find", find)
    await served.use("searchDocs", query="credits")
    assert threads != [main_thread()]


async def test_batch_counts_as_its_number_of_messages(served: Served, clock: ManualClock) -> None:
    batch = [{"jsonrpc": "2.0", "id": n, "method": "ping"} for n in range(BATCH_MAX)]
    for _ in range(docs.BURST // BATCH_MAX):
        assert (await served.post(batch)).status_code == 200
    assert (await served.post(batch)).status_code == 429
    clock.forward(BATCH_MAX * docs.EVERY_MS)
    assert (await served.post(batch)).status_code == 200


async def test_client_is_refused_when_it_exceeds_the_rate_limit(
    served: Served, clock: ManualClock
) -> None:
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    for _ in range(docs.BURST):
        assert (await served.post(ping)).status_code == 200
    refused = await served.post(ping)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert refused.json()["error"]["code"] == -32000
    clock.forward(docs.EVERY_MS)
    assert (await served.post(ping)).status_code == 200
