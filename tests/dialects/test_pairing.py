"""Which dialect a request is sent in, and what of it the hold is sized on."""

import json
from typing import Any

import pytest

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.pricing.catalog import Model
from modelgates_server.core.redaction import NO_SECRETS
from modelgates_server.dialects.event_stream import EventStreamResponse
from modelgates_server.dialects.known import DIALECTS
from modelgates_server.dialects.openai_chat.stream import OpenAiChatResponse
from modelgates_server.dialects.pairing import Pairing, pairing_of
from modelgates_server.dialects.translation import TranslatedResponse
from tests.core import calls

HI = [{"role": "user", "content": "hi"}]
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
BODIES: dict[str, dict[str, Any]] = {
    "openai-chat": {"messages": HI, "max_tokens": 9},
    "openai-responses": {"input": "hi", "max_output_tokens": 9},
    "anthropic": {"messages": HI, "max_tokens": 9},
}


def model(*dialects: str, upstream_model: str = "claude-opus-4-6") -> Model:
    own = calls.model().endpoint
    endpoint = calls.replace(own, dialects=dialects, upstream_model=upstream_model)
    return calls.model(endpoint=endpoint, input_modalities=("text", "image"))


def paired(client: str, to: Model, **members: Any) -> Pairing:
    dialect = DIALECTS[client]
    body = json.dumps({"model": to.id, **BODIES[client], **members}).encode()
    return pairing_of(dialect, dialect.parse_request(dialect.api, body), to)


@pytest.mark.parametrize("client", DIALECTS)
@pytest.mark.parametrize("upstream", DIALECTS)
def test_request_is_translated_only_when_the_dialects_differ(client: str, upstream: str) -> None:
    to = model(upstream)
    pairing = paired(client, to)
    assert (pairing.client.name, pairing.upstream.name) == (client, upstream)
    assert pairing.is_translated == (client != upstream)
    assert pairing.outgoing.api == DIALECTS[upstream].api
    assert pairing.outgoing.cap_tokens == 9
    adapter = pairing.response(
        calls.held(calls.priced(calls.flat(), pairing.outgoing)),
        to,
        text_max_bytes=1000,
        media_max_bytes=1000,
        redactor=NO_SECRETS,
    )
    if client != upstream:
        assert isinstance(adapter, TranslatedResponse)
    else:
        assert isinstance(adapter, OpenAiChatResponse | EventStreamResponse)


def test_own_dialect_of_the_client_is_preferred_to_the_first_of_the_endpoint() -> None:
    assert paired("anthropic", model("openai-chat", "anthropic")).upstream.name == "anthropic"
    assert paired("openai-responses", model("anthropic", "openai-chat")).upstream.name == (
        "anthropic"
    )


def test_omitted_parts_of_all_steps_are_named_once() -> None:
    tools = [{"type": "web_search"}]
    pairing = paired("openai-responses", model("anthropic"), tools=tools, truncation="auto")
    assert "tools.web_search" in pairing.outgoing.omitted
    assert "truncation" in pairing.outgoing.omitted
    assert len(set(pairing.outgoing.omitted)) == len(pairing.outgoing.omitted)


def test_part_without_a_counterpart_is_rejected_by_name() -> None:
    with pytest.raises(InvalidInput, match="`n`"):
        paired("openai-chat", model("anthropic"), n=2)


@pytest.mark.parametrize(("name", "is_known"), [("claude-opus-4-6", True), ("glm-5", False)])
def test_images_are_sized_by_anthropics_rules_for_its_own_models_alone(
    name: str, is_known: bool
) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "what is it?"}]
    messages = [{"role": "user", "content": content}]
    pairing = paired("anthropic", model("anthropic", upstream_model=name), messages=messages)
    assert (pairing.outgoing.media_tokens_max is not None) == is_known
