import json
from typing import Any

import pytest

from modelgates_server.core.pricing.catalog import Api
from modelgates_server.providers.sandbox.script import Script
from tests.providers.sandbox import WITH_USAGE, plain, refusal, says, script_for, wish


def chaos(members: dict[str, Any], **body: Any) -> Script:
    return script_for(Api.CHAT, model="chaos", messages=wish(**members), **body)


def body_of(members: dict[str, Any], **body: Any) -> bytes:
    return b"".join(chaos(members, **body).writes())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("hello", "invalid"),
        ("", "truncated"),
        ("[]", "Expected `object`"),
        ('{"chunk": 5}', "unknown field `chunk`"),
        ('{"tokens": -1}', "$.tokens"),
        ('{"tokens": 16385}', "$.tokens"),
        ('{"status": 200}', "$.status"),
        ('{"chunk_ms": 600001}', "$.chunk_ms"),
        ('{"usage": "odd"}', "$.usage"),
        ('{"usage": [1]}', "$.usage"),
        ('{"cut_after": 1, "error_after": 1}', "`cut_after` and `error_after` cannot be combined"),
        ('{"say": "x", "tokens": 1}', "`say` and `tokens` cannot be combined"),
    ],
)
def test_invalid_instructions_are_rejected(text: str, reason: str) -> None:
    status, error = refusal(Api.CHAT, model="chaos", messages=says(text))
    assert status == 400
    assert "Send `chaos` a JSON object as the last user message" in error["message"]
    assert reason in error["message"]


def test_instructions_are_read_from_a_prompt_too() -> None:
    answer = plain(Api.COMPLETIONS, model="chaos", prompt='{"say": "a b"}', n=2)
    assert [choice["text"] for choice in answer["choices"]] == ["a b", "a b"]
    status, error = refusal(Api.COMPLETIONS, model="chaos", prompt=["{}", "{}"])
    assert (status, error["param"]) == (400, "prompt")


def test_only_explicit_output_ignores_the_limit() -> None:
    def count(members: dict[str, Any]) -> int:
        script = chaos(members, max_tokens=3)
        used: int = json.loads(b"".join(script.writes()))["usage"]["completion_tokens"]
        return used

    assert count({}) == 3
    assert count({"tokens": 5}) == 5
    assert count({"say": "a b c d"}) == 4


def test_line_ends_and_comments_follow_the_instructions() -> None:
    members = {"say": "a", "comments": True, "crlf": True}
    *events, rest = body_of(members, **WITH_USAGE).split(b"\r\n\r\n")
    assert rest == b""
    assert events[0::2] == [b": the sandbox is awake"] * 5
    assert all(event.startswith(b"data: ") for event in events[1::2])
    assert not any(b"\n" in event for event in events)
    assert b"\r" not in body_of({"say": "a"}, **WITH_USAGE)


def test_pace_splits_the_body_into_pieces() -> None:
    events = body_of({"say": "a b"}, stream=True)
    assert list(chaos({"say": "a b"}, stream=True).writes()) == [events]
    paced = chaos({"say": "a b", "chunk_ms": 3, "first_byte_ms": 2}, stream=True)
    assert (paced.head_ms, paced.chunk_ms) == (2, 3)
    assert list(paced.writes()) == [event + b"\n\n" for event in events.split(b"\n\n")[:-1]]
    dripped = chaos({"say": "a b", "chunk_ms": 3})
    pieces = list(dripped.writes())
    assert b"".join(pieces) == body_of({"say": "a b"})
    assert {len(piece) for piece in pieces[:-1]} == {32}


def test_long_stream_is_written_in_parts() -> None:
    writes = list(chaos({"tokens": 16_384}, stream=True).writes())
    assert len(writes) > 10
    assert all(len(data) < 70_000 for data in writes)
