"""Requests that go to the other dialect and back are equal, except for the losses listed here."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.openai_chat.request import parse_request as parse_chat
from modelgates_server.dialects.openai_responses.from_chat import from_chat
from modelgates_server.dialects.openai_responses.request import parse_request
from modelgates_server.dialects.openai_responses.to_chat import to_chat
from tests.core import calls
from tests.dialects.openai_responses import responses as drawn
from tests.dialects.openai_responses.responses import names, texts

_text_parts = st.builds(lambda text: {"type": "text", "text": text}, texts)
_other_parts = st.sampled_from(
    [
        {"type": "image_url", "image_url": {"url": "https://a/b.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf,AA"}},
    ]
)
_many = st.lists(_text_parts | _other_parts, min_size=2, max_size=3)
_users = st.builds(lambda content: [{"role": "user", "content": content}], texts | _many)
_answers = st.one_of(texts, st.lists(_text_parts, min_size=2, max_size=3)).map(
    lambda content: [{"role": "assistant", "content": content}]
)


@st.composite
def _rounds(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A turn with calls, and their results."""
    ids = draw(st.lists(names, min_size=1, max_size=3, unique=True))
    made = [
        {
            "id": each,
            "type": "function",
            "function": {"name": draw(names), "arguments": draw(texts)},
        }
        for each in ids
    ]
    content = draw(st.none() | texts.filter(bool))
    results = [{"role": "tool", "tool_call_id": each, "content": draw(texts)} for each in ids]
    return [{"role": "assistant", "content": content, "tool_calls": made}, *results]


_tools: st.SearchStrategy[dict[str, Any]] = st.builds(
    lambda name, about, strict: {
        "type": "function",
        "function": {
            "name": name,
            "description": about,
            "parameters": {"type": "object", "maximum": 1.5},
            "strict": strict,
        },
    },
    names,
    texts.filter(bool),
    st.booleans(),
)


def _name_of(tool: dict[str, Any]) -> str:
    name: str = tool["function"]["name"]
    return name


@st.composite
def _chats(draw: st.DrawFn) -> dict[str, Any]:
    # Losses: a second leading system message joins the first; turns without a message of the user
    # between them are one; a list of one text is a text; a tool that is sent twice is sent once.
    system = [{"role": "system", "content": "Be brief."}]
    messages: list[dict[str, Any]] = draw(st.sampled_from([[], system]))
    for turn in draw(st.lists(_answers | _rounds(), max_size=3)):
        messages = [*messages, *draw(_users), *turn]
    settings: dict[str, Any] = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "temperature": st.floats(0, 2),
                "top_p": st.floats(0, 1),
                "stream": st.booleans(),
                "max_tokens": st.integers(1, 10**6),
                "user": texts.filter(bool),
                "service_tier": st.sampled_from(["auto", "flex"]),
                "verbosity": st.sampled_from(["low", "high"]),
                "reasoning": st.fixed_dictionaries({"effort": st.sampled_from(["none", "low"])}),
                "response_format": st.sampled_from(
                    [
                        {"type": "json_object"},
                        {"type": "json_schema", "json_schema": {"name": "n", "schema": {"a": 1.5}}},
                    ]
                ),
            },
        )
    )
    tools = draw(st.lists(_tools, max_size=3, unique_by=_name_of))
    if tools:
        settings["tools"] = tools
        settings["tool_choice"] = draw(st.sampled_from(["auto", "none", "required"]))
    return {"model": calls.MODEL, "messages": [*messages, *draw(_users)], **settings}


@given(_chats())
def test_chat_completion_comes_back_equal(given_chat: dict[str, Any]) -> None:
    chat = parse_chat(Api.CHAT, json.dumps(given_chat).encode())
    there = from_chat(chat, calls.model())
    responses = parse_request(Api.RESPONSES, there.body)
    back = to_chat(responses)
    assert (there.omitted, responses.omitted, back.omitted) == ((), (), ())
    assert json.loads(back.body) == given_chat
    assert responses.cap_tokens == chat.cap_tokens


def turns_of(body: dict[str, Any]) -> list[Any]:
    """The texts, calls and results of a request, without the parts that one message divides."""
    given = body["input"]
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    turns: list[Any] = []
    for item in items:
        kind = item.get("type", "message")
        if kind in ("function_call", "custom_tool_call"):
            arguments = item.get("arguments") or json.dumps({"input": item.get("input")})
            turns.append((item["call_id"], item["name"], json.loads(arguments)))
        elif kind == "message" and item["role"] == "user" and isinstance(item["content"], str):
            turns.append(item["content"])
    return turns


@given(drawn.bodies)
def test_responses_request_comes_back_with_the_same_texts_and_calls(body: dict[str, Any]) -> None:
    # Losses: custom tools return as functions, and namespaces as names.
    first = parse_request(Api.RESPONSES, json.dumps(body).encode())
    chat = parse_chat(Api.CHAT, to_chat(first).body)
    back = json.loads(from_chat(chat, calls.model()).body)
    assert [each for each in turns_of(body) if isinstance(each, tuple)] == [
        each for each in turns_of(back) if isinstance(each, tuple)
    ]
    texts_before = [each for each in turns_of(body) if isinstance(each, str)]
    texts_after = [each for each in turns_of(back) if isinstance(each, str)]
    assert all(text in texts_after for text in texts_before)
