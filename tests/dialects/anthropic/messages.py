"""Requests in Anthropic's format for tests, and the strategies that draw them."""

import base64
import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import msgspec
from hypothesis import strategies as st

from modelgates_server.core.metering.request import InferenceRequest
from modelgates_server.core.pricing.catalog import Api, Model
from modelgates_server.dialects.anthropic.from_chat import from_chat
from modelgates_server.dialects.anthropic.request import parse_request
from modelgates_server.dialects.anthropic.to_chat import to_chat
from modelgates_server.dialects.openai_chat.dialect import OPENAI_CHAT
from tests.core import calls
from tests.core.calls import MODEL

HI = [{"role": "user", "content": "hi"}]
NO_LIMIT = 10**12
ATTRIBUTION = {
    "type": "text",
    "text": "x-anthropic-billing-header: cc_version=2.1.195; cc_entrypoint=cli; cch=73b45;",
}
CLAUDE_CODE_BETAS = (
    *("claude-code-20250219", "interleaved-thinking-2025-05-14", "redact-thinking-2026-02-12"),
    *("thinking-token-count-2026-05-13", "context-management-2025-06-27"),
    *("prompt-caching-scope-2026-01-05", "mid-conversation-system-2026-04-07"),
    "effort-2025-11-24",
)
"""The betas of Claude Code at an address that is not Anthropic's."""


def body_of(**members: Any) -> bytes:
    """A request's body; parameters that are left out have minimal values."""
    return json.dumps({"model": MODEL, "max_tokens": 64, "messages": HI, **members}).encode()


def request(
    headers: Mapping[bytes, bytes] | None = None, allowed: frozenset[str] = frozenset(), **m: Any
) -> InferenceRequest:
    return parse_request(Api.MESSAGES, body_of(**m), headers or {}, allowed)


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def text(value: str, **members: Any) -> dict[str, Any]:
    return {"type": "text", "text": value, **members}


def use(call_id: str, name: str = "f", given: Any = None) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": given or {}}


