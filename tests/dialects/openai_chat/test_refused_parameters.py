"""Errors of real providers about a parameter, as their users reported them."""

import json
from typing import Any

import pytest
from msgspec import Raw

from modelgates_server.dialects.json_object import JsonObject
from modelgates_server.dialects.openai_chat.refused_parameters import refused_parameter

SENT = {
    "model": "m",
    "stream_options": {"include_usage": True},
    "max_tokens": 5,
    "reasoning_effort": "high",
    "service_tier": "default",
}
BODY = json.dumps(SENT).encode()


def found(error: Any, status: int = 400, wire: JsonObject | None = None) -> str | None:
    text = error if isinstance(error, str) else json.dumps(error)
    return refused_parameter(wire or {}, BODY, status, text.encode())


def openai(message: str, **members: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", **members}}


EXTRA = {
    "type": "extra_forbidden",
    "loc": ["body", "stream_options"],
    "msg": "Extra inputs are not permitted",
    "input": {"include_usage": True},
}
OLD_EXTRA = {
    "loc": ["body", "stream_options"],
    "msg": "extra fields not permitted",
    "type": "value_error.extra",
}


@pytest.mark.parametrize(
    ("error", "name"),
    [
        # OpenAI and Azure.
        (openai("Unrecognized request argument supplied: stream_options"), "stream_options"),
        (openai("Unrecognized request arguments supplied: stream_options"), "stream_options"),
        # https://github.com/QuantumNous/new-api/issues/418
        (openai("Unknown parameter: 'stream_options'.", param="stream_options"), "stream_options"),
        (openai("Unknown parameter: 'stream_options.include_usage'."), "stream_options"),
        # https://github.com/anomalyco/opencode/issues/37964
        (
            openai(
                "Unsupported parameter: 'max_tokens' is not supported with this model. "
                "Use 'max_completion_tokens' instead."
            ),
            "max_tokens",
        ),
        (openai("No.", param="max_tokens", code="unsupported_parameter"), "max_tokens"),
        # Mistral: https://github.com/mistralai/platform-docs-public/issues/7
        ({"object": "error", "message": {"detail": [EXTRA]}}, "stream_options"),
        ({"object": "error", "message": json.dumps({"detail": [EXTRA]})}, "stream_options"),
        # FastAPI; https://github.com/earendil-works/pi/pull/596
        ({"detail": [EXTRA]}, "stream_options"),
        ({"detail": [OLD_EXTRA]}, "stream_options"),
        # vLLM: https://github.com/gpustack/gpustack/issues/429
        (
            openai(
                "[{'type': 'extra_forbidden', 'loc': ('body', 'stream_options'), 'msg': 'Extra "
                "inputs are not permitted', 'input': {'include_usage': True}}]"
            ),
            "stream_options",
        ),
        # Anthropic.
        (openai("stream_options: Extra inputs are not permitted"), "stream_options"),
        # Groq: https://github.com/CherryHQ/cherry-studio/issues/1099
        (
            openai("property 'reasoning_effort' is unsupported, did you mean 'reasoning_format'?"),
            "reasoning_effort",
        ),
        # xAI: https://github.com/NousResearch/hermes-agent/issues/23088
        (
            {"error": "Model grok-4 does not support parameter reasoningEffort."},
            "reasoning_effort",
        ),
        # Gemini: https://github.com/MinLL/SkyrimNet-GamePlugin/issues/77
        (
            [
                openai(
                    'Invalid JSON payload received. Unknown name "max_tokens": Cannot find field.'
                )
            ],
            "max_tokens",
        ),
        # Cohere.
        (
            {"message": "unknown field: parameter 'stream_options' is not a valid field"},
            "stream_options",
        ),
        # JSON Schema and Python.
        (
            openai("Additional properties are not allowed ('max_tokens' was unexpected)"),
            "max_tokens",
        ),
        (openai("create() got an unexpected keyword argument 'stream_options'"), "stream_options"),
        ("Unknown field: service_tier", "service_tier"),
        ("Unknown parameter: max_tokens.", "max_tokens"),
    ],
)
def test_rejected_parameter_is_found_in_the_words_of_each_provider(error: Any, name: str) -> None:
    assert found(error) == found(error, 422) == name
    assert found(error, 500) is found(error, 413) is None


@pytest.mark.parametrize(
    "error",
    [
        openai(
            "max_tokens is too large: 32768. This model supports at most 16384.", param="max_tokens"
        ),
        openai("Unsupported value: 'reasoning_effort' does not support 'none' with this model."),
        openai("Setting 'max_tokens' and 'max_completion_tokens' at the same time is not allowed."),
        # Parts of messages have parameters of the same names.
        openai("'messages.1' : property 'messages.1.max_tokens' is unsupported"),
        {"detail": [{**EXTRA, "loc": ["body", "messages", 0, "user", "stream_options"]}]},
        {"detail": [{**EXTRA, "type": "missing", "msg": "Field required"}]},
        openai("Unknown parameter: 'temperature'."),
        openai("Unknown parameter: 'max_tokens_to_sample'."),
        "Unknown parameter: max_tokens" + 3000 * ".a",
        3000 * "max_tokens." + 3000 * "\\" + 3000 * "{",
        openai("Invalid value for service_tier: default is not available."),
        openai("No.", param="max_tokens", code="invalid_value"),
        "",
        "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
    ],
)
def test_error_about_something_else_names_no_parameter(error: Any) -> None:
    assert found(error) is None


def test_parameter_that_the_client_sent_is_not_found() -> None:
    error = openai("Unknown parameter: 'max_tokens'.")
    assert found(error) == "max_tokens"
    assert found(error, wire={"max_tokens": Raw(b"5")}) is None
    tier = openai("Unknown parameter: 'service_tier'.")
    assert found(tier, wire={"service_tier": Raw(b'"standard"')}) == "service_tier"
    assert found(tier, wire={"service_tier": Raw(b'"default"')}) is None
