import json
from typing import Any

import pytest

from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.openai_responses.request import parse_request
from modelgates_server.dialects.openai_responses.rules import TOOLS, Action
from tests.dialects.openai_responses import responses
from tests.dialects.openai_responses.responses import WEB, function, rejection, request, sent

TAKEN = [name for name, rule in TOOLS.items() if rule.action is Action.DROPPED]


@pytest.mark.parametrize("kind", [*TAKEN, "a_tool_of_tomorrow", "tool_search"])
def test_tool_without_a_price_is_taken_out_and_named(kind: str) -> None:
    members = {"tools": [{"type": kind}, function()], "tool_choice": "auto"}
    assert request(**members).omitted == (f"tools.{kind}",)
    assert sent(**members)["tools"] == [function()]
    assert [tool["function"]["name"] for tool in responses.chat_of(**members)["tools"]] == ["f"]


def test_request_with_only_such_tools_is_served_without_tools() -> None:
    assert sent(tools=[WEB])["tools"] == []
    assert "tools" not in responses.chat_of(tools=[WEB], tool_choice="auto")


def test_required_choice_among_only_such_tools_is_rejected() -> None:
    message = rejection(tools=[WEB], tool_choice="required")
    assert "`tool_choice` is `required`" in message
    assert "`web_search`" in message


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "web_search"},
        {"type": "mcp", "server_label": "x"},
        {"type": "apply_patch"},
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "web_search"}]},
    ],
)
def test_choice_that_demands_such_a_tool_is_rejected(choice: dict[str, Any]) -> None:
    assert "`tool_choice` demands" in rejection(tools=[WEB, function()], tool_choice=choice)


def test_allowed_tools_lose_those_without_a_price() -> None:
    allowed = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}
    assert sent(tools=[WEB, function()], tool_choice=allowed)["tool_choice"] == "none"
    named = {"type": "function", "name": "f"}
    both = {**allowed, "tools": [*allowed["tools"], named]}
    assert sent(tools=[WEB, function()], tool_choice=both)["tool_choice"]["tools"] == [named]


def test_tools_in_items_and_namespaces_are_taken_out_too() -> None:
    namespace = {"type": "namespace", "name": "n", "description": "d", "tools": [WEB, function()]}
    item = {"type": "additional_tools", "role": "developer", "tools": [namespace, {"type": "mcp"}]}
    members = {"input": [item, {"role": "user", "content": "x"}], "tools": [WEB]}
    read = request(**members)
    assert read.omitted == ("tools.web_search", "tools.mcp")
    assert read.has_tools
    kept = responses.sent_of(read)["input"][0]["tools"]
    assert kept == [{**namespace, "tools": [function()]}]


def test_deferred_tools_are_shown_when_the_search_for_them_is_taken_out() -> None:
    inner = {"type": "namespace", "name": "n", "tools": [function("g", defer_loading=True)]}
    members = {"tools": [{"type": "tool_search"}, function(defer_loading=True), inner]}
    written = json.dumps(sent(**members))
    assert "defer_loading" not in written
    assert '"g"' in written


def test_search_that_the_client_executes_is_kept() -> None:
    tools = [{"type": "tool_search", "execution": "client"}, function(defer_loading=True)]
    assert request(tools=tools).omitted == ()
    assert sent(tools=tools)["tools"] == tools


def test_tools_without_changes_are_sent_as_they_came() -> None:
    body = (
        b'{"model":"a","input":"x","tools":[ {"type":"function", "name":"f",'
        b'"parameters":{"const":1.0e+2,"a":12345678901234567890}} ]}'
    )
    read = parse_request(Api.RESPONSES, body)
    assert bytes(read.wire["tools"]) in body
