"""The served document: its two forms, its servers, and the variant for generators."""

import json
import re
from typing import Any

import pytest
import yaml

from modelgates_server.docsite.openapi import document_at, document_for_generators
from modelgates_server.web.api.openapi import OpenApi
from modelgates_server.web.body_budget import BodyBudget
from modelgates_server.web.head import RequestHead
from modelgates_server.web.pages.negotiation import KnownHosts
from modelgates_server.web.request import RequestContext
from tests.web.harness import Api


def request_for(headers: dict[str, str], query: bytes = b"") -> RequestContext:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope: dict[str, Any] = {
        "type": "http",
        "scheme": "http",
        "query_string": query,
        "headers": raw,
    }
    return RequestContext(scope, _nothing, RequestHead(raw), BodyBudget(0))


async def _nothing() -> dict[str, Any]:
    raise AssertionError("the body must not be read")


async def test_json_and_yaml_are_the_same_document(api: Api) -> None:
    as_json = await api.call("GET", "/openapi.json")
    as_yaml = await api.call("GET", "/openapi.yaml")
    assert as_yaml.headers["content-type"] == "application/yaml"
    assert yaml.safe_load(as_yaml.text) == as_json.json() == document_at("http://gateway")
    # Some YAML parsers for JavaScript and Go do not support merge keys and anchors.
    assert not re.search(r"(: |- )[&*]\w|<<:", as_yaml.text)


async def test_generators_get_their_document_in_json_and_yaml(api: Api) -> None:
    as_json = await api.call("GET", "/openapi.json?for=generators")
    as_yaml = await api.call("GET", "/openapi.yaml?for=generators")
    expected = document_for_generators("http://gateway")
    assert yaml.safe_load(as_yaml.text) == as_json.json() == expected


async def test_unknown_audience_is_refused(api: Api) -> None:
    for path in ("/openapi.json", "/openapi.yaml"):
        answer = await api.call("GET", f"{path}?for=people")
        assert answer.status_code == 400
        assert answer.json()["error"]["message"] == (
            "Unknown value of `for`: `people`. Use `generators`, or leave it out."
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("headers", "origin"),
    [
        ({"host": "gateway:8000"}, "http://gateway:8000"),
        ({"host": "[::1]:8000"}, "http://[::1]:8000"),
        ({"host": "Gateway.Example", "x-forwarded-proto": "https"}, "https://gateway.example"),
    ],
)
async def test_servers_have_the_address_of_the_request(
    headers: dict[str, str], origin: str
) -> None:
    openapi = OpenApi(KnownHosts(names=["gateway", "gateway.example"]))
    for answer in (
        await openapi.show_json(request_for(headers)),
        await openapi.show_yaml(request_for(headers)),
        await openapi.show_json(request_for(headers, b"for=generators")),
    ):
        document = yaml.safe_load(answer.body)
        assert document["servers"] == [{"url": f"{origin}/api/v1"}]
        assert document["paths"]["/healthz"]["servers"] == [{"url": origin}]


async def test_servers_have_the_public_url_when_one_is_set() -> None:
    openapi = OpenApi(KnownHosts("https://credits.example/gateway"))
    document = json.loads((await openapi.show_json(request_for({"host": "inner:8000"}))).body)
    assert document["servers"] == [{"url": "https://credits.example/gateway/api/v1"}]
    assert document["paths"]["/healthz"]["servers"] == [{"url": "https://credits.example/gateway"}]


async def test_request_is_refused_when_its_host_is_unusable(api: Api) -> None:
    for host in ("a b", 'x"y', ""):
        answer = await api.call("GET", "/openapi.json", headers={"Host": host})
        assert answer.status_code == 400, host
