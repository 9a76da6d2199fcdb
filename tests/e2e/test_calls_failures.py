"""Calls on two server processes, with providers that fail and clients that leave."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import httpx
import pytest

from modelgates_server.core.ledger.records import HoldState
from tests.e2e.calls import Client, Session, acme_server, chat_body, read, reset_at_once
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
REPORTED_COST = Decimal("0.0503")
SETTINGS = {"MODELGATES_WORKERS": "2", "MODELGATES_KEEP_ALIVE_S": "1", "MODELGATES_DRAIN_S": "1"}


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Acme]:
    with acme_server(tmp_path_factory.mktemp("acme"), **SETTINGS) as running:
        yield running
    assert "Traceback" not in running[0].log_path.read_text()


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


def gated_response() -> Gate:
    return Gate([], list(plain(answer("hi", usage(3, 5))).pieces))


def at_once(client: Client, times: int, **parameters: Any) -> list[httpx.Response]:
    with ThreadPoolExecutor(times) as pool:
        calls = [pool.submit(client.chat, **parameters) for _ in range(times)]
        return [call.result() for call in calls]


def held_for(session: Session, upstream: Upstream, **parameters: Any) -> int:
    """The hold of one such call, in pico-dollars."""
    session.inference.chat(**parameters)
    upstream.asked.clear()
    return session.check_ledger()[-1].hold_pico


def test_parallel_calls_reach_the_provider_only_while_the_balance_covers_their_holds(
    acme: Acme, session: Session, upstream: Upstream
) -> None:
    server, _ = acme
    hold_pico = held_for(session, upstream, max_tokens=10)
    gate = gated_response()
    upstream.say = lambda _: UpstreamReply(gate, content_type="application/json")
    with (
        Session(server, open_customer_now(server.database_path, 5 * hold_pico)) as poor,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        calls = [pool.submit(poor.inference.chat, max_tokens=10) for _ in range(AT_ONCE)]
        wait_until(lambda: sum(call.done() for call in calls) == AT_ONCE - 5, server.process)
        gate.go.set()
        responses = [call.result() for call in calls]
        refused = [response for response in responses if response.status_code == 402]
        assert sum(response.status_code == 200 for response in responses) == 5
        assert len(refused) == AT_ONCE - 5
        assert {read(response.text)["error"]["metadata"]["reason"] for response in refused} == {
            "in_flight_budget_exhausted"
        }
        assert all("retry-after" in response.headers for response in refused)
        assert len(upstream.asked) == 5
        assert poor.viewer.get("/credits")["total_usage"] == 5 * REPORTED_COST
        assert len(poor.check_ledger()) == 5


def test_parallel_first_calls_of_a_new_key_stay_within_its_limit(
    session: Session, upstream: Upstream
) -> None:
    hold_pico = held_for(session, upstream, max_tokens=10)
    key = session.new_key(limit=float(Decimal(3 * hold_pico) / DOLLAR))
    responses = at_once(key, 20, max_tokens=10)
    # A call that ends releases what it did not use: the limit covers spent plus held.
    spent = sum(response.status_code == 200 for response in responses)
    assert 3 <= spent == len(upstream.asked)
    assert {response.status_code for response in responses} == {200, 403}
    assert spent * REPORTED_COST == key.get("/key")["usage"] <= Decimal(3 * hold_pico) / DOLLAR
    session.check_ledger()


def test_calls_are_refused_on_every_worker_when_the_credits_are_spent(
    acme: Acme, upstream: Upstream
) -> None:
    server, _ = acme
    with Session(server, open_customer_now(server.database_path, DOLLAR // 10)) as poor:
        statuses = []
        for _ in range(20):
            fresh = Client(server.api, poor.customer.inference)  # any worker may serve it
            with fresh.http:
                statuses.append(fresh.chat().status_code)
        spent = statuses.index(402)
        assert statuses == [200] * spent + [402] * (20 - spent)
        assert len(upstream.asked) == spent
        account = poor.viewer.get("/credits")
        assert account["total_usage"] <= account["total_credits"]
        poor.check_ledger()


def test_receipt_exists_on_every_worker_when_the_response_ends(
    session: Session, upstream: Upstream
) -> None:
    upstream.say = lambda body: (
        UpstreamReply(story()) if body.get("stream") else plain(answer("hi"))
    )
    for _ in range(20):
        ids = [
            session.inference.read_stream().id,
            session.inference.chat().headers["x-generation-id"],
        ]
        for generation_id in ids:
            fresh = Client(session.server.api, session.customer.viewer)
            with fresh.http:
                assert fresh.get(f"/generation?id={generation_id}")["state"] == "captured"
    assert len(session.check_ledger()) == 40


FAILURES: dict[str, tuple[UpstreamReply, int, dict[str, Any]]] = {
    "rate limit of the provider": (
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
    "error of the provider": (
        plain({"error": {"message": "oops"}}, 500),
        502,
        {
            "error_type": "provider_unavailable",
            "provider_name": "acme",
            "raw": '{"error":{"message":"oops"}}',
        },
    ),
    "overload": (plain({}, 503), 503, {"error_type": "provider_overloaded"}),
    "invalid request": (
        plain({"error": {"message": "temperature is too high"}}, 400),
        400,
        {"error_type": "invalid_request"},
    ),
    "wrong key of the gateway": (
        plain({"error": "bad key sk-123"}, 401),
        502,
        {"provider_name": "acme"},
    ),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("case", FAILURES)
def test_failure_before_the_first_token_is_an_error_response_and_costs_nothing(
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
def test_call_fails_and_costs_nothing_when_the_provider_does_not_respond(
    session: Session, upstream: Upstream, model: str, status: int, error_type: str
) -> None:
    gate = Gate([], [])

    def say(_: Any) -> UpstreamReply:
        return UpstreamReply(list(gate))  # no head until the gate opens

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
    [generation] = session.check_ledger()
    assert (generation.state, generation.cost_pico) == (HoldState.VOIDED, 0)
    assert refused.headers["x-generation-id"] == generation.id
    shown = session.viewer.get(f"/generation?id={generation.id}")
    assert (shown["total_cost"], shown["state"], shown["lines"]) == (0, "voided", [])


def test_error_within_a_stream_ends_it_with_an_error_chunk(
    session: Session, upstream: Upstream
) -> None:
    error = event({"error": {"message": "I am out", "code": "server_error"}})
    upstream.say = lambda _: UpstreamReply([chunk("word0 "), chunk("word1 "), error])
    stream = session.inference.read_stream()
    *_, last = stream.chunks
    assert last["id"] == stream.id
    assert last["object"] == "chat.completion.chunk"
    assert last["error"]["code"] == 502
    assert last["error"]["message"] == "Provider returned error"
    assert last["error"]["metadata"]["provider_code"] == "server_error"
    assert last["choices"] == [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]
    [generation] = session.check_ledger()
    assert generation.usage is not None
    assert generation.usage.estimated
    assert stream.cost == Decimal(generation.cost_pico) / DOLLAR > 0


def test_client_that_leaves_a_stream_pays_for_the_reported_usage(
    acme: Acme, session: Session, upstream: Upstream
) -> None:
    server, _ = acme
    gate = Gate(story()[:2], story()[2:])
    upstream.say = lambda _: UpstreamReply(gate)
    with session.inference.stream() as reader:
        reader.read_until("word1")
        reader.reset()
    gate.go.set()
    shown = ended(server, session, reader.id)
    assert (shown["cancelled"], shown["estimated"]) == (True, False)
    assert shown["total_cost"] == REPORTED_COST
    session.check_ledger()


def test_endless_stream_is_not_read_forever_when_its_client_has_left(
    acme: Acme, session: Session, upstream: Upstream
) -> None:
    server, _ = acme
    gate = Gate(story()[:2], [])
    upstream.say = lambda _: UpstreamReply(gate)
    with session.inference.stream() as reader:
        reader.read_until("word1")
    shown = ended(server, session, reader.id)
    gate.go.set()
    assert (shown["cancelled"], shown["estimated"]) == (True, True)
    assert shown["total_cost"] > 0
    session.check_ledger()


def test_client_that_leaves_a_plain_call_pays_for_it(
    acme: Acme, session: Session, upstream: Upstream
) -> None:
    server, _ = acme
    gate = gated_response()
    upstream.say = lambda _: UpstreamReply(gate, content_type="application/json")
    body = json.dumps(chat_body("hello")).encode()
    with wire(server.url) as leaving:
        leaving.send(
            request("POST /api/v1/chat/completions", session.customer.inference, body=body)
        )
        wait_until(lambda: len(upstream.asked) == 1, server.process)
        reset_at_once(leaving.socket)
    [hold] = session.viewer.get("/credits/holds")
    gate.go.set()
    shown = ended(server, session, hold["id"])
    assert (shown["cancelled"], shown["total_cost"]) == (True, REPORTED_COST)
    session.check_ledger()


def ended(server: RunningServer, session: Session, generation_id: str) -> Any:
    """A generation, once it has ended by itself."""
    shown: dict[str, Any] = {"state": "open"}

    def has_ended() -> bool:
        shown.update(session.viewer.get(f"/generation?id={generation_id}"))
        return bool(shown["state"] != "open")

    wait_until(has_ended, server.process)
    return shown


def test_silent_stream_gets_keep_alive_comments(session: Session, upstream: Upstream) -> None:
    gate = Gate(story()[:2], story()[2:])
    upstream.say = lambda _: UpstreamReply(gate)
    with session.inference.stream() as reader:
        reader.read_until("word1")
        reader.read_until(": MODELGATES PROCESSING")
        gate.go.set()
        reader.read_rest()
    at = reader.lines.index(": MODELGATES PROCESSING")
    assert reader.lines[at + 1] == "", "a comment ends with an empty line"
    assert len(reader.chunks) == 7
    assert reader.cost == REPORTED_COST
    session.check_ledger()


def test_stream_gets_keep_alive_comments_before_its_first_token(
    session: Session, upstream: Upstream
) -> None:
    gate = Gate([], story())
    upstream.say = lambda _: UpstreamReply(gate)
    with session.inference.stream() as reader:
        reader.read_until("")
        gate.go.set()
        reader.read_rest()
    assert reader.lines[0] == ": MODELGATES PROCESSING"
    assert reader.cost == REPORTED_COST


def test_stream_without_done_at_its_end_is_complete(session: Session, upstream: Upstream) -> None:
    upstream.say = lambda _: UpstreamReply([piece for piece in story() if piece != DONE])
    assert session.inference.read_stream().cost == REPORTED_COST
    session.check_ledger()
