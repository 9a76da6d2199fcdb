"""Calls whose provider is silent for longer than their client is patient: what the client hears."""

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
    Listening,
    Session,
    acme_server,
    asked,
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
TRUE = Decimal("0.0503")
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


class Silence:
    """A provider that says nothing, not even a head, before it may."""

    def __init__(self, reply: UpstreamReply) -> None:
        self.gate = Gate([], [])
        self.says = reply

    def __call__(self, _: Any) -> UpstreamReply:
        assert list(self.gate) == []
        return self.says

    def end(self) -> None:
        self.gate.go.set()


def silence(upstream: Upstream, reply: UpstreamReply) -> Silence:
    """From now on the upstream is silent, and afterwards says this."""
    silent = Silence(reply)
    upstream.say = silent
    return silent


@contextmanager
def head_of(client: Client, path: str = "/chat/completions", **body: Any) -> Iterator[Listening]:
    """An impatient client's call, when its head is there."""
    request = {"model": "acme/large", **body}
    if path == "/chat/completions":
        request = asked("hello", **body)
    with client.http.stream("POST", path, json=request, headers=IMPATIENT) as response:
        yield Listening(response)


def whole(listening: Listening) -> bytes:
    return b"".join(listening.response.iter_raw())


def test_a_plain_answer_begins_before_its_provider_does_and_ends_as_ever(
    acme: Acme, session: Session
) -> None:
    silent = silence(acme[1], plain(answer("hi", usage(3, 5))))
    with head_of(session.inference) as listening:
        headers = listening.response.headers
        silent.end()
        body = whole(listening)
    assert listening.response.status_code == 200
    assert headers["content-type"] == "application/json"
    assert headers["x-accel-buffering"] == "no"
    assert headers.keys().isdisjoint({"content-length", "x-modelgates-cost", "retry-after"})
    assert body[:1] == b"\n"
    told = read(body)
    assert (told["id"], told["usage"]["cost"]) == (listening.id, TRUE)
    assert told["choices"][0]["message"]["content"] == "hi"
    [one] = session.check_books()
    assert (one.state, one.cancelled, one.id) == (HoldState.CAPTURED, False, listening.id)
    assert len(acme[1].asked) == 1


def test_a_failure_after_the_head_of_a_plain_answer_is_its_body(
    acme: Acme, session: Session
) -> None:
    silent = silence(acme[1], SLOW_DOWN)
    with head_of(session.inference) as listening:
        silent.end()
        told = json.loads(whole(listening))
    assert listening.response.status_code == 200
    assert told["error"]["code"] == 429
    assert told["error"]["metadata"]["retry_after_seconds"] == 7
    assert told["error"]["metadata"]["error_type"] == "rate_limit_exceeded"
    assert told["user_id"] == session.customer.account_id
    [one] = session.check_books()
    assert (one.state, one.cost_pico, one.id) == (HoldState.VOIDED, 0, listening.id)


@pytest.mark.parametrize("path", ["/completions", "/embeddings"])
def test_the_other_operations_begin_early_as_well(acme: Acme, session: Session, path: str) -> None:
    said = (
        {"data": [{"embedding": [0.5]}]} if path == "/embeddings" else {"choices": [{"text": "hi"}]}
    )
    silent = silence(acme[1], plain({**said, "usage": usage(3, 0)}))
    asking = {"prompt": "hello"}
    if path == "/embeddings":
        asking = {"model": "acme/vectors", "input": "hello"}
    with head_of(session.inference, path, **asking) as listening:
        silent.end()
        body = whole(listening)
    assert body[:1] == b"\n"
    [one] = session.check_books()
    assert read(body)["id"] == one.id


def test_a_stream_begins_with_a_comment_before_its_provider_does(
    acme: Acme, session: Session
) -> None:
    silent = silence(acme[1], UpstreamReply(story()))
    with head_of(session.inference, stream=True) as listening:
        listening.until("")
        silent.end()
        listening.rest()
    assert listening.lines[:2] == [COMMENT, ""]
    assert listening.response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (listening.cost, len(listening.chunks)) == (TRUE, 7)
    [one] = session.check_books()
    assert (one.id, one.state) == (listening.id, HoldState.CAPTURED)


FAILURES: dict[str, tuple[UpstreamReply, int]] = {
    "a limit": (SLOW_DOWN, 429),
    "an overload": (plain({}, 503), 503),
    "a plain error": (plain({"error": {"message": "oops"}}), 502),
    "no stream": (plain(answer("hi")), 502),
    "an error event": (UpstreamReply([event({"error": {"message": "oops"}})]), 502),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_failure_after_the_head_of_a_stream_is_its_last_chunk_and_costs_nothing(
    acme: Acme, session: Session, case: str
) -> None:
    reply, code = FAILURES[case]
    silent = silence(acme[1], reply)
    with head_of(session.inference, stream=True) as listening:
        silent.end()
        listening.rest()
    [last] = listening.chunks
    assert last["id"] == listening.id
    assert last["error"]["code"] == code
    assert last["error"]["metadata"].get("retry_after_seconds") == (7 if code == 429 else None)
    assert last["choices"] == [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]
    assert last["usage"]["cost"] == 0
    [one] = session.check_books()
    assert (one.state, one.cost_pico) == (HoldState.VOIDED, 0)


def test_a_refusal_of_ours_has_its_status_for_everybody(session: Session) -> None:
    for stream in (False, True):
        body = asked("hello", model="acme/none", stream=stream)
        refused = session.inference.http.post("/chat/completions", json=body, headers=IMPATIENT)
        assert refused.status_code == 400
    assert session.check_books() == []


def test_other_clients_wait_for_a_status(acme: Acme, session: Session) -> None:
    server, upstream = acme
    silent = silence(upstream, SLOW_DOWN)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(session.inference.chat)
        wait_until(lambda: len(upstream.asked) == 1, server.process)
        with head_of(session.inference) as later:  # so a second has passed for the first as well
            silent.end()
            assert json.loads(whole(later))["error"]["code"] == 429
        refused = waiting.result()
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "7")
    assert len(session.check_books()) == 2


