"""`Idempotency-Key` over HTTP: what SDKs that retry are told, and that they are billed once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.calls import Client, Session, acme_server, configured, read
from tests.e2e.load import wait_until
from tests.server import RunningServer, open_customer_now, running_server
from tests.upstream import (
    Gate,
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
TRUE = Decimal("0.0503")


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Acme]:
    settings = {"MODELGATES_WORKERS": "2"}
    with acme_server(tmp_path_factory.mktemp("acme"), **settings) as running:
        yield running


@pytest.fixture
def upstream(acme: Acme) -> Upstream:
    _, found = acme
    found.asked.clear()
    found.say = lambda _: plain(answer("hi", usage(3, 5)))
    return found


@pytest.fixture
def session(acme: Acme) -> Iterator[Session]:
    server, _ = acme
    with Session(server, open_customer_now(server.database_path)) as opened:
        yield opened


def check_conflict(refused: httpx.Response, status: int) -> None:
    """It has our one shape, and says whether to come back: exactly one of the two headers."""
    assert refused.status_code == status
    assert read(refused.text)["error"]["code"] == status
    assert ("retry-after" in refused.headers) != ("x-should-retry" in refused.headers)
    assert refused.headers.get("x-should-retry", "false") == "false"


def test_a_retried_call_gets_the_same_answer_and_is_billed_once(
    session: Session, upstream: Upstream
) -> None:
    first = session.inference.chat(headers=ONCE)
    assert first.status_code == 200
    assert "idempotent-replayed" not in first.headers
    for _ in range(5):
        fresh = Client(session.server.api, session.customer.inference)  # any worker may take it
        with fresh.http:
            again = fresh.chat(headers=ONCE)
        assert (again.status_code, again.content) == (200, first.content)
        assert again.headers["idempotent-replayed"] == "true"
        assert again.headers["x-generation-id"] == first.headers["x-generation-id"]
        assert again.headers["content-type"] == first.headers["content-type"]
    assert len(upstream.asked) == 1
    assert session.viewer.get("/credits")["total_usage"] == TRUE
    assert len(session.check_books()) == 1


def test_the_retry_of_a_call_that_runs_is_told_to_come_back(
    session: Session, upstream: Upstream
) -> None:
    gate = Gate([], list(plain(answer("hi", usage(3, 5))).pieces))
    upstream.say = lambda _: UpstreamReply(gate, content_type="application/json")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(session.inference.chat, headers=ONCE)
        wait_until(lambda: len(upstream.asked) == 1, session.server.process)
        refused = session.inference.chat(headers=ONCE)
        check_conflict(refused, 409)
        assert int(refused.headers["retry-after"]) > 0
        gate.go.set()
        assert first.result().status_code == 200
    assert session.inference.chat(headers=ONCE).content == first.result().content
    assert len(upstream.asked) == 1
    session.check_books()


def test_other_request_under_the_same_key_is_refused(session: Session, upstream: Upstream) -> None:
    assert session.inference.chat(headers=ONCE).status_code == 200
    for members in ({"text": "other"}, {"max_tokens": 7}, {"stream": True}):
        refused = session.inference.chat(headers=ONCE, **members)
        assert refused.status_code == 422
        assert "another request" in read(refused.text)["error"]["message"]
    assert len(upstream.asked) == 1
    session.check_books()


def test_the_same_text_from_another_key_is_another_call(
    acme: Acme, session: Session, upstream: Upstream
) -> None:
    server, _ = acme
    with Session(server, open_customer_now(server.database_path)) as stranger:
        answers = [
            client.chat(headers=ONCE)
            for client in (session.inference, session.new_key(), stranger.inference)
        ]
        assert {one.status_code for one in answers} == {200}
        assert len({one.headers["x-generation-id"] for one in answers}) == 3
        assert len(upstream.asked) == 3
        stranger.check_books()
    assert session.viewer.get("/credits")["total_usage"] == 2 * TRUE


def test_a_stream_is_neither_billed_nor_made_twice(session: Session, upstream: Upstream) -> None:
    gate = Gate(story()[:2], story()[2:])
    upstream.say = lambda _: UpstreamReply(gate)
    with session.inference.stream(headers=ONCE) as first:
        first.until("word1")
        check_conflict(session.inference.chat(stream=True, headers=ONCE), 409)
        gate.go.set()
        first.rest()
    refused = session.inference.chat(stream=True, headers=ONCE)
    check_conflict(refused, 409)
    assert refused.headers["x-should-retry"] == "false"
    assert first.id in read(refused.text)["error"]["message"]
    assert len(upstream.asked) == 1
    assert len(session.check_books()) == 1


def test_a_call_that_failed_for_nothing_may_be_made_again(
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
    assert [one.state.value for one in session.check_books()].count("captured") == 1
    assert session.viewer.get("/credits")["total_usage"] == TRUE


def test_twenty_at_once_are_one_call(session: Session, upstream: Upstream) -> None:
    def ask(_: Any) -> httpx.Response:
        return session.inference.chat(headers=ONCE)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, range(20)))
    assert len(upstream.asked) == 1
    assert {one.status_code for one in answers} <= {200, 409}
    assert len({one.content for one in answers if one.status_code == 200}) == 1
    for one in answers:
        if one.status_code == 409:
            check_conflict(one, 409)
    assert session.viewer.get("/credits")["total_usage"] == TRUE
    assert len(session.check_books()) == 1


@pytest.mark.parametrize("text", ["", "x" * 256])
def test_a_key_that_cannot_be_kept_is_refused(
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
            assert len(session.check_books()) == 1
