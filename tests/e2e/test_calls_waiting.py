"""Calls whose provider is silent for longer than their client waits for a first byte."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from modelgates_server.core.ledger.records import HoldState
from tests.deadlines import DEADLINE_S, http_request
from tests.e2e.calls import (
    Client,
    ResponseReader,
    Session,
    acme_server,
    chat_body,
    configured,
    read,
    records,
)
from tests.e2e.load import wait_until
from tests.server import RunningServer, open_customer_now, running_server
from tests.upstream import (
    Gate,
    Upstream,
    UpstreamReply,
    answer,
    event,
    plain,
    running_upstream,
    story,
    usage,
)

IMPATIENT = {"User-Agent": "speakeasy-sdk/python 1.3.84 2.914.0 1.0.0 openrouter"}
METRICS_TOKEN = "0123456789abcdef"
SETTINGS = {
    "MODELGATES_KEEP_ALIVE_S": "1",
    "MODELGATES_DRAIN_S": "1",
    "MODELGATES_METRICS_TOKEN": METRICS_TOKEN,
}
COMMENT = ": MODELGATES PROCESSING"
REPORTED_COST = Decimal("0.0503")
SLOW_DOWN = plain({"error": {"message": "slow down"}}, 429, **{"Retry-After": "7"})
STOPPING = {
    "message": "The server is stopping.",
    "code": 503,
    "metadata": {"error_type": "server", "retry_after_seconds": 1},
}

Acme = tuple[RunningServer, Upstream]


EMBEDDER = """
[models."acme/vectors"]
provider = "acme"
kind = "embeddings"
context_length = 1000