def result(call_id: str, content: Any = "ok", **members: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": content, **members}


def tool(name: str = "f", **members: Any) -> dict[str, Any]:
    return {"name": name, "input_schema": {"type": "object", "properties": {}}, **members}


def image(data: bytes, media_type: str = "image/png") -> dict[str, Any]:
    source = {"type": "base64", "media_type": media_type, "data": base64.b64encode(data).decode()}
    return {"type": "image", "source": source}


def png(width: int, height: int) -> bytes:
    """An image's beginning, which is all that a size needs, and an empty image chunk."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IEND", b"")


def pdf(data: bytes = b"%PDF-1.7", **members: Any) -> dict[str, Any]:
    encoded = base64.b64encode(data).decode()
    source = {"type": "base64", "media_type": "application/pdf", "data": encoded}
    return {"type": "document", "source": source, **members}


def served_by(upstream_model: str = "claude-opus-4-8", **members: Any) -> Model:
    """A model whose endpoint knows it by this name."""
    endpoint = msgspec.structs.replace(
        calls.endpoint(),
        **{"dialects": ("anthropic",), **members, "upstream_model": upstream_model},
    )
    return calls.model(endpoint=endpoint, context_tokens=200_000, output_tokens=64_000)


def in_chat(model: Model | None = None, **members: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A Messages request as one of chat completions, which that dialect accepts."""
    translated = to_chat(request(**members), model)
    OPENAI_CHAT.parse_request(Api.CHAT, translated.body)
    return json.loads(translated.body), translated.omitted


def from_chat_of(
    upstream_model: str = "claude-opus-4-8", **members: Any
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A chat request as one of Messages, which this dialect accepts."""
    body = json.dumps({"model": MODEL, "messages": HI, **members}).encode()
    chat = OPENAI_CHAT.parse_request(Api.CHAT, body)
    translated = from_chat(chat, served_by(upstream_model))
    parse_request(Api.MESSAGES, translated.body)
    return json.loads(translated.body), translated.omitted


def call(call_id: str, arguments: str = "{}", name: str = "f") -> dict[str, Any]:
    """A call of a tool in chat completions."""
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def calls_of(*tool_calls: Any, **members: Any) -> dict[str, Any]:
    """The message of chat completions with these calls."""
    return {"role": "assistant", "content": None, "tool_calls": list(tool_calls), **members}


def tool_result(call_id: str, content: Any = "ok") -> dict[str, Any]:
    """The message of chat completions with a result."""
    return {"role": "tool", "tool_call_id": call_id, "content": content}


# Any text that JSON can contain, with characters of one to four bytes.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
some_text = texts.filter(bool)
cache_marks = st.sampled_from([{}, {"cache_control": {"type": "ephemeral", "ttl": "1h"}}])
text_blocks = st.builds(lambda value, mark: text(value, **mark), some_text, cache_marks)
image_blocks = st.builds(
    lambda width, height: image(png(width, height)), st.integers(1, 8000), st.integers(1, 8000)
)
inputs = st.dictionaries(texts, st.integers(-(2**53), 2**53) | texts, max_size=3)
names = st.from_regex(r"[a-zA-Z0-9_-]{1,20}", fullmatch=True)
tools = st.builds(lambda name, about: tool(name, description=about), names, texts)
_thoughts = st.builds(
    lambda thought, sign: {"type": "thinking", "thinking": thought, "signature": sign},
    texts,
    some_text,
)
_documents = st.builds(
    lambda title, data: {
        "type": "document",
        "title": title,
        "source": {"type": "text", "media_type": "text/plain", "data": data},
    },
    texts,
    some_text,
)
_asked = st.lists(text_blocks | image_blocks | _documents, min_size=1, max_size=3)


@st.composite
def _rounds(draw: st.DrawFn, number: int) -> list[dict[str, Any]]:
    """A question, calls of tools with all their results in any order, and a response."""
    ids = [f"toolu_{number}_{each}" for each in range(draw(st.integers(0, 3)))]
    said: list[Any] = [
        *draw(st.lists(_thoughts, max_size=1)),
        *draw(st.lists(text_blocks, max_size=2)),
    ]
    turns = [{"role": "user", "content": draw(some_text | _asked)}]
    if ids:
        turns.append(assistant(*said, *(use(each, draw(names), draw(inputs)) for each in ids)))
        contents = some_text | st.lists(text_blocks | image_blocks, min_size=1, max_size=2)
        results = [
            result(each, draw(contents), **draw(st.sampled_from([{}, {"is_error": True}])))
            for each in draw(st.permutations(ids))
        ]
        turns.append(user(*results, *draw(st.lists(text_blocks, max_size=1))))
    turns.append(assistant(text(draw(some_text))))
    return turns


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """Requests that Anthropic accepts: a conversation with tools, images and thinking."""
    rounds = [draw(_rounds(number)) for number in range(draw(st.integers(0, 2)))]
    turns = [turn for each in rounds for turn in each]
    turns.append({"role": "user", "content": draw(some_text | _asked)})
    optional = st.fixed_dictionaries(
        {},
        optional={
            "system": some_text | st.lists(text_blocks, min_size=1, max_size=3),
            "tools": st.lists(tools, min_size=1, max_size=3, unique_by=lambda each: each["name"]),
            "temperature": st.sampled_from([0, 0.5, 1]),
            "stop_sequences": st.lists(names, min_size=1, max_size=4),
            "stream": st.booleans(),
            "metadata": st.builds(lambda name: {"user_id": name}, names),
            "service_tier": st.sampled_from(["auto", "standard_only"]),
            "output_config": st.builds(
                lambda level: {"effort": level}, st.sampled_from(["low", "medium", "high"])
            ),
        },
    )
    return {"model": MODEL, "max_tokens": draw(st.integers(1, 9999)), "messages": turns} | draw(
        optional
    )
