import json
from typing import Any

from hypothesis import given, settings

from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.anthropic.from_chat import from_chat
from modelgates_server.dialects.anthropic.request import parse_request
from modelgates_server.dialects.anthropic.rules import LOSSES
from modelgates_server.dialects.anthropic.to_chat import to_chat
from modelgates_server.dialects.openai_chat.request import parse_request as parse_chat
from tests.dialects.anthropic import messages
from tests.dialects.anthropic.canonical import LOST, canonical
from tests.dialects.anthropic.official import check_messages

DETAILS = messages.served_by("other", dialects=("openai-responses",))
CLAUDE = messages.served_by("claude-opus-4-6")


def there_and_back(body: dict[str, Any]) -> dict[str, Any]:
    chat = to_chat(parse_request(Api.MESSAGES, json.dumps(body).encode()), DETAILS)
    back = from_chat(parse_chat(Api.CHAT, chat.body), CLAUDE)
    read: dict[str, Any] = json.loads(back.body)
    return read


@given(messages.bodies())
def test_request_comes_back_except_for_what_the_table_of_losses_names(
    body: dict[str, Any],
) -> None:
    back = there_and_back(body)
    check_messages(back)
    expected = canonical(body)
    # Effort alone turns thinking on in chat completions, and Claude samples only without it.
    if "output_config" in body:
        expected["thinking"] = {"type": "adaptive", "display": "summarized"}
        expected.pop("temperature", None)
    if expected.get("service_tier") == "auto":
        del expected["service_tier"]
    assert canonical(back) == expected


@settings(max_examples=40)
@given(messages.bodies())
def test_second_way_loses_nothing(body: dict[str, Any]) -> None:
    once = there_and_back(body)
    assert there_and_back(once) == once


def test_every_loss_has_a_row_and_a_reduction() -> None:
    assert {rule.member for rule in LOSSES} == LOST.keys()
