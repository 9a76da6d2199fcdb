"""The responses of /docs over HTTP."""

import asyncio
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from modelgates_server.core.errors import GatewayError
from modelgates_server.docsite.model import ORIGIN
from modelgates_server.docsite.result_groups import STEP
from modelgates_server.docsite.site import Site
from modelgates_server.web.body_budget import BodyBudget
from modelgates_server.web.head import RequestHead
from modelgates_server.web.pages.docs import QUERY_MAX_CHARS, DocsApi, SharedSite
from modelgates_server.web.pages.negotiation import KnownHosts
from modelgates_server.web.request import RequestContext
from tests.deadlines import DEADLINE_S
from tests.docsite.conftest import Elements
from tests.web.harness import DOCS_CATALOG, Api

BROWSER = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
CREDITS = "/docs/api/api-reference/credits/get-credits"


async def get(api: Api, path: str, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.client.get(path, headers={"accept-encoding": "identity", **named})


async def test_every_document_is_served_with_the_reader_s_address(
    api: Api, site: Site, subtests: pytest.Subtests
) -> None:
    for name, document in site.documents.items():
        with subtests.test(name):
            answer = await get(api, f"/{name}", host="gateway.example:8000")
            assert answer.status_code == 200
            assert answer.headers["content-type"] == document.media_type
            assert ORIGIN.encode() not in answer.content
            assert int(answer.headers["content-length"]) == len(answer.content)
            if ORIGIN.encode() in document.body and not document.is_page:
                assert b"http://gateway.example:8000/" in answer.content


@pytest.mark.parametrize("path", ["/docs", CREDITS])
async def test_page_has_markdown_under_three_names(path: str, api: Api) -> None:
    page = await get(api, path, **BROWSER)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    twin = await get(api, f"{path}.md")
    assert twin.headers["content-type"] == "text/markdown; charset=utf-8"
    assert (await get(api, f"{path}.mdx")).content == twin.content
    asked = await get(api, path, accept="text/markdown, text/html, */*")
    assert (asked.content, asked.headers["content-type"]) == (
        twin.content,
        twin.headers["content-type"],
    )
    assert {"accept", "accept-encoding"} <= set(page.headers["vary"].split(", "))
    assert f'<http://gateway{path}.md>; rel="alternate"' in page.headers["link"]


async def test_markdown_starts_with_directions_for_programs(api: Api) -> None:
    first, blank, title, *_ = (await get(api, f"{CREDITS}.md")).text.split("\n")
    assert first == (
        "For clean Markdown of any page, append .md to the page URL. "
        "For a complete documentation index, see http://gateway/docs/llms.txt. "
        "For full documentation content, see http://gateway/docs/llms-full.txt. "
        "For AI client integration (Claude Code, Cursor, etc.), "
        "connect to the MCP server at http://gateway/docs/_mcp/server."
    )
    assert (blank, title) == ("", "# Get remaining credits")


async def test_links_have_the_scheme_of_the_proxy(api: Api) -> None:
    text = (await get(api, "/docs.md", x_forwarded_proto="https")).text
    assert "https://gateway/docs/llms.txt" in text
    assert "http://gateway" not in text


async def test_invalid_host_gets_no_page(api: Api) -> None:
    answer = await get(api, "/docs", host='a"><script>')
    assert answer.status_code == 400
    assert "script" not in answer.text


async def test_document_is_not_sent_again_when_the_client_has_it(api: Api) -> None:
    first = await get(api, "/docs")
    assert first.headers["cache-control"] == "no-cache"
    again = await get(api, "/docs", if_none_match=first.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")
    for name in ("etag", "cache-control", "vary"):
        assert again.headers[name] == first.headers[name]
    assert "content-length" not in again.headers
    other = await get(api, "/docs", if_none_match=first.headers["etag"], host="other.example")
    assert other.status_code == 200
    assert (await get(api, "/docs", if_none_match='"x"')).status_code == 200


async def test_page_is_compressed_when_the_client_accepts_gzip(api: Api) -> None:
    plain = await get(api, CREDITS)
    packed = await get(api, CREDITS, accept_encoding="gzip")
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == plain.content, "httpx unpacks it"
    assert int(packed.headers["content-length"]) < len(plain.content) / 3
    assert packed.headers["etag"] != plain.headers["etag"]
    assert "content-encoding" not in plain.headers


async def test_assets_are_cached_permanently(api: Api) -> None:
    page = Elements((await get(api, "/docs", **BROWSER)).text)
    named = [value for name in ("href", "src") for value in page.values(name) if "_assets" in value]
    assert len(named) >= 3
    for path in named:
        answer = await get(api, path)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    stem, _, suffix = named[0].rpartition(".")
    assert (await get(api, f"{stem}0.{suffix}")).status_code == 404


async def test_page_policy_allows_no_other_origin(api: Api) -> None:
    for path in ("/docs", "/docs/search?q=hold", "/docs/nowhere"):
        answer = await get(api, path, **BROWSER)
        policy = dict(
            part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; ")
        )
        assert policy.pop("img-src") == "'self' data:"
        nothing = {name for name, sources in policy.items() if sources == "'none'"}
        assert nothing == {"default-src", "base-uri", "frame-ancestors"}
        own = {name for name, sources in policy.items() if sources == "'self'"}
        assert own == {"script-src", "style-src", "connect-src", "form-action"}
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize(
    "path",
    [
        "/docs/nowhere",
        "/docs/_assets/docs.css",
        "/docs/%2e%2e/openapi.yaml",
        "/docs//",
        "/docs/.md",
    ],
)
async def test_missing_page_is_html_for_browsers_and_json_for_programs(path: str, api: Api) -> None:
    shown = await get(api, path, **BROWSER)
    assert (shown.status_code, shown.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "Page not found" in shown.text
    assert 'href="/docs"' in shown.text
    told = await get(api, path)
    assert told.status_code == 404
    assert told.json()["error"]["message"].startswith("Resource not found: `/docs")


async def test_trailing_slash_is_ignored_and_the_canonical_link_has_none(
    api: Api,
) -> None:
    for path in ("/docs", CREDITS):
        plain, slashed = await get(api, path), await get(api, f"{path}/")
        assert slashed.content == plain.content
        assert f"<link rel=\"canonical\" href='http://gateway{path}'>" in plain.text


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/docs", "GET, HEAD, OPTIONS"),
        ("DELETE", CREDITS, "GET, HEAD, OPTIONS"),
        ("PUT", "/llms.txt", "GET, HEAD, OPTIONS"),
        ("GET", "/docs/_mcp/server", "OPTIONS, POST"),
        ("GET", "/api/v1/mcp", "OPTIONS, POST"),
    ],
)
async def test_other_methods_are_rejected(method: str, path: str, allowed: str, api: Api) -> None:
    answer = await api.client.request(method, path, headers=BROWSER)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


async def test_api_description_has_the_reader_s_address(api: Api) -> None:
    as_json = (await get(api, "/docs/openapi.json")).json()
    assert as_json["servers"] == [{"url": "http://gateway/api/v1"}]
    for suffix in ("yaml", "yml"):
        assert yaml.safe_load((await get(api, f"/docs/openapi.{suffix}")).text) == as_json
    ours = (await get(api, "/openapi.json")).json()
    assert ours["components"] == as_json["components"]


async def test_catalog_leads_to_the_api_and_its_description(api: Api) -> None:
    answer = await get(api, "/.well-known/api-catalog")
    assert answer.headers["content-type"].startswith("application/linkset+json;")
    assert answer.headers["link"] == '<http://gateway/.well-known/api-catalog>; rel="api-catalog"'
    [links] = answer.json()["linkset"]
    assert links["anchor"] == "http://gateway/api/v1"
    targets = [
        one["href"] for part in ("service-desc", "service-doc", "status") for one in links[part]
    ]
    for target in targets:
        assert (await get(api, target)).status_code == 200
    assert 'rel="api-catalog"' in (await get(api, "/docs")).headers["link"]


async def test_results_lead_to_pages_and_anchors_that_exist(api: Api) -> None:
    answer = (await get(api, "/docs/_search?q=remaining+credits")).json()
    assert answer["query"] == "remaining credits"
    assert ORIGIN not in str(answer)
    assert answer["results"][0]["url"] == f"http://gateway{CREDITS}"
    for found in answer["results"]:
        path, _, anchor = found["url"].removeprefix("http://gateway").partition("#")
        page = Elements((await get(api, path, **BROWSER)).text)
        assert not anchor or anchor in page.values("id")


async def test_suggestions_are_in_groups_with_breadcrumbs(api: Api) -> None:
    results = (await get(api, "/docs/_search?q=balance")).json()["results"]
    groups = [result["group"] for result in results]
    assert groups == sorted(groups, key=list(dict.fromkeys(groups)).index), "each group is together"
    assert (groups[0], results[0]["trail"]) == ("API reference", f"API reference{STEP}Credits")
    assert {"Guides", "API reference"} <= set(groups)


async def test_browser_at_the_root_is_led_to_the_documentation(api: Api) -> None:
    response = await get(api, "/", **BROWSER)
    assert (response.status_code, response.headers["location"]) == (307, "/docs")
    assert response.headers["vary"] == "accept"
    assert response.content == b""
    head = await api.client.head("/", headers=BROWSER)
    assert (head.status_code, head.headers["location"]) == (307, "/docs")


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html;q=0", ""])
async def test_other_client_at_the_root_finds_nothing(accept: str, api: Api) -> None:
    response = await get(api, "/", accept=accept)
    assert response.status_code == 404
    assert response.json()["error"]["message"].startswith("Resource not found: `/`.")


async def test_root_below_a_path_leads_below_that_path() -> None:
    docs = DocsApi(KnownHosts("https://example.com/llm"), DOCS_CATALOG)
    headers = [(b"accept", b"text/html"), (b"host", b"inner")]
    scope = {"type": "http", "scheme": "http", "path": "/", "headers": headers}
    context = RequestContext(scope, never_read, RequestHead(headers), BodyBudget(0))
    response = await docs.lead(context)
    assert (b"location", b"/llm/docs") in response.headers


async def never_read() -> Any:
    raise AssertionError("the request has no body")


async def test_search_works_without_scripts(api: Api) -> None:
    shown = (await get(api, "/docs/search?q=remaining+credits", **BROWSER)).text
    assert CREDITS in Elements(shown).values("href")
    assert "<mark>" in shown
    assert 'value="remaining credits"' in shown


@pytest.mark.parametrize("query", ['"><script>alert(1)</script>', "\x00", "", "'\" OR *", "\udcff"])
async def test_odd_query_never_breaks_the_page(query: str, api: Api) -> None:
    for path in ("/docs/search", "/docs/_search"):
        encoded = query.encode("utf-8", "surrogateescape")
        url = httpx.URL(f"http://gateway{path}", params={"q": encoded.decode("latin-1")})
        answer = await api.client.get(url)
        assert answer.status_code == 200
        if path == "/docs/search":
            assert "<script>alert" not in answer.text


async def test_query_is_returned_as_the_reader_typed_it(api: Api) -> None:
    answer = (await get(api, f"/docs/_search?q={ORIGIN}/docs")).json()
    assert answer["query"] == f"{ORIGIN}/docs"


async def test_long_query_is_rejected(api: Api) -> None:
    for path in ("/docs/search", "/docs/_search"):
        assert (await get(api, f"{path}?q={'x' * QUERY_MAX_CHARS}")).status_code == 200
        refused = await get(api, f"{path}?q={'x' * (QUERY_MAX_CHARS + 1)}")
        assert refused.status_code == refused.json()["error"]["code"] == 400


async def test_browser_gets_a_page_when_the_query_is_too_long(api: Api) -> None:
    shown = await get(api, f"/docs/search?q={'x' * (QUERY_MAX_CHARS + 1)}", **BROWSER)
    assert (shown.status_code, shown.headers["content-type"]) == (400, "text/html; charset=utf-8")
    message = "A search has at most 200 characters, and this one has 201. Use fewer words."
    assert f"<p>{message}</p>" in shown.text


async def test_documentation_uses_no_thread_of_the_event_loop(api: Api, site: Site) -> None:
    class Watched(ThreadPoolExecutor):
        def submit(self, *_: Any, **__: Any) -> Any:
            raise AssertionError("the documentation used a thread of the loop")

    asyncio.get_running_loop().set_default_executor(Watched(1))
    assert (await get(api, "/docs", accept_encoding="gzip")).status_code == 200
    for path in ("/docs/search", "/docs/_search"):
        assert (await get(api, f"{path}?q=hold")).status_code == 200
    assert await SharedSite(lambda: site).get() is site


def test_server_starts_without_the_libraries_of_the_documentation(tmp_path: Path) -> None:
    heavy = "{'jinja2', 'markdown_it', 'mcp', 'mcp_types', 'pygments.formatters.html'}"
    script = f"""
import sys
from modelgates_server.bootstrap import load_settings
from modelgates_server.bootstrap.configuration import load_configuration
from modelgates_server.bootstrap.serving import create_app
from modelgates_server.core.pricing.catalog import Catalog
settings = load_settings(database_url="sqlite:///{tmp_path}/modelgates.db")
create_app(settings, load_configuration(None, {{}}), Catalog([], []))
print({heavy} & set(sys.modules))
"""
    ended = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        timeout=DEADLINE_S,
    )
    assert ended.stdout == "set()\n"


async def test_first_readers_share_one_build_although_one_disconnects(
    site: Site,
) -> None:
    go, made = threading.Event(), []

    def load() -> Site:
        assert go.wait(DEADLINE_S)
        made.append(1)
        return site

    shared = SharedSite(load)
    first, *others = [asyncio.ensure_future(shared.get()) for _ in range(3)]
    await asyncio.sleep(0)
    first.cancel()
    go.set()
    assert await asyncio.gather(*others) == [site, site]
    assert await shared.get() is site
    assert len(made) == 1


async def test_site_is_built_again_after_a_failure(site: Site) -> None:
    tries = []

    def load() -> Site:
        tries.append(1)
        if len(tries) == 1:
            raise GatewayError("not now")
        return site

    shared = SharedSite(load)
    with pytest.raises(GatewayError):
        await shared.get()
    assert await shared.get() is site
