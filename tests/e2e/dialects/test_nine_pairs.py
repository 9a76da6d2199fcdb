"""Each official client over each API of a provider: the same answers at the same cost."""

from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from typing import NamedTuple

import pytest

from modelgates_server.core.pricing.prices import dollars
from tests.e2e.calls import Session
from tests.e2e.dialects.hearers import HEARERS, Shown
from tests.e2e.dialects.speakers import SPEAKERS, Speaker
from tests.e2e.dialects.turns import Counts
from tests.server import Customer, RunningServer, open_customer_now, running_server
from tests.upstream import running_upstream

PROVIDER = """
[providers.{name}]
base_url = "{url}"
dialect = "{dialect}"

[models."{name}/large"]
provider = "{name}"
context_length = 100000
max_output_tokens = 1000

[[models."{name}/large".prices]]
input = "0.0001"
cache_read = "0.00001"
cache_write = "0.000125"
cache_write_1h = "0.0002"
output = "0.01"
reasoning = "0.011"
"""
RATES = {
    "input": Decimal("0.0001"),
    "cache_read": Decimal("0.00001"),
    "cache_write_5m": Decimal("0.000125"),
    "cache_write_1h": Decimal("0.0002"),
}
PAIRS = [(client, upstream) for client in HEARERS for upstream in SPEAKERS]


class Gateway(NamedTuple):
    server: RunningServer
    speakers: dict[str, Speaker]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("pairs")
    with running_upstream() as chat, running_upstream() as messages, running_upstream() as items:
        upstreams = {"openai-chat": chat, "anthropic": messages, "openai-responses": items}
        speakers = {dialect: SPEAKERS[dialect]() for dialect in upstreams}
        for dialect, upstream in upstreams.items():
            upstream.say = speakers[dialect]
        tables = [
            PROVIDER.format(name=dialect, url=upstream.url, dialect=dialect)
            for dialect, upstream in upstreams.items()
        ]
        path = folder / "modelgates.toml"
        path.write_text("".join(tables))
        with running_server(folder, MODELGATES_CONFIG=str(path)) as server:
            yield Gateway(server, speakers)


def cost_of(counts: Counts) -> Decimal:
    written = (counts.output - counts.thinking) * Decimal("0.01")
    thought = counts.thinking * Decimal("0.011")
    read = sum((rate * getattr(counts, at) for at, rate in RATES.items()), Decimal(0))
    return written + thought + read


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
