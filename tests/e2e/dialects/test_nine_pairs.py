"""Each official client over each API of a provider: the same answers at the same cost."""

from functools import partial

import pytest

from modelgates_server.core.pricing.prices import dollars
from tests.e2e.calls import Session
from tests.e2e.dialects.conftest import Gateway, cost_of
from tests.e2e.dialects.hearers import HEARERS, Shown
from tests.e2e.dialects.speakers import SPEAKERS
from tests.e2e.dialects.turns import Counts
from tests.server import Customer, open_customer_now
from tests.upstream import running_upstream

PAIRS = [(client, upstream) for client in HEARERS for upstream in SPEAKERS]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(("client", "upstream"), PAIRS, ids=map(" over ".join, PAIRS))
def test_client_gets_the_same_over_every_dialect_at_the_same_cost(
    client: str, upstream: str, stream: bool, gateway: Gateway
) -> None:
    customer = open_customer_now(gateway.server.database_path)
    with Session(gateway.server, customer) as session:
        check_conversation(client, f"{upstream}/large", gateway.server.api, customer, stream)
        costs = [dollars(generation.cost_pico) for generation in session.check_ledger()]
        assert costs == [cost_of(Counts())] * 6


def check_conversation(client: str, model: str, api: str, customer: Customer, stream: bool) -> None:
    """Asks six times, and compares what the client shows."""
    hearer = HEARERS[client]
    sdk = hearer.connect(api, customer.inference)
    cost = float(cost_of(Counts()))
    said = partial(expected, cost=cost)
    assert hearer.ask(sdk, model, "hello", stream=stream) == said("Hello, wörld.")
    assert hearer.ask(sdk, model, "think", stream=stream) == said("42", "Let me think.")
    assert hearer.ask(sdk, model, "short", stream=stream) == said("Hello, wor", stop="length")
    told = hearer.ask(sdk, model, "system", stream=stream, system="Be brief.")
    assert told == said("Be brief.")
    asked = hearer.ask(sdk, model, "Bern and Oslo?", stream=stream)
    assert asked == said(calls=(("call_Bern", "Bern"), ("call_Oslo", "Oslo")), stop="tools")
    conversation = hearer.with_results("Bern and Oslo?", asked.calls)
    told = hearer.call(sdk, model, conversation, stream)
    assert told == said("sunny in Bern; sunny in Oslo")


def expected(
    text: str = "",
    thoughts: str = "",
    calls: tuple[tuple[str, str], ...] = (),
    stop: str = "end",
    cost: float | None = None,
) -> Shown:
    return Shown(text, thoughts, calls, stop, cost, input_tokens=60, output_tokens=12)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("dialect", HEARERS)
def test_client_understands_the_fake_provider_without_a_gateway(dialect: str, stream: bool) -> None:
    hearer = HEARERS[dialect]
    with running_upstream() as upstream:
        upstream.say = SPEAKERS[dialect]()
        sdk = hearer.connect(upstream.url, "key")
        said = hearer.ask(sdk, "large", "think", stream=stream)
        assert said == expected("42", "Let me think.")
        asked = hearer.ask(sdk, "large", "Bern and Oslo?", stream=stream)
        calls = (("call_Bern", "Bern"), ("call_Oslo", "Oslo"))
        assert asked == expected(calls=calls, stop="tools")
        told = hearer.call(sdk, "large", hearer.with_results("Bern and Oslo?", calls), stream)
        assert told == expected("sunny in Bern; sunny in Oslo")
