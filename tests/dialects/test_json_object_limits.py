"""Bodies of the greatest size that are made to cost more than their bytes."""

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


def refusal(body: bytes, api: Api = Api.CHAT) -> str:
    with pytest.raises(InvalidInput) as refused:
        parse_request(api, body)
    return str(refused.value)


def filled(start: bytes, unit: bytes, end: bytes) -> bytes:
    """A body with one unit again and again."""
    return start + unit * ((SIZE - len(start) - len(end)) // len(unit)) + end


MESSAGES = b'{"model":"a/b","messages":['
BESIDE = MESSAGES + ONE + b"],"
FLOODS = {
    "empty messages": filled(MESSAGES + b"{}", b",{}", b"]}"),
    "messages": filled(MESSAGES + ONE, b"," + ONE, b"]}"),
    "a doubled name": filled(MESSAGES + b'{"role":"u","role":"x"}', b"," + ONE, b"]}"),
    "an escaped name": filled(MESSAGES + b'{"\\u0072ole":"u"}', b',{"a":1}', b"]}"),
    "white space": filled(MESSAGES + ONE, b', {"a" :1}', b"]}"),
    "parts": filled(MESSAGES + b'{"content":[{"type":"a"}', b',{"type":"b"}', b"]}]}"),
    "pictures": filled(MESSAGES + b'{"content":"x","images":[{}', b",{}", b"]}]}"),
    "tools": filled(BESIDE + b'"tools":[{"type":"function"}', b",{}", b"]}"),
    "models": filled(BESIDE + b'"models":["a"', b',"a"', b"]}"),
    "only": filled(BESIDE + b'"provider":{"only":["a"', b',"a"', b"]}}"),
    "names": filled(BESIDE + b'"a":1', b',"\\\\":1', b"}"),
    "lists": BESIDE + b'"a":' + b"[" * 9_000_000 + b"]" * 9_000_000 + b"}",
}


@pytest.mark.parametrize("kind", FLOODS)
def test_body_is_refused_before_it_is_read_when_it_has_too_many_values(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(json_object, "_whole_object")  # would take seconds
    monkeypatch.delattr(json_object, "_objects")
    assert refusal(FLOODS[kind]).startswith("the body has more than 250000 strings, or more than")


def test_body_passes_when_what_looks_like_values_is_text() -> None:
    text = '{"a":"b\\\\"},[]' * 1_000_000
    assert chat.request(messages=[{"role": "user", "content": text}]).messages == 1


def test_body_passes_when_it_has_nearly_as_many_values_as_are_read() -> None:
    messages = [{"role": "user", "content": "word " * 8}] * 49_000
    for separators in ((",", ":"), (", ", ": ")):
        body = json.dumps({"model": calls.MODEL, "messages": messages}, separators=separators)
        assert parse_request(Api.CHAT, body.encode()).messages == 49_000


@pytest.mark.parametrize("flood", [b",1", b",-1", b",null", b',1,"b"', b",[1]", b",[[]]"], ids=str)
def test_embeddings_are_refused_when_they_are_of_too_many_texts(flood: bytes) -> None:
    body = filled(b'{"model":"a/b","input":["a"', flood, b"]}")
    assert "10000" in refusal(body, Api.EMBEDDINGS) or "250000" in refusal(body, Api.EMBEDDINGS)


@pytest.mark.parametrize("number", [b",1", b", 12", b",-1"])
def test_embedding_of_a_text_in_tokens_is_one_text_of_any_length(number: bytes) -> None:
    body = filled(b'{"model":"a/b","input":[1', number, b"]}")
    assert parse_request(Api.EMBEDDINGS, body).texts == 1
    lists = b'{"model":"a/b","input":[%b]}' % b",".join([b"[%b]" % b"1,2,3,4"] * 2000)
    assert parse_request(Api.EMBEDDINGS, lists).texts == 2000


def test_request_is_refused_when_it_names_too_many_models_or_types_of_parts() -> None:
    told = refusal(chat.body_of(models=["a"] * 101))
    assert told == "the body does not fit: Expected `array` of length <= 100 - at `$.models`"
    for name in ("only", "order", "ignore"):
        told = refusal(chat.body_of(provider={name: ["a"] * 101}))
        assert "length <= 100" in told
        assert f"provider.{name}" in told
    parts = [{"type": f"type {number}"} for number in range(101)]
    told = refusal(chat.body_of(messages=[{"role": "user", "content": parts}]))
    assert told == "there are more than 100 types of parts in messages"


def test_names_are_looked_at_only_in_those_objects_that_differ(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_at: list[str] = []
    refuse_too_many = json_object._refuse_too_many

    def look(count: int, path: str) -> None:
        looked_at.append(path)
        refuse_too_many(count, path)

    monkeypatch.setattr(json_object, "_refuse_too_many", look)
    odd = b'{"r\\u006fle":"user","content":"x"}'
    body = MESSAGES + b",".join([ONE] * 500 + [odd] + [ONE] * 500) + b"]}"
    assert parse_request(Api.CHAT, body).messages == 1001
    assert looked_at.count("messages") == 2  # the names of all together, and those of one
    looked_at.clear()
    tool = {"type": "function", "function": {"name": "f", "description": "d" * 2000}}
    body = json.dumps(
        {"model": "a/b", "messages": [{"content": "x"}], "tools": [tool] * 90},
        separators=(",", ":"),
    ).encode()
    assert parse_request(Api.CHAT, body).has_tools
    assert looked_at.count("tools") == looked_at.count("function of tools") == 1


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
def test_refusal_is_short_however_long_the_member_is(member: dict[str, Any]) -> None:
    assert len(refusal(chat.body_of(**member))) < 600


@pytest.mark.parametrize(
    ("member", "told"),
    [
        (
            b'"messages":"hi"',
            "the body does not fit: Expected `array`, got `str` - at `$.messages`",
        ),
        (
            b'"messages":[{"content":"x"}],"stream_options":"x"',
            "the body does not fit: Expected `object`, got `str` - at `$.stream_options`",
        ),
        (
            b'"messages":[{"content":"x"}],"tools":[{"type":1}]',
            "the body does not fit: Expected `str`, got `int` - at `$.tools[0].type`",
        ),
        (b'"messages":["x"]', "Expected `object`, got `str` - at `$.messages[0]`"),
        (b'"messages":[{"content":"a \\ud83d b"}]', "half a character (\\ud83d): a surrogate"),
        (b'"messages":[{"content":"a \\ud83d"}]', "half a character (\\ud83d): a surrogate"),
        (b'"messages":[{"content":"\\ud83d\\ude00 \\ude01 b"}]', "half a character (\\ude01)"),
        (b'"user":"\\ud83d","messages":[]', "half a character (\\ud83d)"),
        (b'"messages":[{"content":"a', "the body does not fit: Input data was truncated"),
    ],
)
def test_refusal_says_what_does_not_fit_and_where(member: bytes, told: str) -> None:
    assert told in refusal(b'{"model":"a/b",%b}' % member)
