from typing import Any

import pytest

from modelgates_server.docsite.model import ORIGIN
from modelgates_server.docsite.openapi import document_at
from modelgates_server.docsite.samples.request import API_KEY, SampleRequest, request_of

DOCUMENT = document_at(ORIGIN)
BASE = f"{ORIGIN}/api/v1"
HASH = "6a6f0211cb41aa9e8fa385bc30bce0ac050b2634ab49eed8bf066b51f5cc6b05"


def described(*parameters: dict[str, Any], **operation: Any) -> dict[str, Any]:
    """A document with one operation, `GET /a/{b}`."""
    answer: dict[str, Any] = {"200": {"content": {"application/json": {}}}}
    return {
        "servers": [{"url": "https://a.example/"}],
        "paths": {"/a/{b}": {"get": {"parameters": parameters, "responses": answer, **operation}}},
        "components": {"parameters": {"B": required("path", "b", "c")}},
    }


def required(place: str, name: str, example: Any) -> dict[str, Any]:
    return {"name": name, "in": place, "required": True, "example": example}


def test_optional_parameters_are_left_out() -> None:
    assert request_of(DOCUMENT, "/credits", "get") == SampleRequest(
        "GET", f"{BASE}/credits", {}, {}, None, json_answer=True, token=API_KEY
    )
    assert request_of(DOCUMENT, "/keys", "get").full_url == f"{BASE}/keys"


def test_path_and_query_are_filled_from_examples() -> None:
    assert request_of(DOCUMENT, "/keys/{hash}", "DELETE") == SampleRequest(
        "DELETE", f"{BASE}/keys/{HASH}", {}, {}, None, json_answer=True, token=API_KEY
    )
    by_id = request_of(DOCUMENT, "/keys", "delete")
    assert (by_id.url, by_id.query) == (f"{BASE}/keys", {"id": HASH})
    assert by_id.full_url == f"{BASE}/keys?id={HASH}"


def test_body_is_its_first_example() -> None:
    request = request_of(DOCUMENT, "/keys", "post")
    assert request.body == {"name": "nightly evaluation"}
    assert request.headers == {}
    assert request.typed_headers == {"Content-Type": "application/json"}
    chat = request_of(DOCUMENT, "/chat/completions", "post")
    assert not chat.body.get("stream"), "the response would not be JSON"


def test_only_an_operation_with_security_has_a_token() -> None:
    assert request_of(DOCUMENT, "/models", "get").token == ""
    assert request_of(DOCUMENT, "/keys", "get").token == "MODELGATES_API_KEY"
    assert request_of(DOCUMENT, "/metrics", "get").token == "MODELGATES_METRICS_TOKEN"
    assert request_of(described(required("path", "b", 1)), "/a/{b}", "get").token == ""


def test_path_with_its_own_server_uses_it() -> None:
    assert request_of(DOCUMENT, "/healthz", "get").url == f"{ORIGIN}/healthz"


def test_response_that_is_not_json_is_known() -> None:
    assert not request_of(DOCUMENT, "/metrics", "get").json_answer
    assert not request_of(DOCUMENT, "/openapi.yaml", "get").json_answer


def test_value_cannot_leave_its_place_in_the_url() -> None:
    document = described(required("path", "b", "c/d?e#f g"), required("query", "h i", "j&k=l m"))
    request = request_of(document, "/a/{b}", "get")
    assert request.full_url == "https://a.example/a/c%2Fd%3Fe%23f%20g?h+i=j%26k%3Dl+m"


def test_required_header_is_sent_and_authorization_is_not_a_parameter() -> None:
    token = {"name": "Authorization", "in": "header", "required": True}
    document = described(token, required("header", "X-A", 1), required("path", "b", 2))
    assert request_of(document, "/a/{b}", "get").headers == {"X-A": "1"}


def test_references_are_followed() -> None:
    document = described({"$ref": "#/components/parameters/B"})
    assert request_of(document, "/a/{b}", "get").url == "https://a.example/a/c"


def test_required_parameter_without_an_example_is_an_error() -> None:
    document = described({"name": "b", "in": "path", "required": True})
    with pytest.raises(ValueError, match="b has no example"):
        request_of(document, "/a/{b}", "get")
