"""The error examples of calls are, to the letter, the bodies that the server sends."""

import json
from typing import Any

import pytest

from modelgates_server.core import errors as e
from modelgates_server.core.errors import InsufficientCredits, Shortfall
from modelgates_server.core.times import parse_instant
from modelgates_server.dialects.dialect import ErrorReport
from modelgates_server.dialects.openai_chat.dialect import OPENAI_CHAT
from modelgates_server.dialects.openai_chat.errors import provider_error_of_body
from modelgates_server.web.error_responses import ErrorResponses
from modelgates_server.web.errors import status_of
from tests.support import error_classes
from tests.web.document import operations_of, our_document, referenced, validator

DOCUMENT = our_document()
RESPONSES: dict[str, Any] = DOCUMENT["components"]["responses"]
ACCOUNT_ID = "user_7VofcMnIFxmsr8vrnEnVHP"


def example(response: str, name: str) -> Any:
    return RESPONSES[response]["content"]["application/json"]["examples"][name]["value"]


def message(response: str, name: str) -> str:
    text: str = example(response, name)["error"]["message"]
    return text


def raw(response: str, name: str) -> bytes:
    text: str = example(response, name)["error"]["metadata"]["raw"]
    return text.encode()


def shortfall(available_pico: int, affordable_tokens: int, held_pico: int = 0) -> Shortfall:
    return Shortfall(9_900_000_000, available_pico, held_pico, 16_000, affordable_tokens)


MAX_COST = e.MaxCostExceeded(
    message("PaymentRequired", "max_cost"), shortfall(6_000_000_000, 9_500)
)
KEY_LIMIT = e.KeyLimitExceeded(
    "Key limit exceeded (monthly limit).",
    asked_pico=9_900_000_000,
    limit_pico=5_000_000_000_000,
    spent_pico=4_998_700_000_000,
    held_pico=0,
    resets_at_ms=parse_instant("2026-12-01T00:00:00Z"),
)


@pytest.mark.parametrize(
    ("response", "name", "error"),
    [
        (
            "PaymentRequired",
            "fewer_tokens",
            InsufficientCredits.fewer_tokens(shortfall(6_300_000_000, 10_000)),
        ),
        (
            "PaymentRequired",
            "shorter_prompt",
            InsufficientCredits.shorter_prompt(
                Shortfall(9_619_800_000, 1_044_600_000, 0, 1, 0), 64_128, 6_964
            ),
        ),
        ("PaymentRequired", "empty", InsufficientCredits.empty(shortfall(0, 0), purchased=True)),
        (
            "PaymentRequired",
            "never_purchased",
            InsufficientCredits.empty(shortfall(0, 0), purchased=False),
        ),
        (
            "PaymentRequired",
            "in_flight",
            InsufficientCredits.in_flight(shortfall(4_500_000_000, 7_000, 250_000_000_000), 2),
        ),
        ("PaymentRequired", "max_cost", MAX_COST),
        ("InferenceForbidden", "key_limit", KEY_LIMIT),
        ("Conflict", "deleted", e.CreatedKeyDeleted()),
        (
            "InferenceBadRequest",
            "provider",
            provider_error_of_body("openai", 400, raw("InferenceBadRequest", "provider")),
        ),
        (
            "TooManyRequests",
            "limited",
            provider_error_of_body("openai", 429, raw("TooManyRequests", "limited"), 12),
        ),
        (
            "BadGateway",
            "failed",
            provider_error_of_body("openai", 500, raw("BadGateway", "failed")),
        ),
        (
            "InferenceUnavailable",
            "overloaded",
            provider_error_of_body("openai", 503, raw("InferenceUnavailable", "overloaded")),
        ),
        (
            "GatewayTimeout",
            "late",
            e.ProviderTimedOut("The provider `openai` did not respond in time.", provider="openai"),
        ),
    ],
)
def test_example_is_the_response_body_of_its_error(
    response: str, name: str, error: Exception
) -> None:
    status, text, headers, metadata = ErrorResponses().describe(error)
    body = json.loads(OPENAI_CHAT.error_body(ErrorReport(status, text, metadata), ACCOUNT_ID))
    assert body == example(response, name)
    described = {header.lower() for header in RESPONSES[response]["headers"]}
    assert {header.decode() for header, _ in headers} <= described


def test_every_reason_of_a_402_has_a_schema_and_an_example() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    examples = RESPONSES["PaymentRequired"]["content"]["application/json"]["examples"]
    metadata = [one["value"]["error"]["metadata"] for one in examples.values()]
    by_reason = schemas["ShortfallMetadata"]["discriminator"]["mapping"]
    assert {one["reason"] for one in metadata} == set(by_reason)
    for one in metadata:
        schema = schemas[by_reason[one["reason"]].rpartition("/")[2]]
        source = one["limit_source"]
        sources = schema["properties"]["limit_source"]["enum"]
        assert sources == [source, source.replace("modelgates", "openrouter", 1)]


def test_openrouter_limit_source_fits_the_description() -> None:
    for response, error in (("PaymentRequired", MAX_COST), ("InferenceForbidden", KEY_LIMIT)):
        status, text, _, metadata = ErrorResponses("openrouter").describe(error)
        body = json.loads(OPENAI_CHAT.error_body(ErrorReport(status, text, metadata), ACCOUNT_ID))
        assert body["error"]["metadata"]["limit_source"].startswith("openrouter_")
        content = referenced(DOCUMENT, RESPONSES[response])["content"]["application/json"]
        validator(DOCUMENT, content["schema"]).validate(body)


OPERATOR_ONLY = {
    *("account_not_found", "account_exists", "account_not_empty", "total_too_large"),
    *("hold_not_found", "hold_ended", "hold_not_expired"),
}
BASES = {"unauthenticated", "not_found", "conflict", "provider_error"}
"""Base classes: only their subclasses are raised."""


def test_every_client_error_has_an_example_with_its_status() -> None:
    examples = [
        referenced(DOCUMENT, example)
        for _, _, operation in operations_of(DOCUMENT)
        for response in operation["responses"].values()
        for content in referenced(DOCUMENT, response)["content"].values()
        for example in content.get("examples", {}).values()
    ]
    described: dict[str, set[int]] = {}
    for one in examples:
        status = one["value"]["error"].get("code") if "x-error-code" in one else None
        if isinstance(status, int):  # other dialects than OpenRouter's have words
            described.setdefault(one["x-error-code"], set()).add(status)
    # An overloaded provider is a 503.
    assert described["provider_unavailable"] == {502, 503}
    described["provider_unavailable"] -= {503}
    assert described == {
        error.code: {status_of(error)}
        for error in error_classes()
        if error.code not in OPERATOR_ONLY | BASES
    }