[[models."acme/vectors".prices]]
input = "0.0001"
"""


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Acme]:
    folder = tmp_path_factory.mktemp("acme")
    with running_upstream() as upstream:
        settings = configured(folder, upstream.url)
        with (folder / "modelgates.toml").open("a") as file:
            file.write(EMBEDDER)
        with running_server(folder, **settings, **SETTINGS) as server:
            yield server, upstream
    assert "Traceback" not in server.log_path.read_text()


@pytest.fixture
def session(acme: Acme) -> Iterator[Session]:
    server, upstream = acme
    upstream.asked.clear()
    with Session(server, open_customer_now(server.database_path)) as opened:
        yield opened
        assert opened.viewer.get("/credits/holds") == []


class SilentProvider:
    """A provider that sends nothing, not even a head, until its gate opens."""

    def __init__(self, reply: UpstreamReply) -> None:
        self.gate = Gate([], [])
        self.reply = reply

    def __call__(self, _: Any) -> UpstreamReply:
        assert list(self.gate) == []
        return self.reply

    def end(self) -> None:
        self.gate.go.set()


def silence(upstream: Upstream, reply: UpstreamReply) -> SilentProvider:
    """Makes the upstream silent until the gate opens; then it replies."""
    silent = SilentProvider(reply)
    upstream.say = silent
    return silent


@contextmanager
def head_of(
    client: Client, path: str = "/chat/completions", **body: Any
) -> Iterator[ResponseReader]:
    """The call of an impatient client, from the moment it has the head of the response."""
    request = {"model": "acme/large", **body}
    if path == "/chat/completions":
        request = chat_body("hello", **body)
    with client.http.stream("POST", path, json=request, headers=IMPATIENT) as response:
        yield ResponseReader(response)


def body_of(reader: ResponseReader) -> bytes:
    return b"".join(reader.response.iter_raw())


def test_plain_response_begins_before_its_provider_responds_and_ends_as_usual(
    acme: Acme, session: Session
) -> None:
    silent = silence(acme[1], plain(answer("hi", usage(3, 5))))
    with head_of(session.inference) as reader:
        headers = reader.response.headers
        silent.end()
        body = body_of(reader)
    assert reader.response.status_code == 200
    assert headers["content-type"] == "application/json"
    assert headers["x-accel-buffering"] == "no"
    assert headers.keys().isdisjoint({"content-length", "x-modelgates-cost", "retry-after"})
    assert body[:1] == b"\n"
    response = read(body)
    assert (response["id"], response["usage"]["cost"]) == (reader.id, REPORTED_COST)
    assert response["choices"][0]["message"]["content"] == "hi"
    [generation] = session.check_ledger()
    assert (generation.state, generation.cancelled, generation.id) == (
        HoldState.CAPTURED,
        False,
        reader.id,
    )
    assert len(acme[1].asked) == 1


def test_failure_after_the_head_of_a_plain_response_is_its_body(
    acme: Acme, session: Session
) -> None:
    silent = silence(acme[1], SLOW_DOWN)
    with head_of(session.inference) as reader:
        silent.end()
        body = json.loads(body_of(reader))
    assert reader.response.status_code == 200
    assert body["error"]["code"] == 429
    assert body["error"]["metadata"]["retry_after_seconds"] == 7
    assert body["error"]["metadata"]["error_type"] == "rate_limit_exceeded"
    assert body["user_id"] == session.customer.account_id
    [generation] = session.check_ledger()
    assert (generation.state, generation.cost_pico, generation.id) == (
        HoldState.VOIDED,
        0,
        reader.id,
    )


@pytest.mark.parametrize("path", ["/completions", "/embeddings"])
def test_completions_and_embeddings_begin_early_as_well(
    acme: Acme, session: Session, path: str
) -> None:
    response = (
        {"data": [{"embedding": [0.5]}]} if path == "/embeddings" else {"choices": [{"text": "hi"}]}
    )
    silent = silence(acme[1], plain({**response, "usage": usage(3, 0)}))
    parameters = {"prompt": "hello"}
    if path == "/embeddings":
        parameters = {"model": "acme/vectors", "input": "hello"}
    with head_of(session.inference, path, **parameters) as reader:
        silent.end()
        body = body_of(reader)
    assert body[:1] == b"\n"
    [generation] = session.check_ledger()
    assert read(body)["id"] == generation.id


def test_stream_begins_with_a_comment_before_its_provider_responds(
    acme: Acme, session: Session
) -> None:
    silent = silence(acme[1], UpstreamReply(story()))
    with head_of(session.inference, stream=True) as reader:
        reader.read_until("")
        silent.end()
        reader.read_rest()
    assert reader.lines[:2] == [COMMENT, ""]
    assert reader.response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (reader.cost, len(reader.chunks)) == (REPORTED_COST, 7)
    [generation] = session.check_ledger()
    assert (generation.id, generation.state) == (reader.id, HoldState.CAPTURED)


FAILURES: dict[str, tuple[UpstreamReply, int]] = {
    "rate limit": (SLOW_DOWN, 429),
    "overload": (plain({}, 503), 503),
    "plain error": (plain({"error": {"message": "oops"}}), 502),
    "no response": (plain(["oops"]), 502),
    "error event": (UpstreamReply([event({"error": {"message": "oops"}})]), 502),
}


@pytest.mark.parametrize("case", FAILURES)
def test_failure_after_the_head_of_a_stream_is_a_free_last_chunk(
    acme: Acme, session: Session, case: str
) -> None:
    reply, code = FAILURES[case]
    silent = silence(acme[1], reply)
    with head_of(session.inference, stream=True) as reader:
        silent.end()
        reader.read_rest()
    [last] = reader.chunks
    assert last["id"] == reader.id
    assert last["error"]["code"] == code
    assert last["error"]["metadata"].get("retry_after_seconds") == (7 if code == 429 else None)
    assert last["choices"] == [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]
    assert last["usage"]["cost"] == 0
    [generation] = session.check_ledger()
    assert (generation.state, generation.cost_pico) == (HoldState.VOIDED, 0)


def test_error_of_the_gateway_has_its_status_for_impatient_clients(session: Session) -> None:
    for stream in (False, True):
        body = chat_body("hello", model="acme/none", stream=stream)
        refused = session.inference.http.post("/chat/completions", json=body, headers=IMPATIENT)
        assert refused.status_code == 400
    assert session.check_ledger() == []


def test_patient_clients_wait_for_a_status(acme: Acme, session: Session) -> None:
    server, upstream = acme
    silent = silence(upstream, SLOW_DOWN)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(session.inference.chat)
        wait_until(lambda: len(upstream.asked) == 1, server.process)
        with head_of(session.inference) as later:  # by then the first has waited a second as well
            silent.end()
            assert json.loads(body_of(later))["error"]["code"] == 429
        refused = waiting.result()
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "7")
    assert len(session.check_ledger()) == 2


def test_quick_response_has_its_cost_in_its_head_for_impatient_clients(
    acme: Acme, session: Session
) -> None:
    acme[1].say = lambda _: plain(answer("hi", usage(3, 5)))
    response = session.inference.chat(headers=IMPATIENT)
    assert response.headers["x-modelgates-cost"] == "0.0503"
    assert int(response.headers["content-length"]) == len(response.content)
    assert response.content[:1] == b"{"
    acme[1].say = lambda _: SLOW_DOWN
    refused = session.inference.chat(headers=IMPATIENT)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "7")
    session.check_ledger()


def test_response_is_stored_for_repeats_without_its_leading_white_space(
    acme: Acme, session: Session
) -> None:
    silent = silence(acme[1], plain(answer("hi", usage(3, 5))))
    headers = {**IMPATIENT, "Idempotency-Key": "slow"}
    first = None
    with session.inference.http.stream(
        "POST", "/chat/completions", json=chat_body("hello"), headers=headers
    ) as response:
        with session.inference.http.stream(
            "POST", "/chat/completions", json=chat_body("hello"), headers=headers
        ) as joined:
            silent.end()
            repeat = joined.read()
        first = response.read()
    assert joined.headers["idempotent-replayed"] == "true"
    assert repeat.lstrip(b"\n") == first.lstrip(b"\n") != repeat
    again = session.inference.chat(headers=headers)
    assert again.headers["idempotent-replayed"] == "true"
    assert int(again.headers["content-length"]) == len(again.content)
    assert again.content == first.lstrip(b"\n") != first
    assert len(session.check_ledger()) == len(acme[1].asked) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_client_that_leaves_while_its_provider_is_silent_pays_for_the_usage(
    acme: Acme, session: Session, stream: bool
) -> None:
    server, upstream = acme
    reply = UpstreamReply(story()) if stream else plain(answer("hi", usage(3, 5)))
    silent = silence(upstream, reply)
    with head_of(session.inference, stream=stream) as reader:
        reader.reset()
    [hold] = session.viewer.get("/credits/holds")
    silent.end()
    wait_until(lambda: session.viewer.get("/credits/holds") == [], server.process)
    [generation] = session.check_ledger()
    assert (generation.id, generation.state, generation.cancelled) == (
        hold["id"],
        HoldState.CAPTURED,
        True,
    )
    assert generation.cost_pico == REPORTED_COST * 10**12


def test_early_head_is_counted_once_as_a_200(acme: Acme, session: Session) -> None:
    server, upstream = acme
    before = counted(server)
    for stream in (False, True):
        silent = silence(upstream, SLOW_DOWN)
        with head_of(session.inference, stream=stream) as reader:
            assert counted(server)["200"] == before.get("200", 0) + 1 + stream
            silent.end()
            body_of(reader)
    after = counted(server)
    assert {**after, "200": after["200"] - 2} == before
    session.check_ledger()


def counted(server: RunningServer) -> dict[str, int]:
    """The chat completions so far, by status."""
    text = http_request(
        "GET", f"{server.url}/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"}
    ).text
    start = 'modelgates_http_requests_total{operation="create-chat-completion",status="'
    rows = [line.removeprefix(start) for line in text.splitlines() if line.startswith(start)]
    return {row[:3]: int(float(row.split()[-1])) for row in rows}


def test_silent_calls_fail_and_cost_nothing_when_the_server_stops(tmp_path: Path) -> None:
    settings = {"MODELGATES_SHUTDOWN_GRACE_S": "0", "MODELGATES_PLAIN_KEEP_ALIVE": "on"}
    with acme_server(tmp_path, **{**SETTINGS, **settings}) as (server, upstream):
        silent = silence(upstream, SLOW_DOWN)
        customer = open_customer_now(server.database_path)
        with Session(server, customer) as session:
            post = session.inference.http.stream
            path = "/chat/completions"
            with (
                post("POST", path, json=chat_body("hello")) as plain_response,
                post("POST", path, json=chat_body("hello", stream=True)) as streamed,
            ):
                server.process.terminate()
                body = json.loads(plain_response.read())
                reader = ResponseReader(streamed)
                reader.read_rest()
            assert server.process.wait(DEADLINE_S) == 0
        silent.end()
    assert body == {"error": STOPPING, "user_id": customer.account_id}
    [last] = reader.chunks
    assert (last["error"], last["usage"]["cost"]) == (STOPPING, 0)
    account, generations = records(server.database_path, customer.account_id)
    assert [(generation.state, generation.error) for generation in generations] == [
        (HoldState.VOIDED, "server_stopping")
    ] * 2
    assert (account.held_pico, account.usage_pico) == (0, 0)
    assert "Traceback" not in server.log_path.read_text()
