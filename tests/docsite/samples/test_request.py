from typing import Any

import pytest

from modelgates_server.docsite.model import ORIGIN
from modelgates_server.docsite.openapi import document_at
from modelgates_server.docsite.samples.request import SampleRequest, request_of

DOCUMENT = document_at(ORIGIN)
BASE = f"{ORIGIN}/api/v1"
BEARER = {"Authorization": "Bearer <token>"}
HASH = "6a6f0211cb41aa9e8fa385bc30bce0ac050b2634ab49eed8bf066b51f5cc6b05"


def described(*parameters: dict[str, Any], **operation: Any) -> dict[str, Any]:
    """A document with one operation, `GET /a/{b}`."""
    answer: dict[str, Any] = {"200": {"content": {"application/json": {}}}}
    return {
        "servers": [{"url": "https://a.example/"}],
        "paths": {"/a/{b}": {"get": {"parameters": parameters, "responses": answer, **operation}}},
        "components": {"parameters": {"B": needed("path", "b", "c")}},
    }


def needed(place: str, name: str, example: Any) -> dict[str, Any]:
    return {"name": name, "in": place, "required": True, "example": example}


def test_what_may_be_left_out_is() -> None:
    assert request_of(DOCUMENT, "/credits", "get") == SampleRequest(
        "GET", f"{BASE}/credits", {}, BEARER, None, json_answer=True
    )
    assert request_of(DOCUMENT, "/keys", "get").full_url == f"{BASE}/keys"


def test_a_path_and_a_query_are_filled_from_examples() -> None:
    assert request_of(DOCUMENT, "/keys/{hash}", "DELETE") == SampleRequest(
        "DELETE", f"{BASE}/keys/{HASH}", {}, BEARER, None, json_answer=True
    )
    by_id = request_of(DOCUMENT, "/keys", "delete")
    assert (by_id.url, by_id.query) == (f"{BASE}/keys", {"id": HASH})
    assert by_id.full_url == f"{BASE}/keys?id={HASH}"


def test_a_body_is_its_first_example() -> None:
    request = request_of(DOCUMENT, "/keys", "post")
    assert request.body == {"name": "nightly evaluation"}
    assert request.headers == BEARER
    assert request.typed_headers == {**BEARER, "Content-Type": "application/json"}
    chat = request_of(DOCUMENT, "/chat/completions", "post")
    assert not chat.body.get("stream"), "its answer would be no JSON"


def test_only_an_operation_with_security_names_a_token() -> None:
    assert request_of(DOCUMENT, "/models", "get").headers == {}
    assert request_of(DOCUMENT, "/metrics", "get").headers == BEARER
    assert request_of(described(needed("path", "b", 1)), "/a/{b}", "get").headers == {}


def test_a_path_with_its_own_server_is_asked_there() -> None:
    assert request_of(DOCUMENT, "/healthz", "get").url == f"{ORIGIN}/healthz"


def test_an_answer_that_is_no_json_is_known() -> None:
    assert not request_of(DOCUMENT, "/metrics", "get").json_answer
    assert not request_of(DOCUMENT, "/openapi.yaml", "get").json_answer


def test_a_value_cannot_leave_its_place_in_the_address() -> None:
    document = described(needed("path", "b", "c/d?e#f g"), needed("query", "h i", "j&k=l m"))
    request = request_of(document, "/a/{b}", "get")
    assert request.full_url == "https://a.example/a/c%2Fd%3Fe%23f%20g?h+i=j%26k%3Dl+m"


def test_a_needed_header_is_sent_after_the_key() -> None:
    token = {"name": "Authorization", "in": "header", "required": True}
    document = described(token, needed("header", "X-A", 1), needed("path", "b", 2), security=[{}])
    assert request_of(document, "/a/{b}", "get").headers == {**BEARER, "X-A": "1"}


def test_references_are_followed() -> None:
    document = described({"$ref": "#/components/parameters/B"})
    assert request_of(document, "/a/{b}", "get").url == "https://a.example/a/c"


def test_a_needed_value_without_an_example_is_told() -> None:
    document = described({"name": "b", "in": "path", "required": True})
    with pytest.raises(ValueError, match="b has no example"):
        request_of(document, "/a/{b}", "get")
