"""A call costs the same on both ways, passed or translated, whatever usage is reported."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.metering.settlement import settle
from modelgates_server.dialects.dialect import ResponseAdapter
from tests.dialects.openai_responses.provider import (
    PRICE,
    SENT,
    Event,
    for_chat,
    log,
    native,
    open_call,
    wire,
)
from tests.support import T0_MS

_counts = st.sampled_from([0, 1, 7, 40, 900]) | st.integers(0, 2000)
_odd: st.SearchStrategy[Any] = st.sampled_from(
    [None, -1, -40, 1.5, "12", "x", 10**10, 2.0, True, [], {}]
)
_values = _counts | _odd
_inputs = st.dictionaries(
    st.sampled_from(["cached_tokens", "cache_write_tokens", "image_tokens"]), _values
)
_outputs = st.dictionaries(st.just("reasoning_tokens"), _values)
_usages = _odd | st.fixed_dictionaries(
    {},
    optional={
        "input_tokens": _values,
        "output_tokens": _values,
        "total_tokens": _values,
        "input_tokens_details": _inputs | _odd,
        "output_tokens_details": _outputs | _odd,
    },
)


def _reported(event: Event, usage: Any, tier: Any) -> Event:
    if event["type"] != "response.completed":
        return event
    return {**event, "response": {**event["response"], "usage": usage, "service_tier": tier}}


def _settled(adapter: ResponseAdapter) -> Generation:
    held = open_call(hold_pico=10**18)
    return settle(held, PRICE, SENT, adapter.meter, failure=None, at_ms=T0_MS + 1)


def _charged(adapter: ResponseAdapter) -> tuple[Any, ...]:
    ended = _settled(adapter)
    return ended.state, ended.usage, ended.cost_pico, ended.service_tier


@given(_usages, st.sampled_from(["default", "flex", None, 1]), st.integers(0, 9), st.booleans())
def test_stream_costs_the_same_on_both_ways(usage: Any, tier: Any, cut: int, is_cut: bool) -> None:
    events = [_reported(each, usage, tier) for each in log("text")]
    if is_cut:
        events = events[: max(2, len(events) - cut)]
    charges = []
    for adapter in (native(), for_chat()):
        list(adapter.feed(wire(events)))
        if not adapter.is_over:
            list(adapter.finish())
        charges.append(_charged(adapter))
    assert charges[0] == charges[1]


@given(_usages, st.sampled_from(["default", "flex", None, 1]))
def test_plain_response_costs_the_same_on_both_ways(usage: Any, tier: Any) -> None:
    response = {**log("text")[-1]["response"], "usage": usage, "service_tier": tier}
    charges = []
    for adapter in (native(), for_chat()):
        assert adapter.read_answer(json.dumps(response).encode()) is None
        charges.append(_charged(adapter))
    assert charges[0] == charges[1]
