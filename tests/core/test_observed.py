from typing import Any

import pytest

from modelgates_server.core.observed import InvalidAnswer, Observed
from tests.core import calls

REPORT = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}


def test_usage_in_a_choice_is_second_to_that_of_the_whole() -> None:
    less = {"prompt_tokens": 1, "completion_tokens": 1}
    choice = {"delta": {}, "finish_reason": "stop", "usage": less}
    assert calls.seen({"choices": [choice], "usage": REPORT}).reported == REPORT
    assert calls.seen({"choices": [choice]}, {"choices": [], "usage": REPORT}).reported == REPORT


@pytest.mark.parametrize("junk", [None, {}, [], 5, "none", True])
def test_what_comes_after_true_usage_and_is_none_does_not_wipe_it_out(junk: object) -> None:
    observed = calls.seen({"usage": REPORT}, {"usage": junk, "x_groq": junk, "choices": None})
    assert observed.reported == REPORT


def test_usage_that_cannot_be_read_does_not_spoil_the_answer() -> None:
    observed = Observed()
    observed.see(
        b'{"choices":[{"delta":{"content":"hi"}}],"usage":{"prompt_tokens":%b}}' % (b"9" * 5000)
    )
    assert observed.reported is None
    assert observed.output_bytes == 2


def output_bytes(part: dict[str, Any]) -> int:
    delta = calls.seen({"choices": [{"delta": part}]}).output_bytes
    assert delta == calls.seen({"choices": [{"message": part}]}).output_bytes
    return delta


@pytest.mark.parametrize(
    ("part", "size"),
    [
        ({"content": None}, 0),
        ({"content": ""}, 0),
        ({"role": "assistant", "content": "", "refusal": None, "tool_calls": []}, 0),
        ({"content": "12345678"}, 8),
        ({"refusal": "1234"}, 4),
        ({"reasoning": "1234"}, 4),
        ({"reasoning_content": "1234", "content": "5678"}, 8),
        ({"tool_calls": [{"index": 0, "function": {"arguments": "12345678"}}]}, 8),
        ({"tool_calls": [{"id": "abcd", "function": {"name": "f", "arguments": "{}"}}]}, 7),
        ({"tool_calls": [{"function": {"name": None, "arguments": None}}]}, 1),
        ({"tool_calls": [{"function": {"arguments": {"city": "Rome"}}}]}, 4),
        ({"function_call": {"name": "f", "arguments": "1234"}}, 5),
    ],
)
def test_all_that_a_model_says_is_output(part: dict[str, Any], size: int) -> None:
    assert output_bytes(part) == size


@pytest.mark.parametrize(
    "part",
    [
        {"content": [{"type": "text", "text": "hi"}]},
        {"audio": {"data": "AAAA", "transcript": "hi"}},
        {"images": [{"image_url": {"url": "data:image/png;base64,AA"}}]},
    ],
)
def test_what_a_model_draws_or_speaks_is_not_nothing(part: dict[str, Any]) -> None:
    assert calls.seen({"choices": [{"delta": part}]}).has_output


def test_an_older_completion_says_it_in_text() -> None:
    assert (
        calls.seen({"choices": [{"text": "1234"}, {"text": ""}, {"text": None}]}).output_bytes == 4
    )


def test_the_last_reason_that_is_one_is_kept_cut_short() -> None:
    reasons: list[Any] = ["x" * 300, None, "", 5, {}]
    observed = calls.seen(*({"choices": [{"finish_reason": reason}]} for reason in reasons))
    assert observed.native_finish_reason == "x" * 255
    assert calls.seen({"id": "i" * 300}, {"id": "j"}).upstream_id == "i" * 255
    assert calls.seen({"id": 5}, {"id": None}).upstream_id is None


@pytest.mark.parametrize("error", ["overloaded", {"message": "x"}, [1], {"code": 1}, 1])
def test_an_error_is_noticed_in_whatever_form(error: object) -> None:
    assert calls.seen({"error": error}, {"error": None}).error == error


@pytest.mark.parametrize("error", [None, "", {}, [], False])
def test_an_error_that_says_nothing_does_not_end_a_good_answer(error: object) -> None:
    assert not calls.seen({"choices": [{"delta": {"content": "a"}}], "error": error}).error


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b'"x"',
        b"5",
        b"{",
        b'{"choices":5}',
        b'{"choices":{}}',
        b'{"choices":[5]}',
        b'{"choices":[null]}',
        b'{"choices":[{"delta":{"content":"\xff"}}]',
        b'{"id":"\xff"}',
        b'{"a":"\xff\xfe"}x',
        b'{"choices":[{"delta":{"x":NaN}}]}',
        b'{"a":%b%b}' % (b"[" * 9999, b"]" * 9999),
        b'{"error":%b%b}' % (b"[" * 9999, b"]" * 9999),
        b'{"choices":[{"delta":{"tool_calls":{"a":"\\ud800"}}}]}',
    ],
)
def test_what_is_no_answer_is_said_to_be_none(payload: bytes) -> None:
    with pytest.raises(InvalidAnswer, match="not an answer of this API"):
        Observed().see(payload)
