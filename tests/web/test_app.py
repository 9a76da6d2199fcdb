"""HTTP behavior of every path: methods, preflights, slashes, caching, and errors in one shape."""

import pytest

from modelgates_server.core.keys import key_hash
from tests.gateway import METRICS_TOKEN
from tests.server import Customer
from tests.web.document import operations_of, our_document
from tests.web.harness import Api

METHODS: dict[str, set[str]] = {}
for _method, _path, _ in operations_of(our_document()):
    METHODS.setdefault(_path, set()).add(_method)
# The methods of RFC 9110 and 5789, one of WebDAV, and an unknown one.
VERBS = ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "BREW"]
UNKNOWN = [
    "//",
    "/api",
    "/api/v1",
    "/api/v1/",
    "/api/v1/credit",
    "/api/v1/Credits",
    "/api/v1/credits//",
    "/api/v1/credits/x",
    "//api/v1/credits",
    "/api/v2/credits",
    "/api/v1/keys/x/y",
    "/docs.html",
    "/docsx",
    "/.well-known",
    "/favicon.ico",
    "/openapi.yml",
    "/..%2f..%2fetc/passwd",
    "/api/v1/%00",
]


@pytest.mark.parametrize("path", sorted(METHODS))
async def test_unsupported_method_is_a_405_that_lists_the_allowed_methods(
    path: str, api: Api, acme: Customer
) -> None:
    supported = METHODS[path]
    allowed = supported | {"OPTIONS"} | ({"HEAD"} if "GET" in supported else set())
    for verb in set(VERBS) - supported:
        answer = await api.call(verb, path, acme.management)
        assert answer.status_code == 405, verb
        names = answer.headers["allow"]
        message = f"Method not allowed: {verb}. Use one of: {names}."
        assert answer.text == f'{{"error":{{"message":"{message}","code":405}}}}'
        assert set(names.split(", ")) == allowed


@pytest.mark.parametrize("path", UNKNOWN)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
async def test_unknown_path_is_a_404_in_json(path: str, method: str, api: Api) -> None:
    answer = await api.client.request(method, f"http://gateway{path}")
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert error.keys() == {"message", "code"}
    assert error["message"].startswith("Resource not found: `")
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", sorted(path for path in METHODS if "GET" in METHODS[path]))
async def test_trailing_slash_makes_no_difference(path: str, api: Api, acme: Customer) -> None:
    filled = path.replace("{hash}", key_hash(acme.inference))
    plain = await api.call("GET", filled, acme.management)
    slashed = await api.call("GET", filled + "/", acme.management)
    assert (slashed.status_code, slashed.content) == (plain.status_code, plain.content)


async def test_post_with_trailing_slash_is_not_turned_into_a_get(api: Api, acme: Customer) -> None:
    answer = await api.call("POST", "/api/v1/keys/", acme.management, json={"name": "slash"})
    assert answer.status_code == 201
    named = f"/api/v1/keys/{answer.json()['data']['hash']}/"
    changed = await api.call("PATCH", named, acme.management, json={"disabled": True})
    assert changed.json()["data"]["disabled"]
    assert (await api.call("DELETE", named, acme.management)).json() == {"deleted": True}
    by_id = await api.call("DELETE", "/api/v1/keys/?id=x", acme.management)
    assert by_id.status_code == 404


@pytest.mark.parametrize("path", sorted(METHODS.keys() - {"/metrics"}))
async def test_preflight_allows_a_key_from_any_origin(path: str, api: Api) -> None:
    requested = "authorization,content-type,x-title,http-referer"
    preflight = await api.client.options(
        path,
        headers={
            "Origin": "https://app.example",
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": requested,
        },
    )
    assert preflight.status_code == 204
    assert preflight.content == b""
    assert "content-length" not in preflight.headers
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert preflight.headers["access-control-allow-headers"] == requested
    assert set(preflight.headers["access-control-allow-methods"].split(", ")) >= METHODS[path]


async def test_options_without_request_headers_lists_those_a_star_does_not_cover(api: Api) -> None:
    answer = await api.client.options("/api/v1/keys")
    assert answer.status_code == 204
    assert "authorization" in answer.headers["access-control-allow-headers"]
    assert answer.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, POST"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/credits", 200),
        ("POST", "/api/v1/keys", 400),
        ("GET", "/api/v1/keys?offset=x", 400),
        ("GET", "/api/v1/nothing", 404),
        ("PUT", "/api/v1/credits", 405),
        ("OPTIONS", "/api/v1/credits", 204),
        ("GET", "/healthz", 200),
    ],
)
async def test_responses_and_errors_are_never_cached_and_allow_any_origin(
    method: str, path: str, status: int, api: Api, acme: Customer
) -> None:
    answer = await api.call(method, path, acme.management)
    assert answer.status_code == status
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "x-request-id" in answer.headers
    assert "set-cookie" not in answer.headers
    if status != 204:
        assert answer.headers["content-type"] == "application/json"
        assert int(answer.headers["content-length"]) == len(answer.content)


async def test_get_ignores_content_type_and_accept(api: Api, acme: Customer) -> None:
    for media_type in ("application/json", "text/plain", ""):
        headers = {"Content-Type": media_type, "Accept": "text/html"}
        answer = await api.call("GET", "/api/v1/credits", acme.management, headers=headers)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"


async def test_error_has_user_id_only_when_caller_is_known(api: Api, acme: Customer) -> None:
    known = await api.call("POST", "/api/v1/keys", acme.management)
    assert known.json()["user_id"] == acme.account_id
    for method, path in (("GET", "/api/v1/nothing"), ("PUT", "/api/v1/credits")):
        assert "user_id" not in (await api.call(method, path, acme.management)).json()


@pytest.mark.parametrize(
    "path",
    [
        *("/docs", "/docs.md", "/llms.txt", "/llms-full.txt", "/robots.txt", "/openapi.json"),
        *("/openapi.yaml", "/docs/search?q=key", "/docs/_search?q=key", "/docs/nothing"),
        *("/.well-known/api-catalog", "/api/v1/nothing", "/docs/overview/auth/management-api-keys"),
    ],
)
async def test_host_that_is_not_known_gets_into_no_page(path: str, api: Api) -> None:
    for accept in ("text/html", "*/*"):
        headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Accept": accept}
        answer = await api.client.get(path, headers=headers)
        assert "evil" not in answer.text
        assert "evil" not in str(answer.headers)
        again = await api.client.get(path, headers={"Accept": accept})
        assert "evil" not in again.text


async def test_host_that_is_not_known_gets_into_no_tool_of_the_documentation(api: Api) -> None:
    call = {"name": "searchDocs", "arguments": {"query": "credits"}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    headers = {"Host": "evil.example"}
    answer = await api.client.post("/docs/_mcp/server", json=message, headers=headers)
    assert "evil" not in answer.text
    assert "http://127.0.0.1" in answer.text


async def test_pages_of_other_sites_cannot_read_the_metrics(api: Api) -> None:
    headers = {"Authorization": f"Bearer {METRICS_TOKEN}", "Origin": "https://evil.example"}
    metrics = await api.client.get("/metrics", headers=headers)
    preflight = await api.client.options(
        "/metrics",
        headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"},
    )
    assert (metrics.status_code, preflight.status_code) == (200, 204)
    for answer in (metrics, preflight):
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert answer.headers["cache-control"] == "no-store"
    assert preflight.headers["allow"] == "GET, HEAD, OPTIONS"
