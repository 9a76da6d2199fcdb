import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings

from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.anthropic.request import parse_request
from modelgates_server.dialects.anthropic.upstream import upstream_body, upstream_headers
from modelgates_server.dialects.json_object import JsonObject
from tests.dialects.anthropic import messages

raw_members = msgspec.json.Decoder(JsonObject)


def sent(
    cap_tokens: int | None = None, service_tier: str | None = None, **members: Any
) -> dict[str, Any]:
    endpoint = messages.served_by("claude-x").endpoint
    request = messages.request(**members)
    body = upstream_body(request, endpoint, cap_tokens=cap_tokens, service_tier=service_tier)
    read: dict[str, Any] = json.loads(body)
    return read


@settings(max_examples=50)
@given(messages.bodies())
def test_everything_but_the_model_is_sent_byte_for_byte(body: dict[str, Any]) -> None:
    given_body = json.dumps(body, indent=1).encode()
    request = parse_request(Api.MESSAGES, given_body)
    endpoint = messages.served_by("claude-x").endpoint
    after = upstream_body(request, endpoint, cap_tokens=None, service_tier=None)
    expected = {name: bytes(raw) for name, raw in raw_members.decode(given_body).items()}
    expected["model"] = b'"claude-x"'
    assert {name: bytes(raw) for name, raw in raw_members.decode(after).items()} == expected


def test_parameters_of_the_gateway_are_not_sent() -> None:
    gateway: Any = {"models": ["a"], "provider": {}, "session_id": "s", "trace": {}, "usage": {}}
    assert not gateway.keys() & sent(**gateway, plugins=[], route="fallback").keys()


def test_cap_replaces_the_clients_limit() -> None:
    assert sent(max_tokens=64)["max_tokens"] == 64
    assert sent(7, max_tokens=64)["max_tokens"] == 7


@pytest.mark.parametrize("word", ["default", "standard", "standard_only", "on_demand"])
def test_standard_tier_is_sent_in_anthropics_word(word: str) -> None:
    assert sent(service_tier=word)["service_tier"] == "standard_only"


def test_other_tier_is_sent_as_it_is() -> None:
    assert sent(service_tier="auto")["service_tier"] == "auto"
    assert sent(metadata=None)["model"] == "claude-x"


def test_budget_is_lowered_below_a_limit_that_the_gateway_chose() -> None:
    thinking = {"type": "enabled", "budget_tokens": 9000, "display": "omitted"}
    assert sent(5000, thinking=thinking)["thinking"] == {**thinking, "budget_tokens": 4999}
    assert sent(9001, thinking=thinking)["thinking"] == thinking
    assert sent(1024, thinking=thinking)["thinking"] == {"type": "disabled"}
    assert sent(None, thinking=thinking, max_tokens=5)["thinking"] == thinking


def test_adaptive_thinking_is_not_touched() -> None:
    assert sent(5, thinking={"type": "adaptive"})["thinking"] == {"type": "adaptive"}


def test_headers_are_the_clients_version_and_betas() -> None:
    headers = {b"anthropic-version": b"2026-10-21", b"anthropic-beta": b"effort-2025-11-24"}
    assert upstream_headers(messages.request(headers)) == {
        "anthropic-version": "2026-10-21",
        "anthropic-beta": "effort-2025-11-24",
    }


def test_thinking_of_a_provider_that_signs_nothing_is_left_out() -> None:
    unsigned = {"type": "thinking", "thinking": "a", "signature": ""}
    signed = b'{"type":"thinking", "thinking":"b","signature":"s"}'
    body = (
        b'{"model":"a","messages":[{"role":"user","content":"\\"signature\\":\\"\\""},'
        b'{"role":"assistant","content":[%b, %b]}, {"role":"assistant","content":[%b]},'
        b'{"role":"user", "content":[{"type":"text","text":"x","signature":""}]}]}'
    ) % (json.dumps(unsigned).encode(), signed, json.dumps(unsigned).encode())
    request = parse_request(Api.MESSAGES, body)
    endpoint = messages.served_by().endpoint
    after = upstream_body(request, endpoint, cap_tokens=None, service_tier=None)
    assert signed in after
    assert [len(each["content"]) for each in json.loads(after)["messages"]] == [14, 1, 1]
    assert b'{"role":"user", "content":' in after
    other = messages.served_by("glm-5").endpoint
    assert bytes(request.wire["messages"]) in upstream_body(
        request, other, cap_tokens=None, service_tier=None
    )
