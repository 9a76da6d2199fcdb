"""Invalid messages are refused with the errors of JSON-RPC."""

import json
from typing import Any

import pytest

from modelgates_server.web.mcp import jsonrpc as messages
from modelgates_server.web.mcp.jsonrpc import JsonRpcError, check_headers, check_size, split

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
JSON_BOTH_WAYS = {b"content-type": b"application/json", b"accept": b"application/json"}


def parts_of(refused: JsonRpcError) -> tuple[int, int, Any]:
    """The HTTP status, JSON-RPC code and id of an error."""
    body = json.loads(refused.response.body)
    assert body["jsonrpc"] == "2.0"
    assert body["error"]["message"]
    return refused.response.status, body["error"]["code"], body["id"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{}x",
        b"[" * 60_000,
        b'{"jsonrpc": "2.0", "id": 1, "method": "\xff"}',
        b'{"jsonrpc": "2.0", "id": 1, "method": "\\ud800"}',
        b'{"jsonrpc": "2.0", "id": NaN, "method": "ping"}',
        b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"a": 1e999}}',
        b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": ' + b'{"a":' * 10_000,
    ],
)
def test_invalid_json_is_a_parse_error(body: bytes) -> None:
    with pytest.raises(JsonRpcError) as refused:
        split(body, b"")
    assert parts_of(refused.value) == (400, -32700, None)


@pytest.mark.parametrize(
    ("message", "id_"),
    [
        (None, None),
        (1, None),
        ("ping", None),
        ({}, None),
        ({**PING, "jsonrpc": "1.0"}, 1),
        ({"id": "a", "method": "ping"}, "a"),
        ({**PING, "jsonrpc": 2.0}, 1),
        ({**PING, "method": 5}, 1),
        ({**PING, "method": None}, 1),
        ({**PING, "method": "a" * 129}, 1),
        ({"jsonrpc": "2.0", "id": 7}, 7),
        ({**PING, "id": None}, None),
        ({**PING, "id": 1.5}, None),
        ({**PING, "id": True}, None),
        ({**PING, "id": {}}, None),
    ],
)
def test_invalid_message_is_an_invalid_request(message: Any, id_: Any) -> None:
    with pytest.raises(JsonRpcError) as refused:
        split(json.dumps(message).encode(), b"2025-06-18")
    assert parts_of(refused.value) == (400, -32600, id_)


@pytest.mark.parametrize(
    "body",
    [
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"limit":1,"limit":null}}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":[{"limit":1,"\\u006cimit":1}]}}',
        b'[{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}]',
    ],
)
def test_duplicate_field_is_an_invalid_request(body: bytes) -> None:
    with pytest.raises(JsonRpcError) as refused:
        split(body, b"")
    assert parts_of(refused.value) == (400, -32600, None)


def test_params_are_invalid_when_they_are_not_an_object() -> None:
    with pytest.raises(JsonRpcError) as refused:
        split(json.dumps({**PING, "params": ["a"]}).encode(), b"")
    assert parts_of(refused.value) == (400, -32602, 1)


@pytest.mark.parametrize(
    "message",
    [
        PING,
        {**PING, "id": "a"},
        {**PING, "id": 2**70},
        {**PING, "params": {"a": 10**4000, "b": [{"c": 1}, {"c": 1}]}},
        {**PING, "method": "a" * 128},
        {**PING, "params": {}},
        {**PING, "params": None},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 1, "result": {}},
        {"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "x"}},
    ],
)
def test_valid_message_passes_unchanged(message: dict[str, Any]) -> None:
    body = json.dumps(message).encode()
    assert split(body, b"2025-11-25") == ([body], False)


@pytest.mark.parametrize("version", [b"", b"2025-03-26"])
def test_batch_is_split_when_the_version_has_batches(version: bytes) -> None:
    pieces, is_batch = split(json.dumps([PING, {**PING, "id": 2}]).encode(), version)
    assert is_batch
    assert [json.loads(piece)["id"] for piece in pieces] == [1, 2]


@pytest.mark.parametrize(
    ("batch", "version"),
    [
        ([], b""),
        ([PING] * (messages.BATCH_MAX + 1), b""),
        ([PING], b"2025-06-18"),
        ([PING], b"2026-07-28"),
        ([{**PING, "method": "initialize"}], b""),
        ([PING, 1], b""),
        ([[PING]], b""),
    ],
)
def test_disallowed_batch_is_an_invalid_request(batch: list[Any], version: bytes) -> None:
    with pytest.raises(JsonRpcError) as refused:
        split(json.dumps(batch).encode(), version)
    assert parts_of(refused.value) == (400, -32600, None)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({b"content-type": b"text/plain"}, 415),
        ({b"content-type": b"application/jsonp"}, 415),
        ({b"accept": b"application/json"}, 415),
        ({**JSON_BOTH_WAYS, b"accept": b"text/event-stream"}, 406),
        ({**JSON_BOTH_WAYS, b"accept": b""}, 406),
    ],
)
def test_other_media_types_are_refused(headers: dict[bytes, bytes], status: int) -> None:
    with pytest.raises(JsonRpcError) as refused:
        check_headers(headers)
    assert parts_of(refused.value) == (status, -32600, None)


@pytest.mark.parametrize(
    "headers",
    [
        JSON_BOTH_WAYS,
        {**JSON_BOTH_WAYS, b"content-type": b"Application/JSON; charset=utf-8"},
        {**JSON_BOTH_WAYS, b"accept": b"application/json, text/event-stream"},
        {**JSON_BOTH_WAYS, b"accept": b"text/event-stream;q=0.5,application/*;q=0.1"},
        {**JSON_BOTH_WAYS, b"accept": b"*/*"},
        {b"content-type": b"application/json"},
    ],
)
def test_media_types_of_clients_are_accepted(headers: dict[bytes, bytes]) -> None:
    check_headers(headers)


def test_oversized_body_is_an_invalid_request() -> None:
    with pytest.raises(JsonRpcError) as refused:
        check_size(None)
    assert parts_of(refused.value) == (413, -32600, None)
