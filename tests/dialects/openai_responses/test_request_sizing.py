"""Checks the bound of a request's tokens with a model that is independent of how it is computed.

The model reads the body that is sent. Every byte of every text and of every name is a token; each
item has a template; tools are inserted as JSON in which `<` and everything beyond ASCII is escaped.
"""

import json
from typing import Any

import pytest
from hypothesis import given

from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.openai_chat.request import parse_request as parse_chat
from modelgates_server.dialects.openai_responses.request import parse_request
from modelgates_server.dialects.openai_responses.to_chat import to_chat
from tests.dialects.openai_responses import responses
from tests.overrun.model import Upstream

HIDDEN_TOKENS, TEMPLATE_TOKENS, TOOLS_TOKENS, IMAGE_TOKENS = 750, 14, 800, 900
CONTEXT = 10**9
MEDIA = ("input_image", "input_file", "input_audio")
ESCAPED = ("function_call", "custom_tool_call", "tool_search_call", "additional_tools")


def size(value: Any) -> int:
    """The bytes of all names and values."""
    if isinstance(value, dict):
        return sum(size(name) + size(each) for name, each in value.items())
    if isinstance(value, list):
        return sum(map(size, value))
    return len(value.encode()) if isinstance(value, str) else len(json.dumps(value))


def escaped(value: Any) -> int:
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return len(text) + 5 * sum(text.count(sign) for sign in "<>&'")


def tokens_of(part: Any) -> int:
    if isinstance(part, dict) and part.get("type") in MEDIA:
        return CONTEXT if part["type"] == "input_file" else IMAGE_TOKENS
    return size(part)


def reads(body: dict[str, Any]) -> int:
    total = HIDDEN_TOKENS + size(body.get("instructions") or "")
    given = body["input"]
    for item in [{"content": given}] if isinstance(given, str) else given:
        total += TEMPLATE_TOKENS
        if item.get("type") in ESCAPED:
            total += escaped(item)
            continue
        for value in item.values():
            total += sum(map(tokens_of, value)) if isinstance(value, list) else size(value)
    if tools := body.get("tools"):
        total += TOOLS_TOKENS + escaped(tools)
    return min(total, CONTEXT)


@given(responses.written_bodies())
def test_hold_covers_what_a_provider_of_the_same_dialect_reads(body: bytes) -> None:
    read = parse_request(Api.RESPONSES, body)
    bound = read.input_tokens(context_tokens=CONTEXT, media_tokens=IMAGE_TOKENS)
    assert reads(responses.sent_of(read)) <= bound


@given(responses.written_bodies())
def test_hold_covers_what_a_provider_of_chat_completions_reads(body: bytes) -> None:
    translated = to_chat(parse_request(Api.RESPONSES, body)).body
    upstream = Upstream(
        cap_parameter="max_tokens",
        context_tokens=CONTEXT,
        output_tokens=1,
        media_tokens=IMAGE_TOKENS,
        hidden_tokens=HIDDEN_TOKENS,
        template_tokens=TEMPLATE_TOKENS,
        tools_tokens=TOOLS_TOKENS,
        escapes_tools=True,
    )
    chat = parse_chat(Api.CHAT, translated)
    bound = chat.input_tokens(context_tokens=CONTEXT, media_tokens=IMAGE_TOKENS)
    if not chat.has_files:
        assert sum(map(sum, upstream.reads(Api.CHAT, json.loads(translated)))) <= bound


@pytest.mark.parametrize("text", ["<" * 5000, "é" * 4000, "漢" * 3000, "😀" * 999])
def test_hold_covers_tools_in_items_and_calls_that_are_escaped(text: str) -> None:
    tool = responses.function(description=text)
    for item in (
        {"type": "additional_tools", "role": "developer", "tools": [tool]},
        {"type": "custom_tool_call", "call_id": "c", "name": "f", "input": text},
        {**responses.CALL, "arguments": text},
    ):
        read = responses.request(input=[item])
        bound = read.input_tokens(context_tokens=CONTEXT, media_tokens=None)
        assert reads(responses.sent_of(read)) <= bound


def test_hold_covers_many_short_items() -> None:
    read = responses.request(input=[{"role": "user", "content": ""}] * 1000)
    assert reads(responses.sent_of(read)) <= read.input_tokens(
        context_tokens=CONTEXT, media_tokens=None
    )
