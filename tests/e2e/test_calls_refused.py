"""Calls that cannot be paid for: the figures in their errors add up, and no provider sees them."""

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
OUTPUT_RATE = Decimal("0.01")


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Acme]:
    with acme_server(tmp_path_factory.mktemp("acme")) as running:
        yield running


@pytest.fixture
def upstream(acme: Acme) -> Upstream:
    _, running = acme
    running.asked.clear()
    running.say = lambda _: plain(answer("hi", usage(3, 5)))
    return running


@pytest.fixture
def small(acme: Acme) -> Iterator[Session]:
    """A customer with half a dollar; the longest response costs more than a dollar."""
    server, _ = acme
    with Session(server, open_customer_now(server.database_path, SMALL)) as session:
        yield session


def check_refusal(refused: httpx.Response, session: Session, status: int = 402) -> Any:
    """Checks that an error has its documented shape; returns its metadata."""
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
    """Requested less output is the input; available less input pays for the affordable tokens."""
    input_usd = metadata["requested_usd"] - max_tokens * OUTPUT_RATE
    assert 0 < input_usd < Decimal("0.1")
    assert metadata["requested_tokens"] == max_tokens
    affordable = (metadata["available_usd"] - input_usd) // OUTPUT_RATE
    assert metadata["affordable_tokens"] == max(0, affordable)


def test_refusal_has_the_affordable_tokens_when_max_tokens_is_too_high(
    small: Session, upstream: Upstream
) -> None:
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
    # The figure is exact. Its body has a digit less than the first, which lowers the price: + 2.
    assert small.inference.chat(max_tokens=affordable + 2).status_code == 402
    assert small.inference.chat(max_tokens=affordable).status_code == 200
    assert small.check_ledger()[-1].cost_pico > 0


def test_call_is_refused_when_its_prompt_alone_is_unaffordable(
    acme: Acme, upstream: Upstream
) -> None:
    server, _ = acme
    with Session(server, open_customer_now(server.database_path, DOLLAR // 50)) as session:
        refused = session.inference.chat("word " * 50)
        metadata = check_refusal(refused, session)
        assert metadata["reason"] == "prompt_unaffordable"
        message = read(refused.text)["error"]["message"]
        assert message.startswith("Prompt tokens limit exceeded: ")
        assert " > 100 (worst case: each byte of the request may be a token). " in message
    assert upstream.asked == []


def test_call_is_refused_when_the_account_never_had_credits(acme: Acme, upstream: Upstream) -> None:
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


def test_call_is_refused_when_the_credits_are_spent(small: Session, upstream: Upstream) -> None:
    assert small.inference.chat().status_code == 200
    empty(small)
    refused = small.inference.chat()
    metadata = check_refusal(refused, small)
    assert metadata["reason"] == "insufficient_credits"
    assert read(refused.text)["error"]["message"] == "Insufficient credits. Add more credits."
    assert len(upstream.asked) == 1


def empty(session: Session) -> None:
    """Takes away the rest of the credits."""
    console = Console(session.server.database_path.parent)
    shown = session.viewer.get("/credits")
    left = shown["total_credits"] - shown["total_usage"]
    console.call("credits", "adjust", session.customer.account_id, f"-{left}", "--json")


def test_refusal_has_retry_after_when_running_calls_hold_the_credits(
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
        running.read_rest()
    upstream.say = lambda _: UpstreamReply([body], content_type="application/json")
    assert small.inference.chat().status_code == 200
    assert len(upstream.asked) == 2
    small.check_ledger()


@pytest.mark.parametrize("reset", [None, "daily", "monthly"])
def test_refusal_has_the_figures_of_a_spent_key_limit(
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
    # The call is refused again, and only with this key: a limit that is reached stays reached.
    assert key.chat(max_tokens=6).status_code == 403
    assert small.inference.chat(max_tokens=6).status_code == 200
    assert len(upstream.asked) == 2


def test_key_limit_of_zero_allows_only_free_calls(small: Session, upstream: Upstream) -> None:
    key = small.new_key(limit=0)
    check_refusal(key.chat(), small, 403)
    assert key.chat(model="free/large").status_code == 200
    assert len(upstream.asked) == 1


def test_call_stays_within_the_maximum_cost_in_its_header(
    small: Session, upstream: Upstream
) -> None:
    max_cost = {"X-ModelGates-Max-Cost": "0.1"}
    refused = small.inference.chat(max_tokens=10, headers=max_cost)
    metadata = check_refusal(refused, small)
    check_arithmetic(metadata, max_tokens=10)
    assert metadata["limit_source"] == "modelgates_max_cost"
    assert metadata["available_usd"] == Decimal("0.1")
    assert refused.headers["x-should-retry"] == "false"
    assert upstream.asked == []
    assert small.inference.chat(headers=max_cost).status_code == 200
    assert upstream.asked[0]["max_tokens"] < 10
    for text in ("-1", "much", "1e-1"):
        refused = small.inference.chat(headers={"X-ModelGates-Max-Cost": text})
        assert refused.status_code == 400


def test_free_model_can_be_called_without_credits(acme: Acme, upstream: Upstream) -> None:
    server, _ = acme
    with Session(server, open_customer_now(server.database_path, 0)) as session:
        body = read(session.inference.chat(model="free/large").text)
        assert body["usage"]["cost"] == 0
        [generation] = session.check_ledger()
        assert (generation.hold_pico, generation.cost_pico, generation.state.value) == (
            0,
            0,
            "captured",
        )
    assert upstream.asked[0]["max_tokens"] == 100


@pytest.mark.parametrize("n", [1, 4])
def test_call_with_the_affordable_tokens_of_a_402_succeeds_for_any_n(
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


def test_limit_source_starts_with_the_prefix_in_the_settings(tmp_path: Path) -> None:
    with running_server(tmp_path, MODELGATES_LIMIT_SOURCE_PREFIX="openrouter") as server:
        customer = open_customer_now(server.database_path, 0)
        with Session(server, customer) as session:
            metadata = check_refusal(session.inference.chat(model="sandbox/echo"), session)
            assert metadata["limit_source"] == "openrouter_credits"
