"""Calls on two server processes at once, with providers that fail and clients that leave."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import httpx
import pytest

from modelgates_server.core.ledger.records import HoldState
from tests.e2e.calls import Client, Session, acme_server, asked, read, reset_at_once
from tests.e2e.load import wait_until
from tests.e2e.wire import request, wire
from tests.server import RunningServer, open_customer_now
from tests.support import DOLLAR
from tests.upstream import (
    DONE,
    Gate,
    Upstream,
    UpstreamReply,
    answer,
    chunk,
    event,
    plain,
    story,
    usage,
)

Acme = tuple[RunningServer, Upstream]
AT_ONCE = 50
TRUE = Decimal("0.0503")
SETTINGS = {"MODELGATES_WORKERS": "2", "MODELGATES_KEEP_ALIVE_S": "1", "MODELGATES_DRAIN_S": "1"}


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Acme]:
    with acme_server(tmp_path_factory.mktemp("acme"), **SETTINGS) as running:
        yield running
    assert "Traceback" not in running[0].log_path.read_text()


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


def paused_answer() -> Gate:
    return Gate([], list(plain(answer("hi", usage(3, 5))).pieces))


def at_once(client: Client, times: int, **members: Any) -> list[httpx.Response]:
    with ThreadPoolExecutor(times) as pool:
        calls = [pool.submit(client.chat, **members) for _ in range(times)]
        return [call.result() for call in calls]


def held_for(session: Session, upstream: Upstream, **members: Any) -> int:
    """What one such call holds, in picos."""
    session.inference.chat(**members)
    upstream.asked.clear()
    return session.check_books()[-1].hold_pico


def test_no_more_parallel_calls_reach_a_provider_than_the_balance_holds(
    acme: Acme, session: Session, upstream: Upstream
) -> None:
    server, _ = acme
    one_pico = held_for(session, upstream, max_tokens=10)
    gate = paused_answer()
    upstream.say = lambda _: UpstreamReply(gate, content_type="application/json")
    with (
        Session(server, open_customer_now(server.database_path, 5 * one_pico)) as poor,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        calls = [pool.submit(poor.inference.chat, max_tokens=10) for _ in range(AT_ONCE)]
        wait_until(lambda: sum(call.done() for call in calls) == AT_ONCE - 5, server.process)
        gate.go.set()
        answers = [call.result() for call in calls]
        refused = [one for one in answers if one.status_code == 402]
        assert sum(one.status_code == 200 for one in answers) == 5
        assert len(refused) == AT_ONCE - 5
        assert {read(one.text)["error"]["metadata"]["reason"] for one in refused} == {
            "in_flight_budget_exhausted"
        }
        assert all("retry-after" in one.headers for one in refused)
        assert len(upstream.asked) == 5
        assert poor.viewer.get("/credits")["total_usage"] == 5 * TRUE
        assert len(poor.check_books()) == 5


def test_parallel_first_calls_of_a_new_key_do_not_pass_its_limit(
    session: Session, upstream: Upstream
) -> None:
    one_pico = held_for(session, upstream, max_tokens=10)
    key = session.new_key(limit=float(Decimal(3 * one_pico) / DOLLAR))
    answers = at_once(key, 20, max_tokens=10)
    # Each that has ended frees what it did not use: the limit is for what is spent and held.
    spent = sum(one.status_code == 200 for one in answers)
    assert 3 <= spent == len(upstream.asked)
    assert {one.status_code for one in answers} == {200, 403}
    assert spent * TRUE == key.get("/key")["usage"] <= Decimal(3 * one_pico) / DOLLAR
    session.check_books()


def test_a_spent_account_stays_refused_on_every_worker(acme: Acme, upstream: Upstream) -> None:
    server, _ = acme
    with Session(server, open_customer_now(server.database_path, DOLLAR // 10)) as poor:
        statuses = []
        for _ in range(20):
            fresh = Client(server.api, poor.customer.inference)  # any worker may take it
            with fresh.http:
                statuses.append(fresh.chat().status_code)
        spent = statuses.index(402)
        assert statuses == [200] * spent + [402] * (20 - spent)
        assert len(upstream.asked) == spent
        account = poor.viewer.get("/credits")
        assert account["total_usage"] <= account["total_credits"]
        poor.check_books()


def test_a_receipt_is_there_on_every_worker_when_its_answer_ends(
    session: Session, upstream: Upstream
) -> None:
    upstream.say = lambda body: (
        UpstreamReply(story()) if body.get("stream") else plain(answer("hi"))
    )
    for _ in range(20):
        ids = [
            session.inference.told().id,
            session.inference.chat().headers["x-generation-id"],
        ]
        for generation_id in ids:
            fresh = Client(session.server.api, session.customer.viewer)
            with fresh.http:
                assert fresh.get(f"/generation?id={generation_id}")["state"] == "captured"
    assert len(session.check_books()) == 40


FAILURES: dict[str, tuple[UpstreamReply, int, dict[str, Any]]] = {
    "a limit of the provider": (
        plain({"error": {"message": "slow down", "code": "rate"}}, 429, **{"Retry-After": "7"}),
        429,
        {
            "error_type": "rate_limit_exceeded",
            "provider_name": "acme",
            "is_byok": False,
            "raw": '{"error":{"message":"slow down","code":"rate"}}',
            "provider_code": "rate",
            "retry_after_seconds": 7,
            "limit_source": "upstream_provider_shared_pool",
        },
    ),
    "an error of the provider": (
        plain({"error": {"message": "oops"}}, 500),
        502,
        {
            "error_type": "provider_unavailable",
            "provider_name": "acme",
            "raw": '{"error":{"message":"oops"}}',
        },
    ),
    "an overload": (plain({}, 503), 503, {"error_type": "provider_overloaded"}),
    "a fault it finds": (
        plain({"error": {"message": "temperature is too high"}}, 400),
        400,
        {"error_type": "invalid_request"},
    ),
    "our key is wrong": (plain({"error": "bad key sk-123"}, 401), 502, {"provider_name": "acme"}),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("case", FAILURES)
def test_a_failure_before_the_first_token_is_told_in_our_shape_and_costs_nothing(
    session: Session, upstream: Upstream, case: str, stream: bool
) -> None:
    reply, status, expected = FAILURES[case]
    upstream.say = lambda _: reply
    refused = session.inference.chat(stream=stream)
    assert refused.status_code == status
    body = read(refused.text)
    assert body["error"]["code"] == status
    assert body["user_id"] == session.customer.account_id
    metadata = body["error"]["metadata"]
    assert {name: metadata[name] for name in expected} == expected
    assert "sk-123" not in refused.text
    assert refused.headers.get("retry-after") == ("7" if status == 429 else None)
    check_free(session, refused)


@pytest.mark.parametrize(
    ("model", "status", "error_type"),
    [("slow/large", 504, "timeout"), ("gone/large", 502, "provider_unavailable")],
)
def test_a_provider_that_does_not_answer_is_told_and_costs_nothing(
    session: Session, upstream: Upstream, model: str, status: int, error_type: str
) -> None:
    gate = Gate([], [])

    def say(_: Any) -> UpstreamReply:
        return UpstreamReply(list(gate))  # no head before the test goes on

    upstream.say = say
    refused = session.inference.chat(model=model, stream=True)
    gate.go.set()
    assert refused.status_code == status
    metadata = read(refused.text)["error"]["metadata"]
    assert (metadata["error_type"], metadata["provider_name"]) == (
        error_type,
        model.partition("/")[0],
    )
    check_free(session, refused)


def check_free(session: Session, refused: httpx.Response) -> None:
    [one] = session.check_books()
    assert (one.state, one.cost_pico) == (HoldState.VOIDED, 0)
    assert refused.headers["x-generation-id"] == one.id
    shown = session.viewer.get(f"/generation?id={one.id}")
    assert (shown["total_cost"], shown["state"], shown["lines"]) == (0, "voided", [])


def test_an_error_in_the_middle_ends_a_stream_with_a_chunk_that_says_so(
    session: Session, upstream: Upstream
) -> None:
    error = event({"error": {"message": "I am out", "code": "server_error"}})
    upstream.say = lambda _: UpstreamReply([chunk("word0 "), chunk("word1 "), error])
    told = session.inference.told()
    *_, last = told.chunks
    assert last["id"] == told.id
    assert last["object"] == "chat.completion.chunk"
    assert last["error"]["code"] == 502
    assert last["error"]["message"] == "Provider returned error"
    assert last["error"]["metadata"]["provider_code"] == "server_error"
    assert last["choices"] == [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]
    [one] = session.check_books()
    assert one.usage is not None
    assert one.usage.estimated
    assert told.cost == Decimal(one.cost_pico) / DOLLAR > 0


def test_a_client_that_leaves_pays_for_what_was_really_used(
    acme: Acme, session: Session, upstream: Upstream
) -> None:
    server, _ = acme
    gate = Gate(story()[:2], story()[2:])
    upstream.say = lambda _: UpstreamReply(gate)
    with session.inference.stream() as listening:
        listening.until("word1")
        listening.reset()
    gate.go.set()
    shown = ended(server, session, listening.id)
    assert (shown["cancelled"], shown["estimated"]) == (True, False)
    assert shown["total_cost"] == TRUE
    session.check_books()


def test_a_provider_that_goes_on_for_ever_is_not_read_for_nobody_for_ever(
    acme: Acme, session: Session, upstream: Upstream
) -> None:
    server, _ = acme
    gate = Gate(story()[:2], [])
    upstream.say = lambda _: UpstreamReply(gate)
    with session.inference.stream() as listening:
        listening.until("word1")
    shown = ended(server, session, listening.id)
    gate.go.set()
    assert (shown["cancelled"], shown["estimated"]) == (True, True)
    assert shown["total_cost"] > 0
    session.check_books()


def test_a_client_that_leaves_a_plain_call_pays_for_it(
    acme: Acme, session: Session, upstream: Upstream
) -> None:
    server, _ = acme
    gate = paused_answer()
    upstream.say = lambda _: UpstreamReply(gate, content_type="application/json")
    body = json.dumps(asked("hello")).encode()
    with wire(server.url) as leaving:
        leaving.send(
            request("POST /api/v1/chat/completions", session.customer.inference, body=body)
        )
        wait_until(lambda: len(upstream.asked) == 1, server.process)
        reset_at_once(leaving.socket)
    [hold] = session.viewer.get("/credits/holds")
    gate.go.set()
    shown = ended(server, session, hold["id"])
    assert (shown["cancelled"], shown["total_cost"]) == (True, TRUE)
    session.check_books()


def ended(server: RunningServer, session: Session, generation_id: str) -> Any:
    """A generation when it has ended by itself."""
    shown: dict[str, Any] = {"state": "open"}

    def has_ended() -> bool:
        shown.update(session.viewer.get(f"/generation?id={generation_id}"))
        return bool(shown["state"] != "open")

    wait_until(has_ended, server.process)
    return shown


def test_a_silent_stream_shows_that_it_is_alive(session: Session, upstream: Upstream) -> None:
    gate = Gate(story()[:2], story()[2:])
    upstream.say = lambda _: UpstreamReply(gate)
    with session.inference.stream() as listening:
        listening.until("word1")
        listening.until(": MODELGATES PROCESSING")
        gate.go.set()
        listening.rest()
    at = listening.lines.index(": MODELGATES PROCESSING")
    assert listening.lines[at + 1] == "", "a comment ends with an empty line"
    assert len(listening.chunks) == 7
    assert listening.cost == TRUE
    session.check_books()


def test_a_stream_shows_that_it_is_alive_before_its_first_word(
    session: Session, upstream: Upstream
) -> None:
    gate = Gate([], story())
    upstream.say = lambda _: UpstreamReply(gate)
    with session.inference.stream() as listening:
        listening.until("")
        gate.go.set()
        listening.rest()
    assert listening.lines[0] == ": MODELGATES PROCESSING"
    assert listening.cost == TRUE


def test_a_good_end_without_its_mark_is_a_good_end(session: Session, upstream: Upstream) -> None:
    upstream.say = lambda _: UpstreamReply([piece for piece in story() if piece != DONE])
    assert session.inference.told().cost == TRUE
    session.check_books()
