import string
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from modelgates_server.dialects.openai_responses.tools import NAME_MAX_CHARS, tool_names
from tests.dialects.openai_responses import responses
from tests.dialects.openai_responses.responses import function, request

_FIT = set(string.ascii_letters + string.digits + "_-")
_names = st.text("ab_-.é", min_size=1, max_size=5) | st.text("ab", min_size=60, max_size=70)


def namespace(name: str, *tools: dict[str, Any]) -> dict[str, Any]:
    return {"type": "namespace", "name": name, "description": "d", "tools": list(tools)}


def custom(name: str) -> dict[str, Any]:
    return {"type": "custom", "name": name}


_tools = st.builds(function, _names) | st.builds(custom, _names)
_lists = st.lists(
    _tools
    | st.builds(lambda name, inner: namespace(name, *inner), _names, st.lists(_tools))
    | st.just({"type": "tool_search", "execution": "client"}),
    max_size=6,
)


@given(_lists)
def test_every_tool_has_a_name_of_its_own_that_leads_back_to_it(tools: list[Any]) -> None:
    names = tool_names(request(tools=tools).wire)
    flat = [(None, tool) for tool in tools if tool["type"] in ("function", "custom")]
    flat += [(each["name"], tool) for each in tools for tool in each.get("tools", ())]
    kinds = {(ns, tool["name"]): tool["type"] for ns, tool in flat}
    chat_names = {key: names.to_chat(*key) for key in kinds}
    if names.search is not None:
        chat_names[None, ""] = names.search
        assert names.to_client(names.search) == ("tool_search", None, "tool_search")
    assert len(set(chat_names.values())) == len(chat_names)
    for name in chat_names.values():
        assert 1 <= len(name) <= NAME_MAX_CHARS
        assert set(name) <= _FIT
    for key in kinds:
        assert names.to_client(chat_names[key])[1:] == key


@given(_lists)
def test_names_follow_from_the_request_alone(tools: list[Any]) -> None:
    keys = [(None, "a"), ("a", "b"), ("a" * 70, "b")]
    first, second = (tool_names(request(tools=tools).wire) for _ in range(2))
    assert [first.to_chat(*key) for key in keys] == [second.to_chat(*key) for key in keys]


def test_namespace_and_name_are_joined() -> None:
    names = tool_names(request(tools=[namespace("crm", function("find"), custom("run"))]).wire)
    assert names.to_chat("crm", "find") == "crm__find"
    assert names.to_client("crm__find") == ("function", "crm", "find")
    assert names.to_client("crm__run") == ("custom", "crm", "run")


def test_function_keeps_its_name_when_a_namespace_would_have_the_same() -> None:
    tools = [namespace("crm", function("find")), function("crm__find")]
    names = tool_names(request(tools=tools).wire)
    assert names.to_chat(None, "crm__find") == "crm__find"
    assert names.to_chat("crm", "find").startswith("crm__find_")


def test_long_name_ends_with_a_digest() -> None:
    name = "x" * 128
    names = tool_names(request(tools=[function(name)]).wire)
    short = names.to_chat(None, name)
    assert len(short) == NAME_MAX_CHARS
    assert names.to_client(short) == ("function", None, name)


def test_name_that_the_request_does_not_list_is_a_function() -> None:
    assert tool_names(request().wire).to_client("made_up") == ("function", None, "made_up")


def test_tools_of_items_are_found() -> None:
    wire = responses.request(
        input=[
            {"type": "additional_tools", "role": "developer", "tools": [custom("run")]},
            {"type": "tool_search_call", "call_id": "c", "arguments": {}},
            {"type": "tool_search_output", "call_id": "c", "tools": [namespace("n", function())]},
        ]
    ).wire
    names = tool_names(wire)
    assert names.to_client("run") == ("custom", None, "run")
    assert names.to_client("n__f") == ("function", "n", "f")
