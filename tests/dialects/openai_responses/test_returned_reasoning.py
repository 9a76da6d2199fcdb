"""The forms in which the reasoning of earlier turns reaches each provider."""

import json
from typing import Any

import msgspec
import pytest

from modelgates_server.core.pricing.catalog import Model
from modelgates_server.dialects.openai_responses.reasoning_items import pack
from modelgates_server.dialects.openai_responses.to_chat import to_chat
from tests.core import calls
from tests.dialects.openai_responses.responses import CALL, OUTPUT, request

SIGNED = {"type": "reasoning.text", "text": "Signed.", "signature": "s"}
REDACTED = {"type": "reasoning.encrypted", "data": "d"}
PLAIN = {"type": "reasoning.text", "text": "Plain."}
OWN: dict[str, Any] = {
    "type": "reasoning",
    "id": "rs_gen-1_0",
    "summary": [{"type": "summary_text", "text": "Plain."}],
}
PACKED = {**OWN, "summary": [], "encrypted_content": pack([SIGNED, REDACTED])}
FOREIGN = {**OWN, "id": "rs_0123"}


def model(profile: str = "compatible", *dialects: str) -> Model:
    changes = {"profile": profile, "dialects": dialects or ("openai-chat",)}
    return calls.model(endpoint=msgspec.structs.replace(calls.endpoint(), **changes))


def returned(item: dict[str, Any], served: Model | None) -> tuple[dict[str, Any], bool]:
    """The reasoning in the message of the assistant, and whether some was omitted."""
    translated = to_chat(request(input=[item, CALL, OUTPUT]), served)
    message = json.loads(translated.body)["messages"][0]
    fields = {name: each for name, each in message.items() if name.startswith("reasoning")}
    return fields, translated.omitted == ("input.reasoning",)


@pytest.mark.parametrize("profile", ["deepseek", "moonshot", "zai"])
def test_plain_reasoning_returns_to_providers_that_demand_it(profile: str) -> None:
    """GitNexus#43, pi#3636, 9router#355: calls of tools that DeepSeek rejected without it."""
    assert returned(OWN, model(profile)) == ({"reasoning_content": "Plain."}, False)
    assert returned({**OWN, "encrypted_content": pack([PLAIN])}, model(profile)) == (
        {"reasoning_content": "Plain."},
        False,
    )
    assert returned(PACKED, model(profile)) == ({}, True)


@pytest.mark.parametrize("profile", ["groq", "cerebras", "mistral", "openai", "compatible"])
def test_no_reasoning_reaches_providers_that_may_reject_the_field(profile: str) -> None:
    """opencode#33413, jan#8136: fields that Cerebras and Groq rejected."""
    for item in (OWN, PACKED):
        assert returned(item, model(profile)) == ({}, True)


def test_all_details_return_to_openrouter() -> None:
    served = model("openrouter")
    details = {"reasoning": "Signed.", "reasoning_details": [SIGNED, REDACTED]}
    assert returned(PACKED, served) == (details, False)
    assert returned(OWN, served) == (
        {"reasoning": "Plain.", "reasoning_details": [PLAIN]},
        False,
    )


@pytest.mark.parametrize("served", [None, model("anthropic", "anthropic", "openai-chat")])
def test_signed_reasoning_is_kept_for_another_dialect(served: Model | None) -> None:
    details = {"reasoning": "Signed.", "reasoning_details": [SIGNED, REDACTED]}
    assert returned(PACKED, served) == (details, False)
    assert returned(OWN, served) == ({}, True)


@pytest.mark.parametrize("profile", ["deepseek", "openrouter", "groq"])
def test_reasoning_of_another_party_is_never_returned(profile: str) -> None:
    """codex#9045: encrypted content that reached another deployment."""
    for item in (FOREIGN, {**OWN, "encrypted_content": "gAAAA"}):
        assert returned(item, model(profile)) == ({}, True)
