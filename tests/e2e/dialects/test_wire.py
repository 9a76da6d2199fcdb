"""The wire between official clients, the gateway and providers: bodies, headers, errors, counts."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import openai
import pytest

from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.pricing.prices import dollars
from tests.deadlines import DEADLINE_S, http_client
from tests.e2e.calls import Session
from tests.e2e.dialects.conftest import Gateway, cost_of
from tests.e2e.dialects.hearers import HEARERS
from tests.e2e.dialects.speakers import Speaker
from tests.e2e.dialects.turns import Counts
from tests.server import Customer, open_customer_now
from tests.upstream import UpstreamReply, event, plain

OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
TOO_LONG = {
    "type": "error",
    "error": {
        "type": "invalid_request_error",
        "message": "prompt is too long: 212345 tokens > 200000 maximum",
    },
}


@pytest.fixture
def customer(gateway: Gateway) -> Customer:
    return open_customer_now(gateway.server.database_path)


@pytest.fixture
def client(gateway: Gateway, customer: Customer) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {customer.inference}"}
    with http_client(base_url=gateway.server.api, headers=headers) as opened:
        yield opened


def message(**members: Any) -> dict[str, Any]:
    said = [{"role": "user", "content": "hello"}]
    return {"model": "anthropic/large", "max_tokens": 50, "messages": said, **members}


def says(gateway: Gateway, dialect: str, reply: UpstreamReply) -> Speaker:
    """Makes a provider reply with this; returns what it said before."""
    before = gateway.speakers[dialect]
    gateway.upstreams[dialect].say = lambda _: reply
    return before


def recorded(gateway: Gateway, customer: Customer) -> list[Generation]:
    with Session(gateway.server, customer) as session:
        return session.check_ledger()


def test_request_passes_byte_for_byte_when_the_dialects_are_equal(
    gateway: Gateway, client: httpx.Client
) -> None:
    thinking = (
        '[{"role":"user","content":"hello"},{"role":"assistant","content":[{"type":"thinking",'
        '"thinking":"Let \\u006de","signature":"c2ln"},{"type":"text","text":"1"}]},'
        '{"role":"user","content":"more"}]'
    )
    body = (
        '{"model":"anthropic/large","max_tokens": 50, "new_thing" : {"a": 1.0},"messages":'
        + thinking
        + "}"
    )
    headers = {"content-type": "application/json", "anthropic-version": "2026-10-21"}
    beta = "interleaved-thinking-2025-05-14"
    response = client.post("/messages", content=body, headers={**headers, "anthropic-beta": beta})
    assert response.status_code == 200, response.text
    upstream = gateway.upstreams["anthropic"]
    path, sent = upstream.sent[-1]
    assert path == "/v1/messages"
    assert thinking.encode() in sent
    assert b'"new_thing":{"a": 1.0}' in sent
    assert json.loads(sent)["model"] == "large"
    assert upstream.heads[-1]["anthropic-version"] == "2026-10-21"
    assert upstream.heads[-1]["anthropic-beta"] == beta


def test_unknown_beta_is_rejected_by_name(client: httpx.Client) -> None:
    betas = [("anthropic-beta", "effort-2025-11-24"), ("anthropic-beta", "new-2027-01-01")]
    response = client.post("/messages", json=message(), headers=betas)
    assert response.status_code == 400
    assert "`new-2027-01-01`" in response.json()["error"]["message"]


@pytest.mark.parametrize("name", HEARERS)
def test_cache_writes_of_both_lives_cost_the_same_for_every_client(
    name: str, gateway: Gateway, customer: Customer
) -> None:
    counts = Counts(cache_write_5m=400, cache_write_1h=600)
    speaker = gateway.speakers["anthropic"]
    gateway.upstreams["anthropic"].say, speaker.counts = speaker, counts
    try:
        hearer = HEARERS[name]
        sdk = hearer.connect(gateway.server.api, customer.inference)
        for stream in (False, True):
            hearer.ask(sdk, "anthropic/large", "hello", stream=stream)
    finally:
        speaker.counts = Counts()
    costs = [dollars(each.cost_pico) for each in recorded(gateway, customer)]
    assert costs == [cost_of(counts)] * 2


def test_error_of_the_provider_passes_unchanged_when_the_dialects_are_equal(
    gateway: Gateway, client: httpx.Client, customer: Customer
) -> None:
    before = says(gateway, "anthropic", plain(TOO_LONG, 400))
    try:
        response = client.post("/messages", json=message())
        assert (response.status_code, response.json()) == (400, TOO_LONG)
        says(gateway, "anthropic", plain(OVERLOADED, 529))
        response = client.post("/messages", json=message(stream=True))
        assert (response.status_code, response.json()) == (529, OVERLOADED)
    finally:
        gateway.upstreams["anthropic"].say = before
    assert [each.cost_pico for each in recorded(gateway, customer)] == [0, 0]


def test_want_of_credits_is_402_for_messages_and_is_not_repeated(gateway: Gateway) -> None:
    poor = open_customer_now(gateway.server.database_path, credits_pico=0)
    base_url = gateway.server.api.removesuffix("/v1")
    sdk = anthropic.Anthropic(base_url=base_url, api_key=poor.inference, timeout=DEADLINE_S)
    with pytest.raises(anthropic.APIStatusError) as caught:
        sdk.messages.create(**message())
    error: Any = caught.value.body
    assert (caught.value.status_code, error["error"]["type"]) == (402, "billing_error")
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert caught.value.request_id == error["request_id"]


def test_want_of_credits_is_429_for_responses_and_is_not_repeated(gateway: Gateway) -> None:
    poor = open_customer_now(gateway.server.database_path, credits_pico=0)
    sdk = openai.OpenAI(base_url=gateway.server.api, api_key=poor.inference, timeout=DEADLINE_S)
    with pytest.raises(openai.RateLimitError) as caught:
        sdk.responses.create(model="openai-responses/large", input="hello")
    assert caught.value.code == "insufficient_quota"
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert "retry-after" not in caught.value.response.headers


@pytest.mark.parametrize(("dialect", "pieces"), [("openai-chat", 3), ("anthropic", 4)])
def test_stream_that_breaks_ends_as_failed_for_responses(
    dialect: str, pieces: int, gateway: Gateway, client: httpx.Client, customer: Customer
) -> None:
    whole = list(gateway.speakers[dialect]({"stream": True, "messages": HELLO}).pieces)
    before = says(gateway, dialect, UpstreamReply(whole[:pieces]))
    try:
        body = {"model": f"{dialect}/large", "input": "hello", "stream": True}
        lines = client.post("/responses", json=body).text.splitlines()
    finally:
        gateway.upstreams[dialect].say = before
    names = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    assert names[0] == "response.created"
    assert names[-1] == "response.failed"
    assert "response.completed" not in names
    data = json.loads([line for line in lines if line.startswith("data: ")][-1][6:])
    assert data["response"]["error"]["code"] == "server_error"
    [generation] = recorded(gateway, customer)
    assert generation.cost_pico > 0


HELLO = [{"role": "user", "content": "hello"}]


def test_stream_that_breaks_ends_with_an_error_for_messages(
    gateway: Gateway, customer: Customer
) -> None:
    whole = list(gateway.speakers["openai-chat"]({"stream": True, "messages": HELLO}).pieces)
    failure = event({"error": {"message": "exploded", "code": 500}})
    before = says(gateway, "openai-chat", UpstreamReply([*whole[:2], failure]))
    base_url = gateway.server.api.removesuffix("/v1")
    sdk = anthropic.Anthropic(base_url=base_url, api_key=customer.inference, max_retries=0)
    try:
        with (
            pytest.raises(anthropic.APIStatusError),
            sdk.messages.stream(**message(model="openai-chat/large")) as events,
        ):
            for _ in events:
                pass
    finally:
        gateway.upstreams["openai-chat"].say = before
    [generation] = recorded(gateway, customer)
    assert generation.cost_pico > 0


def test_provider_counts_tokens_when_it_can(
    gateway: Gateway, client: httpx.Client, customer: Customer
) -> None:
    before = says(gateway, "anthropic", plain({"input_tokens": 17}))
    try:
        counted = client.post("/messages/count_tokens", json=message())
    finally:
        gateway.upstreams["anthropic"].say = before
    assert counted.json() == {"input_tokens": 17}
    assert "x-modelgates-token-count" not in counted.headers
    path, sent = gateway.upstreams["anthropic"].sent[-1]
    assert path == "/v1/messages/count_tokens"
    assert json.loads(sent).keys() == {"model", "messages"}
    bound = client.post("/messages/count_tokens", json=message(model="openai-chat/large"))
    assert bound.headers["x-modelgates-token-count"] == "upper-bound"
    assert bound.json()["input_tokens"] > 17
    assert recorded(gateway, customer) == []


def test_anthropics_client_lists_and_finds_models(gateway: Gateway, customer: Customer) -> None:
    base_url = gateway.server.api.removesuffix("/v1")
    sdk = anthropic.Anthropic(base_url=base_url, api_key=customer.inference, timeout=DEADLINE_S)
    ids = [model.id for model in sdk.models.list(limit=1)]
    assert ids == ["anthropic/large", "openai-chat/large", "openai-responses/large"]
    assert sdk.models.list(limit=2).has_more
    assert sdk.models.retrieve("anthropic/large").display_name == "anthropic/large"


def test_server_tools_are_left_out_and_named(
    gateway: Gateway, client: httpx.Client, customer: Customer
) -> None:
    tools = [{"type": "web_search"}, {"type": "function", "name": "weather", "parameters": {}}]
    body = {"model": "openai-responses/large", "input": "hello", "tools": tools}
    response = client.post("/responses", json=body)
    assert response.headers["x-modelgates-omitted"] == "tools.web_search"
    sent = json.loads(gateway.upstreams["openai-responses"].sent[-1][1])
    assert [tool["type"] for tool in sent["tools"]] == ["function"]
    assert sent["store"] is False
    [generation] = recorded(gateway, customer)
    assert generation.omitted == ("tools.web_search",)
    demanded = client.post("/responses", json={**body, "tool_choice": {"type": "web_search"}})
    assert demanded.status_code == 400
