import asyncio
import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from modelgates_server.providers.sandbox.server import BODY_MAX_BYTES, SandboxApp
from tests.deadlines import http_connection, within
from tests.providers.sandbox import WITH_USAGE, events_of, running_sandbox, says, wish
from tests.support import ManualClock

VERY_LONG_MS = 600_000


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running_sandbox() as url:
        yield url


@contextmanager
def connected(url: str) -> Iterator[http.client.HTTPConnection]:
    connection = http_connection(url)
    try:
        yield connection
    finally:
        connection.close()


def ask(
    connection: http.client.HTTPConnection,
    path: str,
    body: Any = None,
    method: str = "POST",
    **headers: str,
) -> tuple[http.client.HTTPResponse, bytes]:
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    response = connection.getresponse()
    return response, response.read()


def echo(text: str, **members: Any) -> dict[str, Any]:
    return {"model": "echo", "messages": says(text), **members}


def chaos(members: dict[str, Any], **body: Any) -> dict[str, Any]:
    return {"model": "chaos", "messages": wish(**members), **body}


@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_base_url_works_with_and_without_its_version(server: str, prefix: str) -> None:
    with connected(server) as connection:
        response, body = ask(connection, f"{prefix}/chat/completions", echo("Hello"))
        assert (response.status, response.headers["content-type"]) == (200, "application/json")
        assert response.headers["content-length"] == str(len(body))
        assert json.loads(body)["choices"][0]["message"]["content"] == "Hello"
        _, body = ask(connection, f"{prefix}/completions", {"model": "echo", "prompt": "Hi"})
        assert json.loads(body)["choices"][0]["text"] == "Hi"
        _, body = ask(connection, f"{prefix}/embeddings", {"model": "embed", "input": "Hi"})
        assert json.loads(body)["object"] == "list"
        response, body = ask(connection, f"{prefix}/models", method="GET")
        rows = json.loads(body)["data"]
        assert [row["id"] for row in rows] == ["echo", "lorem", "chaos", "embed"]
        assert {row["object"] for row in rows} == {"model"}


def test_any_key_or_none_is_accepted(server: str) -> None:
    with connected(server) as connection:
        for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": "nonsense"}):
            response, _ = ask(connection, "/v1/chat/completions", echo("x"), **headers)
            assert response.status == 200


def test_stream_is_sent_as_events(server: str) -> None:
    with connected(server) as connection:
        body = echo("Hello there", **WITH_USAGE)
        response, data = ask(connection, "/v1/chat/completions", body)
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        events = events_of(data)
        assert len(events) == 1 + 2 + 1 + 1 + 1
        assert events[-1] == "[DONE]"


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/chat/completions"), ("POST", "/v1/models"), ("GET", "/"), ("POST", "/v1/nope")],
)
def test_unknown_operation_is_an_error_in_openai_s_shape(
    server: str, method: str, path: str
) -> None:
    with connected(server) as connection:
        response, body = ask(connection, path, {} if method == "POST" else None, method)
        assert response.status == 404
        assert json.loads(body)["error"]["message"] == f"Unknown operation: {method} {path!r}."


def test_body_above_the_limit_is_rejected(server: str) -> None:
    with connected(server) as connection:
        fits = echo("x")
        fits["pad"] = "x" * (BODY_MAX_BYTES - len(json.dumps(fits)) - len(', "pad": ""'))
        assert ask(connection, "/v1/chat/completions", fits)[0].status == 200
        fits["pad"] += "x"
        response, body = ask(connection, "/v1/chat/completions", fits)
        assert response.status == 413
        assert "larger than 33554432 bytes" in json.loads(body)["error"]["message"]


@pytest.mark.parametrize("members", [{}, {"chunk_ms": 1}, {"first_byte_ms": 1}])
@pytest.mark.parametrize("options", [{}, WITH_USAGE])
def test_cut_breaks_the_connection_off(
    server: str, members: dict[str, Any], options: dict[str, Any]
) -> None:
    with connected(server) as connection:
        body = chaos({"tokens": 5, "cut_after": 2, **members}, **options)
        connection.request("POST", "/v1/chat/completions", json.dumps(body))
        response = connection.getresponse()
        assert response.status == 200
        with pytest.raises(http.client.IncompleteRead) as cut:
            response.read()
        assert cut.value.partial.startswith(b"data: " if options else b'{"id"')
        if options:
            assert len(events_of(cut.value.partial)) == 3


async def test_response_stops_when_the_client_disconnects(clock: ManualClock) -> None:
    left = asyncio.Event()
    body = json.dumps(chaos({"chunk_ms": VERY_LONG_MS}, stream=True)).encode()
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])
    sent: list[str] = []

    async def receive() -> dict[str, Any]:
        for message in messages:
            return message
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message["type"])
        left.set()

    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions"}
    async with within():
        await SandboxApp(clock)(scope, receive, send)
    assert sent == ["http.response.start"]


async def test_incomplete_request_gets_no_response(clock: ManualClock) -> None:
    messages: Iterator[dict[str, Any]] = iter(
        [
            {"type": "http.request", "body": b'{"model"', "more_body": True},
            {"type": "http.disconnect"},
        ]
    )

    async def receive() -> dict[str, Any]:
        return next(messages)

    async def send(_: Any) -> None:
        raise AssertionError("the client has disconnected")

    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions"}
    await SandboxApp(clock)(scope, receive, send)


def test_running_stream_does_not_keep_the_server_from_stopping() -> None:
    body = json.dumps(chaos({"chunk_ms": VERY_LONG_MS}, stream=True))
    with running_sandbox() as url:
        connection = http_connection(url)
        connection.request("POST", "/v1/chat/completions", body)
        response = connection.getresponse()
        assert response.status == 200
    with pytest.raises(http.client.IncompleteRead):
        response.read()
    connection.close()
