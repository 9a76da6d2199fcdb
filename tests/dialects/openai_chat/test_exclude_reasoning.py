"""Reasoning is removed in every place where providers put it, and nothing else is touched."""

import json
from typing import Any

import pytest

from modelgates_server.dialects.openai_chat.exclude_reasoning import without_reasoning

PLAIN = {"role": "assistant", "content": "hi"}


def cleaned(body: Any) -> Any:
    return json.loads(without_reasoning(json.dumps(body).encode()))


@pytest.mark.parametrize(
    "more",
    [
        {"reasoning": "secret"},
        {"reasoning_content": "secret"},
        {"reasoning_details": [{"type": "reasoning.text", "text": "secret"}]},
        {"thinking_blocks": [{"thinking": "secret"}]},
    ],
)
@pytest.mark.parametrize("part", ["message", "delta"])
def test_reasoning_is_removed_from_messages_and_deltas(part: str, more: dict[str, Any]) -> None:
    body = {"id": "1", "choices": [{"index": 0, part: {**PLAIN, **more}}, {"index": 1}]}
    assert cleaned(body) == {"id": "1", "choices": [{"index": 0, part: PLAIN}, {"index": 1}]}


def test_thinking_parts_of_mistral_are_removed() -> None:
    """https://docs.mistral.ai/studio/conversations/reasoning.md"""
    text = {"type": "text", "text": "hi"}
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "secret"}]}
    body = {"choices": [{"message": {"content": [thinking, text]}}]}
    assert cleaned(body) == {"choices": [{"message": {"content": [text]}}]}


def test_reasoning_next_to_a_completion_is_removed() -> None:
    body = {"choices": [{"text": "hi", "reasoning": "secret"}]}
    assert cleaned(body) == {"choices": [{"text": "hi"}]}


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [], "usage": {"completion_tokens_details": {"reasoning_tokens": 3}}},
        {"error": {"message": "reasoning"}},
        {"choices": None, "reasoning": "x"},
        {"choices": [{"delta": None, "text": "reasoning"}]},
        {"choices": [{"delta": {"content": "the word reasoning"}}]},
    ],
)
def test_everything_else_is_kept(body: Any) -> None:
    assert cleaned(body) == body


def test_response_without_reasoning_keeps_its_bytes() -> None:
    body = b'{"choices": [ {"delta": {"content": "\\u00e9"}} ]}'
    assert without_reasoning(body) is body
