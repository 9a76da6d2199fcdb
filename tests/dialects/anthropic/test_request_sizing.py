import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.metering.sizing import quote_hold
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.anthropic.request import parse_request
from tests.core import calls
from tests.dialects.anthropic import messages
from tests.dialects.anthropic.provider_model import prompt_tokens
from tests.support import T0_MS

CONTEXT = 1_000_000


def held(**members: Any) -> int:
    return messages.request(**members).input_tokens(context_tokens=CONTEXT, media_tokens=None)


def is_context(**members: Any) -> bool:
    return held(**members) == CONTEXT


@given(messages.bodies(), st.booleans())
def test_hold_covers_what_anthropic_counts(body: dict[str, Any], ascii_only: bool) -> None:
    request = parse_request(Api.MESSAGES, json.dumps(body, ensure_ascii=ascii_only).encode())
    counted = request.input_tokens(context_tokens=CONTEXT, media_tokens=None)
    assert prompt_tokens(body) <= counted
    assert request.text_bytes >= 0
    assert not request.has_files
    assert request.media == json.dumps(body).count('"base64"')
    assert 21 * request.media <= (request.media_tokens_max or 0) <= 4804 * request.media


@pytest.mark.parametrize("kind", ["bash_20250124", "text_editor_20250728", "computer_20251124"])
def test_hold_covers_hidden_descriptions_of_tools(kind: str) -> None:
    members = {"tools": [{"type": kind, "name": "x"}] * 4}
    body = json.loads(messages.body_of(**members))
    assert prompt_tokens(body) <= held(**members)


def test_picture_is_held_by_its_size_and_not_by_its_bytes() -> None:
    small = messages.image(messages.png(28, 28) + bytes(50_000))
    plain = held(messages=[messages.user(messages.text("a"))])
    assert held(messages=[messages.user(messages.text("a"), small)]) < plain + 500


def test_picture_in_a_tool_result_is_counted() -> None:
    turn = messages.user(messages.result("t", [messages.image(messages.png(280, 280))]))
    assert messages.request(messages=[turn]).media_tokens_max == 105 + 20


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}},
        {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
        messages.image(b"no picture"),
        messages.pdf(),
        {"type": "document", "source": {"type": "url", "url": "https://a/b.pdf"}},
        {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
        {"type": "invented"},
        {
            "type": "search_result",
            "source": "a",
            "title": "b",
            "content": [messages.text("c")],
            "citations": {"enabled": True},
        },
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "a. b. c."},
            "citations": {"enabled": True},
        },
    ],
    ids=lambda block: f"{block['type']}-{block.get('source', '')!s:.30}",
)
def test_part_without_a_bound_is_held_as_the_context(block: dict[str, Any]) -> None:
    assert is_context(messages=[messages.user(block)])
    assert is_context(messages=[messages.user(messages.result("t", [block]))])


def test_texts_of_a_document_are_held_by_their_bytes() -> None:
    content = [messages.text("b" * 100), messages.image(messages.png(28, 28))]
    for source in (
        {"type": "text", "media_type": "text/plain", "data": "b" * 100},
        {"type": "content", "content": content},
    ):
        assert not is_context(messages=[messages.user({"type": "document", "source": source})])


def test_every_mention_of_a_tool_repeats_its_definition() -> None:
    tools = [messages.tool("big", description="x" * 10_000, defer_loading=True)]
    mention = messages.result("t", [{"type": "tool_reference", "tool_name": "big"}])
    once = held(tools=tools, messages=[messages.user(mention)])
    assert held(tools=tools, messages=[messages.user(mention, mention)]) > once + 10_000


def test_added_tool_repeats_its_definition() -> None:
    tools = [messages.tool("big", description="x" * 10_000)]
    added = {"type": "tool_addition", "tool": {"type": "tool_reference", "name": "big"}}
    assert held(tools=tools, messages=[messages.user(added)]) > 20_000
    inline = {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": {}}}
    with pytest.raises(InvalidInput, match=r"messages\[0\].content\[0\].tool"):
        messages.request(messages=[messages.user(inline)])


def test_format_of_the_output_is_held() -> None:
    form = {"type": "json_schema", "schema": {"type": "object"}}
    assert held(output_config={"format": form}) > held() + 1000


@pytest.mark.parametrize("block", [messages.pdf(), messages.text("a")])
def test_limit_is_always_sent_because_the_provider_requires_one(block: dict[str, Any]) -> None:
    request = messages.request(max_tokens=None, messages=[messages.user(block)])
    priced = calls.priced(
        calls.flat(input="0.000001"), request, at=messages.served_by("claude-opus-4-8")
    )
    quote = quote_hold(priced, account=calls.account(10**18), key=calls.key(), at_ms=T0_MS)
    assert priced.output_tokens == 64_000
    assert quote.cap_tokens is None or quote.cap_tokens == 64_000
    assert priced.needs_cap


def test_warm_up_of_a_cache_holds_only_its_input() -> None:
    request = messages.request(max_tokens=0)
    assert request.cap_tokens == 0
    priced = calls.priced(calls.flat(output="1"), request, at=messages.served_by())
    quote = quote_hold(priced, account=calls.account(), key=calls.key(), at_ms=T0_MS)
    assert quote.bounds.output_tokens == 0
    assert quote.amount_pico == 0


_ELSEWHERE = {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}}


@pytest.mark.parametrize(
    "block",
    [
        messages.text("a", source=_ELSEWHERE["source"]),
        messages.text("a", content=[_ELSEWHERE]),
        {"type": "thinking", "thinking": "a", "signature": "b", "content": [_ELSEWHERE]},
        {"type": "search_result", "source": "a", "title": "b", "content": [_ELSEWHERE]},
        messages.result("t", [messages.text("a", content=[_ELSEWHERE])]),
    ],
)
def test_image_in_an_odd_place_may_fill_the_context(block: dict[str, Any]) -> None:
    assert is_context(messages=[messages.user(block)])


@pytest.mark.parametrize("name", ["mm_processor_kwargs", "vl_high_resolution_images"])
def test_image_that_a_parameter_enlarges_may_fill_the_context(name: str) -> None:
    turn = messages.user(messages.image(messages.png(28, 28)))
    assert not is_context(messages=[turn])
    assert is_context(messages=[turn], **{name: {"min_pixels": 10**9}})
    assert not is_context(**{name: {"min_pixels": 10**9}}), "there is no image"
