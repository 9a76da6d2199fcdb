import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.json_object import JsonObject, spelling
from modelgates_server.dialects.openai_chat.request import parse_request
from modelgates_server.dialects.openai_chat.upstream import upstream_body
from tests.core import calls
from tests.dialects.openai_chat import chat

HOLE = "@@hole@@"
"""Marks the place in an object where a test inserts a field."""

MESSAGE = {"role": "user", "content": "hi"}
FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object"}}


def with_part(kind: str, source: dict[str, Any], **members: Any) -> dict[str, Any]:
    parts = [{"type": "text", "text": "?"}, {"type": kind, kind: source, **members}]
    return {"messages": [MESSAGE, {"role": "user", "content": parts}]}


def with_tool(tool: dict[str, Any]) -> dict[str, Any]:
    return {"tools": [{"type": "function", "function": FUNCTION}, tool]}


ALLOWED = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}
GUARDED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "root": (
        {HOLE: 0},
        ["model", "messages", "max_tokens", "n", "stream", "tools", "stream_options"],
    ),
    "message": ({"messages": [MESSAGE, {**MESSAGE, HOLE: 0}]}, ["role", "content", "audio"]),
    "text part": (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a", HOLE: 0}]}]},
        ["type", "text", "image_url"],
    ),
    "image part": (with_part("image_url", {"url": "u"}, **{HOLE: 0}), ["type", "image_url"]),
    "url": (with_part("image_url", {"url": "u", HOLE: 0}), ["url", "detail"]),
    "audio": (
        with_part("input_audio", {"data": "d", "format": "wav", HOLE: 0}),
        ["data", "format"],
    ),
    "file": (with_part("file", {"file_data": "d", HOLE: 0}), ["file_data", "file_id", "filename"]),
    "earlier audio": ({"messages": [{**MESSAGE, "audio": {"id": "a", HOLE: 0}}]}, ["id"]),
    "earlier image": (
        {"messages": [{**MESSAGE, "images": [{"type": "image_url", "image_url": {HOLE: 0}}]}]},
        ["url"],
    ),
    "tool": (with_tool({"type": "function", "function": FUNCTION, HOLE: 0}), ["type", "function"]),
    "function": (
        with_tool({"type": "function", "function": {**FUNCTION, HOLE: 0}}),
        ["name", "parameters"],
    ),
    "custom": (with_tool({"type": "custom", "custom": {"name": "c", HOLE: 0}}), ["name"]),
    "older function": ({"functions": [{**FUNCTION, HOLE: 0}]}, ["name", "parameters"]),
    "choice": (
        {"tool_choice": {"type": "function", "function": {}, HOLE: 0}},
        ["type", "function"],
    ),
    "choice's function": ({"tool_choice": {"type": "function", "function": {HOLE: 0}}}, ["name"]),
    "allowed tools": ({"tool_choice": {**ALLOWED, "allowed_tools": {HOLE: 0}}}, ["mode", "tools"]),
    "stream options": ({"stream": True, "stream_options": {HOLE: 0}}, ["include_usage"]),
    "provider": ({"provider": {"only": None, HOLE: 0}}, ["only", "zdr", "max_price"]),
    "max price": ({"provider": {"max_price": {HOLE: 0}}}, ["prompt", "completion"]),
}
FREE: dict[str, tuple[str, dict[str, Any]]] = {
    "parameters": ("tools", with_tool({"type": "function", "function": {"parameters": {HOLE: 0}}})),
    "property": (
        "tools",
        with_tool({"type": "function", "function": {"parameters": {"properties": {HOLE: 0}}}}),
    ),
    "schema": (
        "response_format",
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {HOLE: 0}}}},
    ),
    "metadata": ("metadata", {"metadata": {HOLE: 0}}),
    "logit_bias": ("logit_bias", {"logit_bias": {HOLE: 0}}),
    "unknown": ("x_new", {"x_new": {HOLE: 0}}),
}

folds: list[Callable[[str], str]] = [
    str.upper,
    str.title,
    lambda name: name[0].upper() + name[1:],
    lambda name: name[:-1] + name[-1].upper(),
    lambda name: name.replace("s", "\u017f", 1),
    lambda name: name.replace("k", "\u212a", 1),
    lambda name: name.replace("i", "\u0131", 1),
    lambda name: name.replace("i", "\u0130", 1),
    lambda name: name.replace("_", ""),
    lambda name: name.title().replace("_", ""),
    lambda name: "".join(chr(ord(letter) + 0xFEE0) for letter in name),
]


def escaped(name: str, at: int) -> str:
    """A name in JSON with one of its letters as a Unicode escape."""
    at %= len(name)
    return json.dumps(name[:at])[:-1] + f"\\u{ord(name[at]):04x}" + json.dumps(name[at + 1 :])[1:]


def body_with(members: dict[str, Any], inserted: str, separators: tuple[str, str]) -> bytes:
    """A body with `inserted` instead of the placeholder field."""
    whole = {"model": calls.MODEL, "messages": [MESSAGE], **members}
    text = json.dumps(whole, separators=separators)
    hole = f'"{HOLE}"{separators[1]}0'
    assert text.count(hole) == 1
    return text.replace(hole, inserted).encode()


def rejection(body: bytes) -> str:
    with pytest.raises(InvalidInput) as caught:
        parse_request(Api.CHAT, body)
    return str(caught.value)


places = st.sampled_from(sorted(GUARDED))
styles = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t: ")])
values = st.sampled_from(["null", "1", '"x"', "[]", '{"a":1}'])


