from typing import Any

import pytest

from tests.dialects.openai_responses.responses import chat_of, function, rejection

NAMESPACE = {
    "type": "namespace",
    "name": "n",
    "description": "About n.",
    "tools": [function("a", description="Does a."), function("b", description="Does b.")],
}
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: /a+/"}


def functions(*tools: dict[str, Any], **members: Any) -> list[dict[str, Any]]:
    written = chat_of(tools=list(tools), **members)["tools"]
    assert all(tool["type"] == "function" for tool in written)
    return [tool["function"] for tool in written]


def test_namespace_describes_its_first_tool() -> None:
    first, second = functions(NAMESPACE)
    assert (first["name"], first["description"]) == ("n__a", "About n.\n\nDoes a.")
    assert (second["name"], second["description"]) == ("n__b", "Does b.")


def test_custom_tool_takes_one_text_and_its_grammar_is_described() -> None:
    (written,) = functions(
        {"type": "custom", "name": "patch", "description": "Edits.", "format": GRAMMAR}
    )
    assert written["description"] == (
        "Edits.\n\n`input` must match this Lark grammar:\nstart: /a+/"
    )
    assert written["parameters"]["required"] == ["input"]


@pytest.mark.parametrize("tool_format", [None, {"type": "text"}])
def test_custom_tool_without_a_grammar_has_only_its_description(tool_format: Any) -> None:
    (written,) = functions({"type": "custom", "name": "run", "format": tool_format})
    assert "description" not in written


def test_unknown_fields_of_a_tool_stay_here() -> None:
    """CLIProxyAPI#1725: `defer_loading`, which a provider rejected."""
    (written,) = functions(function(defer_loading=True, allowed_callers=["direct"], x=1))
    assert written == {"name": "f", "parameters": {"type": "object"}}


def test_deferred_tools_are_sent_in_full() -> None:
    """claude-code#89211: deferred tools that no other model could use."""
    search = {"type": "tool_search", "execution": "client", "description": "Finds."}
    written = functions(search, function(defer_loading=True))
    assert [each["name"] for each in written] == ["tool_search", "f"]


def test_missing_parameters_are_those_of_a_function_without_any() -> None:
    (written,) = functions({"type": "function", "name": "f", "parameters": None, "strict": None})
    assert written == {"name": "f", "parameters": {"type": "object", "properties": {}}}


def test_repeated_tool_is_sent_once_as_it_was_sent_last() -> None:
    item = {"type": "additional_tools", "role": "developer", "tools": [function(description="new")]}
    members = {"input": [item, {"role": "user", "content": "x"}]}
    (written,) = functions(function(description="old"), **members)
    assert written["description"] == "new"


def test_custom_tool_next_to_a_web_search_is_accepted() -> None:
    """opencodex#5003, CommandCode#885: requests rejected for one of their tools."""
    (written,) = functions({"type": "custom", "name": "run"}, {"type": "web_search"})
    assert written["name"] == "run"


@pytest.mark.parametrize(
    ("choice", "name"),
    [
        ({"type": "function", "name": "f"}, "f"),
        ({"type": "custom", "name": "run"}, "run"),
        ({"type": "function", "name": "a", "namespace": "n"}, "n__a"),
        ({"type": "tool_search"}, "tool_search"),
    ],
)
def test_chosen_tool_has_its_name_in_chat(choice: dict[str, Any], name: str) -> None:
    search = {"type": "tool_search", "execution": "client"}
    tools = [function(), {"type": "custom", "name": "run"}, NAMESPACE, search]
    written = chat_of(tools=tools, tool_choice=choice)["tool_choice"]
    assert written == {"type": "function", "function": {"name": name}}


@pytest.mark.parametrize(
    ("allowed", "names"),
    [
        ([{"type": "function", "name": "f"}], ["f"]),
        ([{"type": "namespace", "name": "n"}], ["n__a", "n__b"]),
        ([{"type": "function", "name": "b", "namespace": "n"}], ["n__b"]),
    ],
)
def test_only_allowed_tools_are_sent(allowed: list[Any], names: list[str]) -> None:
    choice = {"type": "allowed_tools", "mode": "required", "tools": allowed}
    chat = chat_of(tools=[function(), NAMESPACE], tool_choice=choice)
    assert [tool["function"]["name"] for tool in chat["tools"]] == names
    assert chat["tool_choice"] == "required"


def test_malformed_format_of_a_custom_tool_is_rejected() -> None:
    assert "format of tool run" in rejection(tools=[{"type": "custom", "name": "run", "format": 3}])
