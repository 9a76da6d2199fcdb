"""`Idempotency-Key` over HTTP: SDKs that retry get the right response and are charged once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.calls import Client, Session, acme_server, configured, read
from tests.server import RunningServer, open_customer_now, running_server
from tests.upstream import (
    Upstream,
    UpstreamReply,
    answer,
    plain,
    running_upstream,
    story,
    usage,
)

Acme = tuple[RunningServer, Upstream]
ONCE = {"Idempotency-Key": "6f1c9a8e-once"}
REPORTED_COST = Decimal("0.0503")


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Acme]:
    settings = {"MODELGATES_WORKERS": "2"}
    with acme_server(tmp_path_factory.mktemp("acme"), **settings) as running:
        yield running


@pytest.fixture
def upstream(acme: Acme) -> Upstream:
    _, running = acme
    running.asked.clear()
    running.say = lambda _: plain(answer("hi", usage(3, 5)))
    return running


@pytest.fixture
def session(acme: Acme) -> Iterator[Session]:
    server, _ = acme
    with Session(server, open_customer_now(server.database_path)) as opened:
        yield opened


def check_conflict(refused: httpx.Response, status: int) -> None:
    """A conflict is a regular error. Exactly one of two headers says whether to retry."""
    assert refused.status_code == status
    assert read(refused.text)["error"]["code"] == status
    assert ("retry-after" in refused.headers) != ("x-should-retry" in refused.headers)
    assert refused.headers.get("x-should-retry", "false") == "false"


def test_repeated_call_gets_the_same_response_and_is_charged_once(
    session: Session, upstream: Upstream
) -> None:
    first = session.inference.chat(headers=ONCE)
    assert first.status_code == 200
    assert "idempotent-replayed" not in first.headers
    for _ in range(5):
        fresh = Client(session.server.api, session.customer.inference)  # any worker may serve it
        with fresh.http:
            again = fresh.chat(headers=ONCE)
        assert (again.status_code, again.content) == (200, first.content)
        assert again.headers["idempotent-replayed"] == "true"
        assert again.headers["x-generation-id"] == first.headers["x-generation-id"]
        assert again.headers["content-type"] == first.headers["content-type"]
    assert len(upstream.asked) == 1
    assert session.viewer.get("/credits")["total_usage"] == REPORTED_COST
    assert len(session.check_ledger()) == 1


def test_other_request_under_the_same_idempotency_key_is_refused(
    session: Session, upstream: Upstream
) -> None:
    assert session.inference.chat(headers=ONCE).status_code == 200
    for parameters in ({"text": "other"}, {"max_tokens": 7}, {"stream": True}):
        refused = session.inference.chat(headers=ONCE, **parameters)
        assert refused.status_code == 422
        assert "another request" in read(refused.text)["error"]["message"]
    assert len(upstream.asked) == 1
    session.check_ledger()


def test_same_idempotency_key_with_another_api_key_is_another_call(
    acme: Acme, session: Session, upstream: Upstream
) -> None:
    server, _ = acme
    with Session(server, open_customer_now(server.database_path)) as stranger:
        responses = [
            client.chat(headers=ONCE)
            for client in (session.inference, session.new_key(), stranger.inference)
        ]
        assert {response.status_code for response in responses} == {200}
        assert len({response.headers["x-generation-id"] for response in responses}) == 3
        assert len(upstream.asked) == 3
        stranger.check_ledger()
    assert session.viewer.get("/credits")["total_usage"] == 2 * REPORTED_COST


def test_stream_is_neither_made_nor_charged_twice(session: Session, upstream: Upstream) -> None:
    upstream.say = lambda _: UpstreamReply(story())
    first = session.inference.read_stream(headers=ONCE)
    for _ in range(5):
        fresh = Client(session.server.api, session.customer.inference)  # any worker may serve it
        with fresh.http:
            again = fresh.chat(stream=True, headers=ONCE)
        if again.status_code == 200:  # the worker that made the call
            assert again.headers["x-generation-id"] == first.id
            assert again.headers["idempotent-replayed"] == "true"
            assert again.text.splitlines() == first.lines
        else:
            check_conflict(again, 409)
            assert again.headers["x-should-retry"] == "false"
            assert first.id in read(again.text)["error"]["message"]
    assert len(upstream.asked) == 1
    assert len(session.check_ledger()) == 1


def test_failed_call_that_cost_nothing_can_be_made_again(
    session: Session, upstream: Upstream
) -> None:
    good = upstream.say
    upstream.say = lambda _: plain({"error": {"message": "no"}}, 500)
    for _ in range(2):
        assert session.inference.chat(headers=ONCE).status_code == 502
    upstream.say = good
    first = session.inference.chat(headers=ONCE)
    assert first.status_code == 200
    assert session.inference.chat(headers=ONCE).content == first.content
    assert len(upstream.asked) == 3
    assert [generation.state.value for generation in session.check_ledger()].count("captured") == 1
    assert session.viewer.get("/credits")["total_usage"] == REPORTED_COST


def test_twenty_simultaneous_repeats_are_one_call(session: Session, upstream: Upstream) -> None:
    def call(_: Any) -> httpx.Response:
        return session.inference.chat(headers=ONCE)

    with ThreadPoolExecutor(20) as pool:
        responses = list(pool.map(call, range(20)))
    assert len(upstream.asked) == 1
    assert {response.status_code for response in responses} <= {200, 409}
    assert len({response.content for response in responses if response.status_code == 200}) == 1
    for response in responses:
        if response.status_code == 409:
            check_conflict(response, 409)
    assert session.viewer.get("/credits")["total_usage"] == REPORTED_COST
    assert len(session.check_ledger()) == 1


@pytest.mark.parametrize("text", ["", "x" * 256])
def test_call_is_refused_when_its_idempotency_key_has_a_bad_length(
    session: Session, upstream: Upstream, text: str
) -> None:
    refused = session.inference.chat(headers={"Idempotency-Key": text})
    assert refused.status_code == 400
    assert "Idempotency-Key" in read(refused.text)["error"]["message"]
    assert upstream.asked == []


def test_stored_response_survives_a_restart(tmp_path: Path) -> None:
    with running_upstream() as upstream:
        settings = configured(tmp_path, upstream.url)
        with running_server(tmp_path, **settings) as server:
            customer = open_customer_now(server.database_path)
            with Session(server, customer) as session:
                first = session.inference.chat(headers=ONCE)
        with running_server(tmp_path, **settings) as server, Session(server, customer) as session:
            assert session.inference.chat(headers=ONCE).content == first.content
            assert len(upstream.asked) == 1
            assert len(session.check_ledger()) == 1
