from typing import Any

import pytest

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.anthropic.request import parse_request
from tests.dialects.anthropic import messages

SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 5}


def rejection(**members: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        messages.request(**members)
    return str(caught.value)


@pytest.mark.parametrize(
    "kind",
    [
        *("web_search_20250305", "web_search_20260318", "web_fetch_20260309"),
        *("code_execution_20260521", "tool_search_tool_bm25_20251119", "advisor_20260301"),
        *("mcp_toolset", "invented_20300101"),
    ],
)
def test_server_tool_is_taken_out_and_named(kind: str) -> None:
    request = messages.request(tools=[{"type": kind, "name": "x"}, messages.tool()])
    assert bytes(request.wire["tools"]).count(b'"name"') == 1
    assert request.omitted == (f"tools.{kind}",)
    assert request.has_tools


def test_request_without_server_tools_keeps_its_bytes() -> None:
    body = b'{"model":"a","messages":[{"role":"user","content":"x"}],"tools":[ {"name" : "f"} ]}'
    request = parse_request(Api.MESSAGES, body)
    assert bytes(request.wire["tools"]) == b'[ {"name" : "f"} ]'


def test_kept_tools_keep_their_bytes() -> None:
    body = (
        b'{"model":"a","messages":[{"role":"user","content":"x"}],'
        b'"tools":[{"name" : "f", "a":1.50},{"type":"web_search_20250305","name":"s"}]}'
    )
    request = parse_request(Api.MESSAGES, body)
    assert bytes(request.wire["tools"]) == b'[{"name" : "f", "a":1.50}]'


def test_choice_goes_with_the_last_tool() -> None:
    request = messages.request(tools=[SEARCH], tool_choice={"type": "auto"})
    assert not {"tools", "tool_choice"} & request.wire.keys()
    assert not request.has_tools


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "web_search"}])
def test_choice_that_demands_a_server_tool_is_rejected(choice: dict[str, str]) -> None:
    assert "`tool_choice` demands" in rejection(tools=[SEARCH], tool_choice=choice)


def test_choice_of_another_tool_passes() -> None:
    choice = {"type": "tool", "name": "f"}
    request = messages.request(tools=[SEARCH, messages.tool()], tool_choice=choice)
    assert "tool_choice" in request.wire


@pytest.mark.parametrize("choice", ["auto", {"type": "required"}, {"name": "f"}])
def test_unknown_choice_is_rejected(choice: Any) -> None:
    assert "`tool_choice" in rejection(tools=[messages.tool()], tool_choice=choice)


def test_deferred_tools_are_loaded_when_their_search_is_taken_out() -> None:
    search = {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"}
    tools = [search, messages.tool("a", defer_loading=True), messages.tool("b")]
    request = messages.request(tools=tools)
    assert b"defer_loading" not in bytes(request.wire["tools"])
    assert request.omitted == ("tools.tool_search_tool_regex_20251119", "tools.defer_loading")


def test_deferred_tools_of_a_clients_own_search_stay_deferred() -> None:
    request = messages.request(tools=[messages.tool("search"), messages.tool(defer_loading=True)])
    assert b"defer_loading" in bytes(request.wire["tools"])


def test_callers_are_removed_together_with_code_execution() -> None:
    tools = [
        {"type": "code_execution_20260120", "name": "code_execution"},
        messages.tool(allowed_callers=["code_execution_20260120"]),
    ]
    request = messages.request(tools=tools)
    assert b"allowed_callers" not in bytes(request.wire["tools"])


@pytest.mark.parametrize(
    "kind", ["server_tool_use", "web_search_tool_result", "mcp_tool_use", "compaction"]
)
def test_block_of_a_server_tool_is_rejected_by_its_path(kind: str) -> None:
    turn = messages.assistant(messages.text("a"), {"type": kind, "id": "1"})
    assert "`messages[0].content[1]`" in rejection(messages=[turn])


def test_name_of_a_type_is_safe_in_a_header() -> None:
    request = messages.request(tools=[{"type": "x\r\ny: z", "name": "n"}])
    assert request.omitted == ("tools.unknown",)


@pytest.mark.parametrize(
    "kind", ["bash_20250124", "text_editor_20250728", "memory_20250818", "computer_20251124"]
)
def test_tool_that_the_client_runs_stays_and_its_description_is_held(kind: str) -> None:
    request = messages.request(tools=[{"type": kind, "name": "x"}])
    assert request.omitted == ()
    assert request.escape_bytes >= 1000


def test_toolset_may_fill_the_context() -> None:
    request = messages.request(tools=[{"type": "browser_toolset_20260801"}])
    assert request.input_tokens(context_tokens=9_999_999, media_tokens=None) == 9_999_999
    assert "tools" in request.wire


def test_tool_without_a_name_is_rejected() -> None:
    assert "`tools[0].name` is missing" in rejection(tools=[{"input_schema": {}}])