def test_a_quick_answer_has_its_cost_in_its_head_for_everybody(
    acme: Acme, session: Session
) -> None:
    acme[1].say = lambda _: plain(answer("hi", usage(3, 5)))
    told = session.inference.chat(headers=IMPATIENT)
    assert told.headers["x-modelgates-cost"] == "0.0503"
    assert int(told.headers["content-length"]) == len(told.content)
    assert told.content[:1] == b"{"
    acme[1].say = lambda _: SLOW_DOWN
    refused = session.inference.chat(headers=IMPATIENT)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "7")
    session.check_books()


def test_an_answer_is_kept_for_repeats_without_its_white_space(
    acme: Acme, session: Session
) -> None:
    silent = silence(acme[1], plain(answer("hi", usage(3, 5))))
    headers = {**IMPATIENT, "Idempotency-Key": "slow"}
    first = None
    with session.inference.http.stream(
        "POST", "/chat/completions", json=asked("hello"), headers=headers
    ) as response:
        running = session.inference.chat(headers=headers)
        assert (running.status_code, running.headers["retry-after"]) == (409, "1")
        silent.end()
        first = response.read()
    again = session.inference.chat(headers=headers)
    assert again.headers["idempotent-replayed"] == "true"
    assert int(again.headers["content-length"]) == len(again.content)
    assert again.content == first.lstrip(b"\n") != first
    assert len(session.check_books()) == len(acme[1].asked) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_while_its_provider_is_silent_pays_for_what_was_used(
    acme: Acme, session: Session, stream: bool
) -> None:
    server, upstream = acme
    reply = UpstreamReply(story()) if stream else plain(answer("hi", usage(3, 5)))
    silent = silence(upstream, reply)
    with head_of(session.inference, stream=stream) as listening:
        listening.reset()
    [hold] = session.viewer.get("/credits/holds")
    silent.end()
    wait_until(lambda: session.viewer.get("/credits/holds") == [], server.process)
    [one] = session.check_books()
    assert (one.id, one.state, one.cancelled) == (hold["id"], HoldState.CAPTURED, True)
    assert one.cost_pico == TRUE * 10**12


def test_an_early_head_is_counted_once_as_the_200_that_it_is(acme: Acme, session: Session) -> None:
    server, upstream = acme
    before = counted(server)
    for stream in (False, True):
        silent = silence(upstream, SLOW_DOWN)
        with head_of(session.inference, stream=stream) as listening:
            assert counted(server)["200"] == before.get("200", 0) + 1 + stream
            silent.end()
            whole(listening)
    after = counted(server)
    assert {**after, "200": after["200"] - 2} == before
    session.check_books()


def counted(server: RunningServer) -> dict[str, int]:
    """The chat completions so far, by status."""
    shown = http_request(
        "GET", f"{server.url}/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"}
    ).text
    start = 'modelgates_http_requests_total{operation="create-chat-completion",status="'
    rows = [line.removeprefix(start) for line in shown.splitlines() if line.startswith(start)]
    return {row[:3]: int(float(row.split()[-1])) for row in rows}


def test_a_stop_while_providers_are_silent_is_told_and_costs_nothing(tmp_path: Path) -> None:
    settings = {"MODELGATES_SHUTDOWN_GRACE_S": "0", "MODELGATES_PLAIN_KEEP_ALIVE": "on"}
    with acme_server(tmp_path, **{**SETTINGS, **settings}) as (server, upstream):
        silent = silence(upstream, SLOW_DOWN)
        customer = open_customer_now(server.database_path)
        with Session(server, customer) as session:
            post = session.inference.http.stream
            path = "/chat/completions"
            with (
                post("POST", path, json=asked("hello")) as whole_one,
                post("POST", path, json=asked("hello", stream=True)) as streamed,
            ):
                server.process.terminate()
                told = json.loads(whole_one.read())
                listening = Listening(streamed)
                listening.rest()
            assert server.process.wait(DEADLINE_S) == 0
        silent.end()
    assert told == {"error": STOPPING, "user_id": customer.account_id}
    [last] = listening.chunks
    assert (last["error"], last["usage"]["cost"]) == (STOPPING, 0)
    account, generations = records(server.database_path, customer.account_id)
    assert [(one.state, one.error) for one in generations] == [
        (HoldState.VOIDED, "server_stopping")
    ] * 2
    assert (account.held_pico, account.usage_pico) == (0, 0)
    assert "Traceback" not in server.log_path.read_text()
