"""Bodies of the largest size, built to cost more than their bytes."""

import json
from typing import Any

import pytest

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects import json_object
from modelgates_server.dialects.openai_chat.request import parse_request
from tests.core import calls
from tests.dialects.openai_chat import chat

SIZE = 20 * 1024 * 1024
ONE = b'{"role":"user","content":"x"}'


def rejection(body: bytes, api: Api = Api.CHAT) -> str:
    with pytest.raises(InvalidInput) as caught:
        parse_request(api, body)
    return str(caught.value)


def filled(start: bytes, unit: bytes, end: bytes) -> bytes:
    """A body that repeats one unit up to the largest size."""
    return start + unit * ((SIZE - len(start) - len(end)) // len(unit)) + end


MESSAGES = b'{"model":"a/b","messages":['
CONTINUED = MESSAGES + ONE + b"],"
FLOODS = {
    "empty messages": filled(MESSAGES + b"{}", b",{}", b"]}"),
    "messages": filled(MESSAGES + ONE, b"," + ONE, b"]}"),
    "duplicate name": filled(MESSAGES + b'{"role":"u","role":"x"}', b"," + ONE, b"]}"),
    "escaped name": filled(MESSAGES + b'{"\\u0072ole":"u"}', b',{"a":1}', b"]}"),
    "white space": filled(MESSAGES + ONE, b', {"a" :1}', b"]}"),
    "parts": filled(MESSAGES + b'{"content":[{"type":"a"}', b',{"type":"b"}', b"]}]}"),
    "images": filled(MESSAGES + b'{"content":"x","images":[{}', b",{}", b"]}]}"),
    "tools": filled(CONTINUED + b'"tools":[{"type":"function"}', b",{}", b"]}"),
    "models": filled(CONTINUED + b'"models":["a"', b',"a"', b"]}"),
    "only": filled(CONTINUED + b'"provider":{"only":["a"', b',"a"', b"]}}"),
    "names": filled(CONTINUED + b'"a":1', b',"\\\\":1', b"}"),
    "lists": CONTINUED + b'"a":' + b"[" * 9_000_000 + b"]" * 9_000_000 + b"}",
}


@pytest.mark.parametrize("kind", FLOODS)
def test_body_with_too_many_values_is_rejected_before_it_is_decoded(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(json_object, "_whole_object")  # decoding would take seconds
    monkeypatch.delattr(json_object, "_objects")
    expected = (
        "The request body has more than 250,000 strings, or more than 50,000 objects and lists."
    )
    assert rejection(FLOODS[kind]).startswith(expected)


def test_body_is_accepted_when_its_value_signs_are_within_strings() -> None:
    text = '{"a":"b\\\\"},[]' * 1_000_000
    assert chat.request(messages=[{"role": "user", "content": text}]).messages == 1


def test_body_is_accepted_when_its_values_are_just_below_the_limit() -> None:
    messages = [{"role": "user", "content": "word " * 8}] * 49_000
    for separators in ((",", ":"), (", ", ": ")):
        body = json.dumps({"model": calls.MODEL, "messages": messages}, separators=separators)
        assert parse_request(Api.CHAT, body.encode()).messages == 49_000


@pytest.mark.parametrize("flood", [b",1", b",-1", b",null", b',1,"b"', b",[1]", b",[[]]"], ids=str)
def test_embeddings_request_with_too_many_texts_is_rejected(flood: bytes) -> None:
    body = filled(b'{"model":"a/b","input":["a"', flood, b"]}")
    message = rejection(body, Api.EMBEDDINGS)
    assert "10,000" in message or "250,000" in message


@pytest.mark.parametrize("number", [b",1", b", 12", b",-1"])
def test_embeddings_input_in_tokens_is_one_text_of_any_length(number: bytes) -> None:
    body = filled(b'{"model":"a/b","input":[1', number, b"]}")
    assert parse_request(Api.EMBEDDINGS, body).texts == 1
    lists = b'{"model":"a/b","input":[%b]}' % b",".join([b"[%b]" % b"1,2,3,4"] * 2000)
    assert parse_request(Api.EMBEDDINGS, lists).texts == 2000


def test_request_with_too_many_models_or_part_types_is_rejected() -> None:
    message = rejection(chat.body_of(models=["a"] * 101))
    assert message == "`models` must be a list of at most 100 items or `null`, not a list."
    for name in ("only", "order", "ignore"):
        message = rejection(chat.body_of(provider={name: ["a"] * 101}))
        assert "a list of at most 100 items" in message
        assert f"`provider.{name}`" in message
    parts = [{"type": f"type {number}"} for number in range(101)]
    message = rejection(chat.body_of(messages=[{"role": "user", "content": parts}]))
    assert message == ("`messages` has more than 100 types of content parts. Use fewer types.")


def test_names_are_checked_only_in_objects_that_differ(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checked: list[str] = []
    refuse_too_many = json_object._refuse_too_many

    def check(count: int, path: str) -> None:
        checked.append(path)
        refuse_too_many(count, path)

    monkeypatch.setattr(json_object, "_refuse_too_many", check)
    odd = b'{"r\\u006fle":"user","content":"x"}'
    body = MESSAGES + b",".join([ONE] * 500 + [odd] + [ONE] * 500) + b"]}"
    assert parse_request(Api.CHAT, body).messages == 1001
    assert checked.count("messages") == 2  # the names of all objects together, and those of one
    checked.clear()
    tool = {"type": "function", "function": {"name": "f", "description": "d" * 2000}}
    body = json.dumps(
        {"model": "a/b", "messages": [{"content": "x"}], "tools": [tool] * 90},
        separators=(",", ":"),
    ).encode()
    assert parse_request(Api.CHAT, body).has_tools
    assert checked.count("tools") == checked.count("`function` of `tools`") == 1


@pytest.mark.parametrize(
    "member",
    [
        {"route": "x" * 10**6},
        {"provider": {"data_collection": "x" * 10**6}},
        {"provider": {"x" * 10**6: 1}},
        {"stream_options": {"Include_Usage": 1, "x" * 10**6: 1}},
        {"deferred" + "_" * 10**6: True},
        {"plugins": [{"id": "x" * 10**6}]},
        {"tools": [{"type": "x" * 10**6}]},
        {"x": {}, "service_tier": "x" * 10**6},
    ],
)
def test_rejection_is_short_when_the_quoted_value_is_long(member: dict[str, Any]) -> None:
    assert len(rejection(chat.body_of(**member))) < 600


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        (
            b'"messages":"hi"',
            '`messages` must be a list, not `"hi"`.',
        ),
        (
            b'"messages":[{"content":"x"}],"stream_options":"x"',
            '`stream_options` must be an object, not `"x"`.',
        ),
        (
            b'"messages":[{"content":"x"}],"tools":[{"type":1}]',
            "`tools[0].type` must be a string, not `1`.",
        ),
        (b'"messages":["x"]', '`messages[0]` must be an object, not `"x"`.'),
        (
            b'"messages":[{"content":"a \\ud83d b"}]',
            "`\\ud83d`, which is half of a surrogate pair",
        ),
        (b'"messages":[{"content":"a \\ud83d"}]', "`\\ud83d`, which is half of a surrogate pair"),
        (
            b'"messages":[{"content":"\\ud83d\\ude00 \\ude01 b"}]',
            "`\\ude01`, which is half of a surrogate pair",
        ),
        (b'"user":"\\ud83d","messages":[]', "`\\ud83d`, which is half of a surrogate pair"),
        (b'"messages":[{"content":"a', "The request body is not valid JSON: it ends too early."),
    ],
)
def test_rejection_names_the_invalid_value_and_its_location(member: bytes, expected: str) -> None:
    assert expected in rejection(b'{"model":"a/b",%b}' % member)
