"""Requests and responses in OpenAI's format for tests, and the strategies that draw them."""

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from modelgates_server.core.metering.request import InferenceRequest
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.core.pricing.usage import UsageRules
from modelgates_server.dialects.openai_chat.meter import ChatResponseMeter
from modelgates_server.dialects.openai_chat.request import parse_request
from tests.core.calls import COUNT, MODEL

HI = [{"role": "user", "content": "hi"}]


BODIES = (Api.CHAT, Api.COMPLETIONS, Api.EMBEDDINGS)
"""The APIs of this dialect."""


def body_of(api: Api = Api.CHAT, **members: Any) -> bytes:
    """A request's body; parameters that are left out have minimal values."""
    given: dict[Api, dict[str, Any]] = {
        Api.CHAT: {"messages": HI},
        Api.COMPLETIONS: {"prompt": "hi"},
        Api.EMBEDDINGS: {"input": "hi"},
    }
    return json.dumps({"model": MODEL, **given[api], **members}).encode()


def request(api: Api = Api.CHAT, **members: Any) -> InferenceRequest:
    return parse_request(api, body_of(api, **members))


def metered(*payloads: Mapping[str, Any], rules: UsageRules | None = None) -> ChatResponseMeter:
    """A meter that has observed these responses or chunks."""
    meter = ChatResponseMeter(rules=rules or UsageRules())
    for payload in payloads:
        meter.observe(json.dumps(payload).encode())
    return meter


def answer(content: str | None = "ok", **members: Any) -> dict[str, Any]:
    """A plain response."""
    choice = {"index": 0, "message": {"content": content}, "finish_reason": "stop"}
    return {"id": "up-1", "choices": [choice], **members}


# Any text that JSON can contain, with characters of one to four bytes.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
caps = st.none() | st.integers(1, 20_000)
_counts = st.none() | st.integers(1, 4)
_token_ids = st.lists(st.integers(0, 200_000), min_size=1, max_size=20)

_text_parts = st.builds(lambda text: {"type": "text", "text": text}, texts)
_other_parts = st.sampled_from(
    [
        {"type": "image_url", "image_url": {"url": "https://a/b.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 99}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "video_url", "video_url": {"url": "https://a/b.mp4"}},
    ]
)
_contents = st.one_of(
    st.none(), texts, texts, st.lists(_text_parts | _other_parts, min_size=1, max_size=3)
)
_calls = st.builds(
    lambda name, arguments: [
        {"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}}
    ],
    texts,
    texts,
)
_messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": _contents},
    optional={"name": texts, "tool_calls": _calls},
)
_tools = st.builds(
    lambda name, about: {"type": "function", "function": {"name": name, "description": about}},
    texts,
    texts,
)
_may = {
    "max_tokens": caps,
    "max_completion_tokens": caps,
    "n": _counts,
    "stream": st.none() | st.booleans(),
    "temperature": st.none() | st.floats(0, 2),
    "stream_options": st.none() | st.just({"include_usage": False}),
    "x_unknown": st.lists(texts, max_size=2),
    "service_tier": st.sampled_from([None, "auto", "default", "on_demand", "flex", "priority"]),
}
_chats = st.fixed_dictionaries(
    {"messages": st.lists(_messages, min_size=1, max_size=3)},
    optional={**_may, "tools": st.lists(_tools, max_size=2), "response_format": st.just({"a": 1})},
)
_prompts = st.one_of(
    texts,
    st.lists(texts, min_size=1, max_size=3),
    _token_ids,
    st.lists(_token_ids, min_size=1, max_size=3),
)
_bodies: dict[Api, st.SearchStrategy[dict[str, Any]]] = {
    Api.CHAT: _chats,
    Api.COMPLETIONS: st.fixed_dictionaries(
        {"prompt": _prompts}, optional={**_may, "best_of": _counts}
    ),
    Api.EMBEDDINGS: st.fixed_dictionaries({"input": _prompts}, optional={"max_tokens": caps}),
}


@st.composite
def requests(draw: st.DrawFn) -> tuple[Api, bytes]:
    """An operation and a body for it, in any formatting of JSON."""
    api = draw(st.sampled_from(list(_bodies)))
    members = {"model": MODEL, **draw(_bodies[api])}
    ascii_only, indent = draw(st.booleans()), draw(st.none() | st.just(1))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    text = json.dumps(members, ensure_ascii=ascii_only, indent=indent, separators=separators)
    return api, text.encode()


# Any JSON value in place of a count.
JUNK = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**30), 10**30),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    ),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
_numbers = COUNT | JUNK
_details = JUNK | st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("cached_tokens", "cache_write_tokens", "audio_tokens", "image_tokens", "reasoning_tokens"),
        _numbers,
    ),
)
REPORTS = JUNK | st.fixed_dictionaries(
    {},
    optional={
        "prompt_tokens": _numbers,
        "completion_tokens": _numbers,
        "total_tokens": _numbers,
        "prompt_cache_hit_tokens": _numbers,
        "prompt_tokens_details": _details,
        "completion_tokens_details": _details,
        "cost": JUNK,
    },
)
"""Usage that no honest provider would report."""
