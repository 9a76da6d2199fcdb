import json
from typing import Any

import msgspec
import pytest
from hypothesis import given

from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.json_object import JsonObject
from modelgates_server.dialects.openai_responses.reasoning_items import pack
from modelgates_server.dialects.openai_responses.request import parse_request
from modelgates_server.dialects.openai_responses.upstream import upstream_body
from tests.core import calls
from tests.dialects.openai_responses import responses
from tests.dialects.openai_responses.responses import sent, sent_of

GATEWAY_SETS = {"model", "store", "include", "tools", "tool_choice"}
ENCRYPTED = "reasoning.encrypted_content"
USER = {"role": "user", "content": "x"}

_members = msgspec.json.Decoder(JsonObject)


def members_of(body: bytes) -> dict[str, bytes]:
    return {name: bytes(raw) for name, raw in _members.decode(body).items()}


@given(responses.written_bodies())
def test_unread_parameters_are_forwarded_byte_for_byte(body: bytes) -> None:
    read = parse_request(Api.RESPONSES, body)
    before, after = (
        members_of(body),
        members_of(upstream_body(read, calls.endpoint(), cap_tokens=None)),
    )
    assert {n: raw for n, raw in after.items() if n not in GATEWAY_SETS} == {
        n: raw for n, raw in before.items() if n not in GATEWAY_SETS
    }
    if not read.omitted:
        assert before.get("tools") == after.get("tools")


@pytest.mark.parametrize("name", responses.CLIENTS)
def test_request_of_a_known_client_loses_nothing_but_tools_without_a_price(name: str) -> None:
    given = responses.golden("clients", name)
    read = parse_request(Api.RESPONSES, json.dumps(given).encode())
    written = sent_of(read)
    kept = {n: v for n, v in given.items() if n not in (*GATEWAY_SETS, "input")}
    assert {n: written[n] for n in kept} == kept
    assert written["store"] is False
    assert len(written.get("tools", ())) >= len(given.get("tools", ())) - 1


def test_model_cap_and_service_tier_are_those_of_the_gateway() -> None:
    read = responses.request(max_output_tokens=500, service_tier="auto")
    body = upstream_body(read, calls.endpoint(), cap_tokens=100, service_tier="default")
    written = json.loads(body)
    assert written["model"] == calls.UPSTREAM_MODEL
    assert (written["max_output_tokens"], written["service_tier"]) == (100, "default")
    assert body.count(b"max_output_tokens") == 1


@pytest.mark.parametrize("store", [None, False, True])
def test_nothing_is_stored_at_the_provider(store: Any) -> None:
    assert sent(store=store)["store"] is False


def test_encrypted_reasoning_is_requested_where_reasoning_is_on() -> None:
    assert sent(reasoning={"effort": "low"})["include"] == [ENCRYPTED]
    assert sent(reasoning={"effort": "low"}, include=["a"])["include"] == ["a", ENCRYPTED]
    assert sent(reasoning={}, include=[ENCRYPTED])["include"] == [ENCRYPTED]
    for off in (None, {}, {"effort": "none"}):
        assert "include" not in sent(reasoning=off)


def test_reasoning_of_the_provider_itself_returns_to_it() -> None:
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"}
    raw = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "x"}]}
    assert sent(input=[USER, item, raw])["input"] == [USER, item, raw]


@pytest.mark.parametrize(
    "content", [pack([{"type": "reasoning.text", "text": "x", "signature": "s"}]), None, ""]
)
def test_reasoning_that_no_provider_can_read_is_left_out(content: str | None) -> None:
    item = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "x"}]}
    items = [USER, {**item, "content": None, "encrypted_content": content}, USER]
    assert sent(input=items)["input"] == [USER, USER]


def test_escaped_type_of_reasoning_is_recognized() -> None:
    body = (
        b'{"model":"a","input":[{"role":"user","content":"x"},'
        b'{"type":"reasoning","encrypted_content":"\\u006dodelgates.reasoning.1.AAAA"}]}'
    )
    assert len(sent_of(parse_request(Api.RESPONSES, body))["input"]) == 1


def test_parameters_for_the_gateway_are_not_forwarded() -> None:
    members = {"models": ["a/b"], "provider": {"zdr": False}, "session_id": "s", "trace": {}}
    assert set(sent(**members)) == {"model", "input", "store"}


def test_privacy_reaches_openrouter() -> None:
    endpoint = msgspec.structs.replace(calls.endpoint(), profile="openrouter")
    provider = {"zdr": True, "data_collection": "deny", "sort": "price"}
    read = responses.request(provider=provider, session_id="s", models=["a/b"])
    written = json.loads(upstream_body(read, endpoint, cap_tokens=None))
    assert written["provider"] == {"zdr": True, "data_collection": "deny"}
    assert written["session_id"] == "s"
    assert "models" not in written
