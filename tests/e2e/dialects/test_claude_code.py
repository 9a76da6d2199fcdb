"""Claude Code's requests over each API of a provider, through the running server."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from modelgates_server.core.pricing.prices import dollars
from tests.deadlines import http_client
from tests.e2e.calls import Session
from tests.e2e.dialects.claude_code import (
    ATTRIBUTION,
    HEADERS,
    count_request,
    main_request,
    quota_request,
    results,
    small_request,
)
from tests.e2e.dialects.conftest import Gateway, cost_of
from tests.e2e.dialects.speakers import SPEAKERS
from tests.e2e.dialects.turns import Counts
from tests.server import Customer, open_customer_now
from tests.upstream import plain

EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
BETA = "?beta=true"


@pytest.fixture
def customer(gateway: Gateway) -> Customer:
    return open_customer_now(gateway.server.database_path)


@pytest.fixture
def client(gateway: Gateway, customer: Customer) -> Iterator[httpx.Client]:
    headers = {**HEADERS, "Authorization": f"Bearer {customer.inference}"}
    with http_client(base_url=gateway.server.api, headers=headers) as opened:
        yield opened


def blocks_of(response: httpx.Response) -> list[dict[str, Any]]:
    """The content of a streamed message, whose events have the official types."""
    assert response.status_code == 200, response.text
    blocks: list[dict[str, Any]] = []
    events = [json.loads(line[6:]) for line in response.text.splitlines() if line[:6] == "data: "]
    for event in events:
        if event["type"] != "ping":
            EVENT.validate_python(event)
        if event["type"] == "content_block_start":
            blocks.append({**event["content_block"], "json": ""})
        elif event["type"] == "content_block_delta":
            delta = event["delta"]
            blocks[-1]["text"] = blocks[-1].get("text", "") + delta.get("text", "")
            blocks[-1]["json"] += delta.get("partial_json", "")
    assert [event["type"] for event in events[-2:]] == ["message_delta", "message_stop"]
    return [whole(block) for block in blocks]


def whole(block: dict[str, Any]) -> dict[str, Any]:
    """A block as Claude Code sends it back."""
    if block["type"] != "tool_use":
        return {"type": "text", "text": block["text"]}
    arguments = json.loads(block["json"] or "{}")
    return {"type": "tool_use", "id": block["id"], "name": block["name"], "input": arguments}


@pytest.mark.parametrize("dialect", SPEAKERS)
def test_task_with_parallel_tools_is_done(
    dialect: str, gateway: Gateway, client: httpx.Client, customer: Customer
) -> None:
    model = f"{dialect}/large"
    checked = client.post(f"/messages{BETA}", json=quota_request(model))
    assert checked.status_code == 200, checked.text
    Message.model_validate(checked.json())
    titled = blocks_of(client.post(f"/messages{BETA}", json=small_request(model)))
    assert [block["text"] for block in titled] == ["Hello, wörld."]
    calls = blocks_of(client.post(f"/messages{BETA}", json=main_request(model)))
    assert [call["input"] for call in calls] == [{"city": "Bern"}, {"city": "Oslo"}]
    asked = {"role": "assistant", "content": calls}
    noted = {"role": "system", "content": "The user changed the mode."}
    turns = (asked, results(calls), noted)
    told = blocks_of(client.post(f"/messages{BETA}", json=main_request(model, *turns)))
    error = "" if dialect == "anthropic" else "Error: "  # the others have no mark for it
    assert [block["text"] for block in told] == [f"sunny in Bern; {error}sunny in Oslo"]
    sent = gateway.upstreams[dialect].sent[-1][1].decode()
    assert (ATTRIBUTION in sent) == (dialect == "anthropic")
    with Session(gateway.server, customer) as session:
        costs = [dollars(generation.cost_pico) for generation in session.check_ledger()]
    assert costs == [cost_of(Counts())] * 4


def test_betas_and_their_fields_reach_anthropic_as_they_came(
    gateway: Gateway, client: httpx.Client
) -> None:
    request = main_request("anthropic/large")
    assert client.post(f"/messages{BETA}", json=request).status_code == 200
    upstream = gateway.upstreams["anthropic"]
    sent = json.loads(upstream.sent[-1][1])
    assert sent == {**request, "model": "large"}
    assert upstream.heads[-1]["anthropic-beta"] == HEADERS["anthropic-beta"]


@pytest.mark.parametrize("dialect", SPEAKERS)
def test_tokens_of_a_conversation_are_counted(
    dialect: str, gateway: Gateway, client: httpx.Client, customer: Customer
) -> None:
    upstream = gateway.upstreams[dialect]
    before, upstream.say = upstream.say, lambda _: plain({"input_tokens": 17})
    try:
        path = f"/messages/count_tokens{BETA}"
        response = client.post(path, json=count_request(f"{dialect}/large"))
    finally:
        upstream.say = before
    assert response.status_code == 200, response.text
    counted = response.json()["input_tokens"]
    assert counted == 17 if dialect == "anthropic" else counted > 17
    with Session(gateway.server, customer) as session:
        assert session.check_ledger() == []


def test_probes_at_the_start_are_answered(gateway: Gateway, client: httpx.Client) -> None:
    base = gateway.server.api.removesuffix("/v1")
    for probe in (f"{base}/", base):
        response = client.head(probe)
        assert response.status_code in (200, 404), response.status_code
        assert response.content == b""
    listed = client.get("/models", params={"limit": 1000}).json()
    assert [model["type"] for model in listed["data"]] == ["model"] * 3
    assert listed["has_more"] is False


def test_unknown_model_and_want_of_credits_have_the_errors_it_knows(
    gateway: Gateway, client: httpx.Client
) -> None:
    unknown = client.post(f"/messages{BETA}", json=main_request("claude-haiku-9-9"))
    assert unknown.status_code == 400
    assert unknown.json()["error"]["type"] == "invalid_request_error"
    poor = open_customer_now(gateway.server.database_path, credits_pico=0)
    headers = {"Authorization": f"Bearer {poor.inference}"}
    request = main_request("anthropic/large")
    rejected = client.post(f"/messages{BETA}", json=request, headers=headers)
    assert rejected.status_code == 402
    assert rejected.json()["error"]["type"] == "billing_error"
    assert rejected.headers["x-should-retry"] == "false"
