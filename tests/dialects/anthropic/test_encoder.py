"""Reasoning of other companies' models, as a client of the Messages API gets it."""

import json
from typing import Any

import pytest

from tests.dialects.anthropic.responses import Way, events_of

THOUGHT = {"type": "reasoning.text", "text": "Hm.", "signature": "c2ln", "index": 0}
SECRET = {"type": "reasoning.encrypted", "data": "c2VjcmV0", "index": 1}
CLAUDES = "anthropic-claude-v1"


def completion(form: str) -> dict[str, Any]:
    details = [{**each, "format": form} for each in (THOUGHT, SECRET)]
    message = {"role": "assistant", "content": "42", "reasoning_details": details}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "c", "object": "chat.completion", "choices": [choice]}


@pytest.mark.parametrize("form", [CLAUDES, "openai-responses-v1", "google-gemini-v1"])
def test_signatures_and_encrypted_thinking_are_passed_on_only_from_claude(form: str) -> None:
    way = Way("anthropic", "chat")
    way.adapter.read_answer(json.dumps(completion(form)).encode())
    blocks = json.loads(way.adapter.answer(way.settled()))["content"]
    is_claudes = form == CLAUDES
    assert blocks[0] == {
        "type": "thinking",
        "thinking": "Hm.",
        "signature": "c2ln" if is_claudes else "",
    }
    kinds = [block["type"] for block in blocks]
    assert kinds == ["thinking", *(["redacted_thinking"] if is_claudes else []), "text"]


@pytest.mark.parametrize("form", [CLAUDES, "openai-responses-v1"])
def test_stream_passes_signatures_on_only_from_claude(form: str) -> None:
    choice = completion(form)["choices"][0]
    chunk: dict[str, Any] = {"id": "c", "choices": [{**choice, "delta": choice["message"]}]}
    del chunk["choices"][0]["message"]
    sent = Way("anthropic", "chat").streamed(
        f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode()
    )
    told = json.dumps(events_of(sent))
    assert ("signature_delta" in told, "c2VjcmV0" in told) == (form == CLAUDES,) * 2
