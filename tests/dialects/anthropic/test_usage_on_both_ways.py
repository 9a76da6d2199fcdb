"""A call costs the same on both ways, passed or translated, whatever usage is reported."""

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from modelgates_server.core.metering.generations import Generation
from tests.dialects.anthropic.responses import Way, stream_of

_counts = st.sampled_from([0, 1, 7, 40, 900]) | st.integers(0, 2000)
_odd: st.SearchStrategy[Any] = st.sampled_from(
    [None, -1, -40, 1.5, "12", "x", 10**10, 2.0, True, [], {}]
)
_values = _counts | _odd
_splits = st.dictionaries(
    st.sampled_from(["ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"]), _values
)
_details = st.dictionaries(st.just("thinking_tokens"), _values)
_fields = {
    "input_tokens": _values,
    "cache_read_input_tokens": _values,
    "cache_creation_input_tokens": _values,
    "cache_creation": _splits | _odd,
    "output_tokens_details": _details | _odd,
    "service_tier": st.sampled_from(["standard", "priority", None, 1]),
    "server_tool_use": st.sampled_from([{"web_search_requests": 1}, None, 3]),
}
usages = st.fixed_dictionaries({}, optional={**_fields, "output_tokens": _values})
# Only a report with an output count covers the text before it.
_reports: st.SearchStrategy[Any] = st.just({}) | st.fixed_dictionaries(
    {"output_tokens": _values.filter(lambda value: value is not None)}, optional=_fields
)
_TEXT = "A text of more than sixteen tokens, which is more than the least late text that counts."


def _message(usage: Any) -> dict[str, Any]:
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []}
    return {**head, "stop_reason": None, "stop_sequence": None, "usage": usage}


def _delta(text: str) -> dict[str, Any]:
    delta = {"type": "text_delta", "text": text}
    return {"type": "content_block_delta", "index": 0, "delta": delta}


def _stream(begun: Any, parts: list[Any], *, is_whole: bool) -> bytes:
    """A stream in which texts and usage reports come in any order."""
    block = {"type": "text", "text": ""}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": _message(begun)},
        {"type": "content_block_start", "index": 0, "content_block": block},
    ]
    for part in parts:
        report = {"type": "message_delta", "delta": {"stop_reason": None}, "usage": part}
        events.append(_delta(part) if isinstance(part, str) else report)
    if is_whole:
        events.append({"type": "content_block_stop", "index": 0})
        events.append({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {}})
        events.append({"type": "message_stop"})
    return stream_of(events)


def _ended(way: Way, data: bytes) -> Generation:
    """The generation of a stream that ended well or was cut."""
    way.pieces(data)
    return way.settled()


@given(usages, st.lists(_reports | st.just(_TEXT), max_size=5), st.booleans())
def test_stream_costs_the_same_on_both_ways(
    begun: dict[str, Any], parts: list[Any], is_whole: bool
) -> None:
    data = _stream(begun, parts, is_whole=is_whole)
    native, translated = (_ended(Way(client=client), data) for client in ("anthropic", "chat"))
    assert (native.usage, native.cost_pico) == (translated.usage, translated.cost_pico)


@given(usages | st.none(), st.lists(st.just(_TEXT), max_size=2))
@example({}, [])
def test_plain_response_costs_the_same_on_both_ways(usage: Any, texts: list[str]) -> None:
    content = [{"type": "text", "text": text} for text in texts]
    message = {**_message(usage), "content": content, "stop_reason": "end_turn"}
    costs = []
    for client in ("anthropic", "chat"):
        way = Way(client=client)
        assert way.adapter.read_answer(json.dumps(message).encode()) is None
        ended = way.settled()
        costs.append((ended.usage, ended.cost_pico))
    assert costs[0] == costs[1]
