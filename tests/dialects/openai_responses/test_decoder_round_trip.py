"""From the Responses API to chat completions and back: equal, or in the table of losses."""

import json
from collections.abc import Iterable
from typing import Any

import pytest

from modelgates_server.dialects.openai_responses.reasoning_items import RESPONSES_FORMAT
from tests.dialects.openai_responses.official import check_events, check_response
from tests.dialects.openai_responses.provider import (
    GOOD_LOGS,
    Event,
    both_ways,
    encoded,
    last,
    log,
    native,
    read,
    relayed,
    settled,
    wire,
)
from tests.dialects.openai_responses.reasoning import unpacked

LOSSES = {
    "reasoning": "The provider's own data is packed, because other providers cannot read it",
}
"""The losses of a log on the way, and why they do no harm. Equal dialects lose nothing."""

_IDS = ("id", "item_id")
_OURS = ("id", "model", "store", "usage", "output_text", "created_at", "completed_at")


def without_ids(value: Any) -> Any:
    """The value without the ids of items, which the gateway makes itself."""
    if isinstance(value, dict):
        return {name: without_ids(each) for name, each in value.items() if name not in _IDS}
    return [without_ids(each) for each in value] if isinstance(value, list) else value


def by_item(events: Iterable[Event]) -> dict[int, list[Event]]:
    """The events of each item. Calls end later than at the provider, so numbers differ."""
    found: dict[int, list[Event]] = {}
    for each in without_ids(list(events)):
        if "output_index" not in each:
            continue
        each.pop("sequence_number")
        known = found.setdefault(each["output_index"], [])
        before = known[-1] if known else {}
        if each["type"] == before.get("type") and "custom" in each["type"]:
            before["delta"] += each["delta"]  # the input of a custom tool comes in one piece
        else:
            known.append(each)
    return found


def as_sent(name: str) -> list[Event]:
    """A golden log as a provider sends it to this gateway, which has no namespaces upstream."""
    text = json.dumps(log(name))
    text = text.replace('"name": "spawn", "namespace": "agents"', '"name": "agents__spawn"')
    events: list[Event] = json.loads(text)
    return events


def as_lost(name: str) -> list[Event]:
    """A golden log without its losses."""
    events = log(name)
    for item in [e["item"] for e in events if "item" in e] + events[-1]["response"]["output"]:
        item.pop("encrypted_content", None)
    return events


def without_packed(events: list[Event]) -> list[Event]:
    text = json.dumps(events)
    found: list[Event] = json.loads(text)
    for item in [e["item"] for e in found if "item" in e] + found[-1]["response"]["output"]:
        item.pop("encrypted_content", None)
    return found


@pytest.mark.parametrize("name", GOOD_LOGS)
@pytest.mark.parametrize("size", [None, 1])
def test_stream_comes_back_equal_except_for_its_losses(name: str, size: int | None) -> None:
    events = read(relayed(both_ways(), wire(as_sent(name)), size))
    check_events(events)
    returned = by_item(without_packed(events))
    golden = by_item(as_lost(name))
    assert returned == golden
    assert (by_item(log(name)) != by_item(events)) == (name in LOSSES)


@pytest.mark.parametrize("name", GOOD_LOGS)
def test_plain_response_comes_back_equal_except_for_its_losses(name: str) -> None:
    adapter = both_ways()
    adapter.read_answer(encoded(as_sent(name)[-1]["response"]))
    response = json.loads(adapter.answer(settled()))
    check_response(response)
    output = without_ids(response["output"])
    expected = without_ids(as_lost(name)[-1]["response"]["output"])
    for item in output:
        item.pop("encrypted_content", None)
    assert output == expected
    assert response["status"] == last(name)["status"]
    assert response["incomplete_details"] == last(name)["incomplete_details"]


def test_data_of_the_provider_is_packed_unchanged() -> None:
    adapter = both_ways()
    adapter.read_answer(encoded(last("reasoning")))
    (item, _) = json.loads(adapter.answer(settled()))["output"]
    (detail,) = unpacked(item)
    assert (detail["data"], detail["format"]) == ("gAAAAAenc==", RESPONSES_FORMAT)


@pytest.mark.parametrize("name", GOOD_LOGS)
def test_response_has_the_members_of_the_provider(name: str) -> None:
    golden = set(last(name))
    adapter = both_ways()
    adapter.read_answer(encoded(as_sent(name)[-1]["response"]))
    assert golden <= set(json.loads(adapter.answer(settled())))
    assert set(_OURS) - golden == {"output_text"}


@pytest.mark.parametrize("name", GOOD_LOGS)
def test_usage_is_equal_on_both_ways(name: str) -> None:
    one, other = native(), both_ways()
    for adapter in (one, other):
        relayed(adapter, wire(as_sent(name)))
    assert one.meter.reading() == other.meter.reading()
    assert one.meter.finish_reason == other.meter.finish_reason
