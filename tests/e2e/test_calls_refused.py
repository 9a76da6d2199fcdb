"""Calls that cannot be paid for: what they are told adds up, and no provider hears of them."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.console import Console
from tests.e2e.calls import Session, acme_server, read
from tests.server import RunningServer, open_customer_now, running_server
from tests.support import DOLLAR
from tests.upstream import Gate, Upstream, UpstreamReply, answer, plain, usage

Acme = tuple[RunningServer, Upstream]
SMALL = DOLLAR // 2
WRITTEN = Decimal("0.01")


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Acme]:
    with acme_server(tmp_path_factory.mktemp("acme")) as running:
        yield running


@pytest.fixture
def upstream(acme: Acme) -> Upstream:
    _, found = acme
    found.asked.clear()
    found.say = lambda _: plain(answer("hi", usage(3, 5)))
    return found


@pytest.fixture
def small(acme: Acme) -> Iterator[Session]:
    """A customer with half a dollar, where the longest answer costs more than one."""
    server, _ = acme
    with Session(server, open_customer_now(server.database_path, SMALL)) as session:
        yield session


def check_refusal(refused: httpx.Response, session: Session, status: int = 402) -> Any:
    """Its metadata, where it has one that stays as it is documented."""
    assert refused.status_code == status
    body = read(refused.text)
    assert list(body) == ["error", "user_id"]
    assert body["user_id"] == session.customer.account_id
    assert list(body["error"]) == ["message", "code", "metadata"]
    assert body["error"]["code"] == status
    metadata = body["error"]["metadata"]
    assert metadata["remedy_hint"]
    if "available_usd" in metadata:
        assert metadata["requested_usd"] > metadata["available_usd"] >= 0
    return metadata


def check_arithmetic(metadata: Any, max_tokens: int) -> None:
    """What was asked for less the output is the input; what is left pays for so much output."""
    reading = metadata["requested_usd"] - max_tokens * WRITTEN
    assert 0 < reading < Decimal("0.1")
    assert metadata["requested_tokens"] == max_tokens
    affordable = (metadata["available_usd"] - reading) // WRITTEN
    assert metadata["affordable_tokens"] == max(0, affordable)


def test_too_many_tokens_are_told_how_many_would_do(small: Session, upstream: Upstream) -> None:
    refused = small.inference.chat(max_tokens=100)
    metadata = check_refusal(refused, small)
    check_arithmetic(metadata, max_tokens=100)
    affordable = int(metadata["affordable_tokens"])
    assert read(refused.text)["error"]["message"] == (
        "This request requires more credits, or fewer max_tokens. You requested up to 100 tokens, "
        f"but can only afford {affordable} (worst case). Add credits, or lower max_tokens."
    )
    assert metadata["reason"] == "max_tokens_unaffordable"
    assert metadata["limit_source"] == "modelgates_credits"
    assert metadata["error_type"] == "payment_required"
    assert (metadata["provider_name"], metadata["held_usd"]) == (None, 0)
    assert refused.headers["x-should-retry"] == "false"
    assert "retry-after" not in refused.headers
    assert upstream.asked == []
    # What it is told is true to the token; a digit less makes the body, and so its price, smaller.
    assert small.inference.chat(max_tokens=affordable + 2).status_code == 402
    assert small.inference.chat(max_tokens=affordable).status_code == 200
    assert small.check_books()[-1].cost_pico > 0


def test_a_prompt_too_dear_for_any_answer_is_told_so(acme: Acme, upstream: Upstream) -> None:
    server, _ = acme
    with Session(server, open_customer_now(server.database_path, DOLLAR // 50)) as session:
        refused = session.inference.chat("word " * 50)
        metadata = check_refusal(refused, session)
        assert metadata["reason"] == "prompt_unaffordable"
        message = read(refused.text)["error"]["message"]
        assert message.startswith("Prompt tokens limit exceeded: ")
        assert " > 100 (worst case: each byte of the request may be a token). " in message
    assert upstream.asked == []


def test_an_account_that_never_had_credits_is_told_so(acme: Acme, upstream: Upstream) -> None:
    server, _ = acme
    with Session(server, open_customer_now(server.database_path, 0)) as session:
        refused = session.inference.chat()
        metadata = check_refusal(refused, session)
        assert metadata["reason"] == "never_purchased"
        assert metadata["available_usd"] == 0
        assert read(refused.text)["error"]["message"] == (
            "Insufficient credits. This account never purchased credits. Make sure your key is on "
            "the correct account, and if so, purchase more."
        )
    assert upstream.asked == []


def test_an_account_whose_credits_are_spent_is_told_so(small: Session, upstream: Upstream) -> None:
    assert small.inference.chat().status_code == 200
    empty(small)
    refused = small.inference.chat()
    metadata = check_refusal(refused, small)
    assert metadata["reason"] == "insufficient_credits"
    assert read(refused.text)["error"]["message"] == "Insufficient credits. Add more credits."
    assert len(upstream.asked) == 1


def empty(session: Session) -> None:
    """Take away what is left."""
    console = Console(session.server.database_path.parent)
    shown = session.viewer.get("/credits")
    left = shown["total_credits"] - shown["total_usage"]
    console.call("credits", "adjust", session.customer.account_id, f"-{left}", "--json")


def test_credits_that_running_calls_hold_are_told_to_come_back(
    small: Session, upstream: Upstream
) -> None:
    [body] = plain(answer("hi", usage(3, 5))).pieces
    gate = Gate([b"data: {}\n\n"], [b"data: [DONE]\n\n"])
    upstream.say = lambda _: UpstreamReply(gate)
    with small.inference.stream() as running:
        refused = small.inference.chat(max_tokens=10)
        metadata = check_refusal(refused, small)
        check_arithmetic(metadata, max_tokens=10)
        held = read(small.viewer.http.get("/credits/holds").text)
        assert [hold["id"] for hold in held["data"]] == [running.id]
        assert held["held"] == held["data"][0]["amount"] == metadata["held_usd"]
        assert metadata["available_usd"] == Decimal("0.5") - metadata["held_usd"]
        assert metadata["reason"] == "in_flight_budget_exhausted"
        assert metadata["limit_source"] == "modelgates_in_flight_budget"
        assert int(refused.headers["retry-after"]) > 0
        assert "x-should-retry" not in refused.headers
        assert read(refused.text)["error"]["message"] == (
            "This request would exceed your available credits given your current in-flight "
            "requests. Retry after in-flight requests settle, or add credits."
        )
        gate.go.set()
        running.rest()
    upstream.say = lambda _: UpstreamReply([body], content_type="application/json")
    assert small.inference.chat().status_code == 200
    assert len(upstream.asked) == 2
    small.check_books()


@pytest.mark.parametrize("reset", [None, "daily", "monthly"])
def test_a_spent_limit_of_a_key_is_told_with_its_figures(
    small: Session, upstream: Upstream, reset: str | None
) -> None:
    key = small.new_key(limit=0.15, limit_reset=reset)
    assert key.get("/key")["limit_remaining"] == Decimal("0.15")
    assert key.chat(max_tokens=5).status_code == 200
    refused = key.chat(max_tokens=6)
    metadata = check_refusal(refused, small, 403)
    assert metadata["limit_source"] == "modelgates_key_limit"
    assert metadata["error_type"] == "permission_denied"
    assert (metadata["scope"], metadata["reason"]) == ("key_limit", "key_limit_exceeded")
    assert metadata["limit_usd"] == Decimal("0.15")
    assert metadata["spend_usd"] == Decimal("0.0503")
    assert metadata["requested_usd"] > metadata["limit_usd"] - metadata["spend_usd"]
    assert (metadata["resets_at"] is None) is (reset is None)
    if reset is not None:
        assert metadata["resets_at"].endswith("T00:00:00.000Z")
    assert "Key limit exceeded" in read(refused.text)["error"]["message"]
    assert refused.headers["x-should-retry"] == "false"
    assert "retry-after" not in refused.headers
    # Once more, and by itself: a limit that was passed stays passed.
    assert key.chat(max_tokens=6).status_code == 403
    assert small.inference.chat(max_tokens=6).status_code == 200
    assert len(upstream.asked) == 2


def test_a_limit_of_nothing_refuses_all_but_free_calls(small: Session, upstream: Upstream) -> None:
    key = small.new_key(limit=0)
    check_refusal(key.chat(), small, 403)
    assert key.chat(model="free/large").status_code == 200
    assert len(upstream.asked) == 1


def test_a_request_is_held_to_the_most_it_says_it_may_cost(
    small: Session, upstream: Upstream
) -> None:
    dear = {"X-ModelGates-Max-Cost": "0.1"}
    refused = small.inference.chat(max_tokens=10, headers=dear)
    metadata = check_refusal(refused, small)
    check_arithmetic(metadata, max_tokens=10)
    assert metadata["limit_source"] == "modelgates_max_cost"
    assert metadata["available_usd"] == Decimal("0.1")
    assert refused.headers["x-should-retry"] == "false"
    assert upstream.asked == []
    assert small.inference.chat(headers=dear).status_code == 200
    assert upstream.asked[0]["max_tokens"] < 10
    for text in ("-1", "much", "1e-1"):
        wrong = small.inference.chat(headers={"X-ModelGates-Max-Cost": text})
        assert wrong.status_code == 400


def test_a_free_model_needs_no_credits_and_still_no_debt(acme: Acme, upstream: Upstream) -> None:
    server, _ = acme
    with Session(server, open_customer_now(server.database_path, 0)) as session:
        told = read(session.inference.chat(model="free/large").text)
        assert told["usage"]["cost"] == 0
        [one] = session.check_books()
        assert (one.hold_pico, one.cost_pico, one.state.value) == (0, 0, "captured")
    assert upstream.asked[0]["max_tokens"] == 100


@pytest.mark.parametrize("n", [1, 4])
def test_call_with_the_affordable_tokens_of_a_402_works_whatever_its_choices(
    n: int, acme: Acme, upstream: Upstream
) -> None:
    server, _ = acme
    with Session(server, open_customer_now(server.database_path, DOLLAR)) as session:
        refused = session.inference.chat(max_tokens=100, n=n)
        metadata = check_refusal(refused, session)
        affordable = int(metadata["affordable_tokens"])
        assert 1 <= affordable < 100 == metadata["requested_tokens"]
        assert session.inference.chat(max_tokens=affordable + 1, n=n).status_code == 402
        assert upstream.asked == []
        assert session.inference.chat(max_tokens=affordable, n=n).status_code == 200


def test_clients_that_match_on_the_other_brand_get_it(tmp_path: Path) -> None:
    with running_server(tmp_path, MODELGATES_LIMIT_SOURCE_PREFIX="openrouter") as server:
        customer = open_customer_now(server.database_path, 0)
        with Session(server, customer) as session:
            metadata = check_refusal(session.inference.chat(model="sandbox/echo"), session)
            assert metadata["limit_source"] == "openrouter_credits"