@given(places, st.data(), styles, values)
def test_alternative_spelling_of_a_name_is_rejected_by_name(
    place: str, data: st.DataObject, style: tuple[str, str], value: str
) -> None:
    members, names = GUARDED[place]
    name = data.draw(st.sampled_from(names))
    spelled = data.draw(st.sampled_from(folds))(name)
    if spelled == name:
        return
    message = rejection(body_with(members, f"{json.dumps(spelled)}:{value}", style))
    assert f"Use `{name}` instead of `{spelled}`" in message


@given(places, st.data(), styles, values, st.integers(0, 20))
def test_field_given_twice_is_rejected_by_name(
    place: str, data: st.DataObject, style: tuple[str, str], value: str, at: int
) -> None:
    members, names = GUARDED[place]
    name = data.draw(st.sampled_from([*names, "x_new"]))
    again = escaped(name, at) if data.draw(st.booleans()) else json.dumps(name)
    pair = [f"{json.dumps(name)}:{value}", f"{again}:{data.draw(values)}"]
    message = rejection(body_with(members, ",".join(data.draw(st.permutations(pair))), style))
    assert f"`{name}` is given twice" in message


@given(st.integers(0, 1999), styles, st.booleans())
def test_duplicate_field_among_thousands_of_objects_is_rejected(
    at: int, style: tuple[str, str], in_parts: bool
) -> None:
    many: list[dict[str, Any]] = [{"type": "text", "text": f"word {n}"} for n in range(2000)]
    many[at][HOLE] = 0
    messages = [{"role": "user", "content": many}] if in_parts else many
    message = rejection(body_with({"messages": messages}, '"text":"x"', style))
    assert "`text` is given twice" in message


@given(st.sampled_from(sorted(FREE)), st.data(), styles)
def test_contents_of_schemas_and_client_maps_are_forwarded_byte_for_byte(
    place: str, data: st.DataObject, style: tuple[str, str]
) -> None:
    member, members = FREE[place]
    name = data.draw(st.sampled_from(["type", "max_tokens", "content", "stream", "url"]))
    twice = f"{json.dumps(name)}:1,{escaped(name, 1)}: 2"
    spelled = json.dumps(data.draw(st.sampled_from(folds))(name))
    body = body_with(members, data.draw(st.sampled_from([twice, f"{spelled} :3"])), style)
    sent = upstream_body(parse_request(Api.CHAT, body), calls.endpoint(), cap_tokens=None)
    decode = msgspec.json.Decoder(JsonObject).decode
    assert bytes(decode(sent)[member]) == bytes(decode(body)[member])


@given(st.text(max_size=200))
def test_unknown_name_is_accepted(name: str) -> None:
    known = [each for _, names in GUARDED.values() for each in names]
    if spelling(name) in {spelling(each) for each in known} or not name.isascii():
        return
    message = body_with(
        {"messages": [{**MESSAGE, HOLE: 0}]}, f"{json.dumps('x_' + name)}:1", (",", ":")
    )
    assert parse_request(Api.CHAT, message).messages == 1


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            b'{"model":"a","model":"a","messages":[{"content":"x"}]}',
            "`model` is given twice. Send it once.",
        ),
        (
            b'{"model":"a","max_tokens":1,"max\\u005ftokens":9,"messages":[{"content":"x"}]}',
            "`max_tokens` is given twice. Send it once.",
        ),
        (
            b'{"model":"a","messages":[{"content":"x","Content":[{"type":"file"}]}]}',
            "Use `content` instead of `Content` in `messages`.",
        ),
        (
            b'{"model":"a","messages":[{"content":"x"}],"tools":[{"type":"function","Type":"web"}]}',
            "Use `type` instead of `Type` in `tools`.",
        ),
        (
            b'{"model":"a","messages":[{"content":"x"}],"stream_options":{"Include_Usage":false}}',
            "Use `include_usage` instead of `Include_Usage` in `stream_options`.",
        ),
    ],
)
def test_rejection_names_the_field_and_its_location(body: bytes, expected: str) -> None:
    assert rejection(body).startswith(expected)


@pytest.mark.parametrize("place", ["root", "message", "text part", "function", "url"])
def test_object_with_too_many_names_is_rejected(place: str) -> None:
    members, _ = GUARDED[place]

    def body(count: int) -> bytes:
        return body_with(members, ",".join(f'"x{n}":1' for n in range(count)), (",", ":"))

    assert "There are more than 1,000 field names in" in rejection(body(1001))
    assert parse_request(Api.CHAT, body(900)).choices == 1


def test_very_long_name_takes_no_longer_than_its_bytes() -> None:
    members: dict[str, Any] = {"\u017f" * 10**6: 1}
    body = chat.body_of(**members)
    assert parse_request(Api.CHAT, body).choices == 1


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("N", "n"),
        ("Max_Tokens", "max_tokens"),
        ("MAX_COMPLETION_TOKENS", "max_completion_tokens"),
        ("max_to\u212aens", "max_tokens"),
        ("be\u017ft_of", "best_of"),
        ("n_predict", "max_tokens"),
        ("N_Predict", "max_tokens"),
        ("n_cmpl", "n"),
        ("Stream_Options", "stream_options"),
    ],
)
def test_name_that_some_server_reads_as_a_known_one_is_rejected(name: str, known: str) -> None:
    members: dict[str, Any] = {"max_tokens": 1, name: 128}
    assert rejection(chat.body_of(**members)) == f"Use `{known}` instead of `{name}`."
