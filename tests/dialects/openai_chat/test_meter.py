from typing import Any

import pytest

from modelgates_server.core.metering.meter import InvalidAnswer
from modelgates_server.core.pricing.usage import Usage
from modelgates_server.dialects.openai_chat.meter import ChatResponseMeter
from tests.dialects.openai_chat import chat

REPORT = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}


def test_usage_of_the_whole_response_overrides_that_of_a_choice() -> None:
    less = {"prompt_tokens": 1, "completion_tokens": 1}
    choice = {"delta": {}, "finish_reason": "stop", "usage": less}
    assert chat.metered({"choices": [choice], "usage": REPORT}).reported == REPORT
    assert chat.metered({"choices": [choice]}, {"choices": [], "usage": REPORT}).reported == REPORT


@pytest.mark.parametrize("junk", [None, {}, [], 5, "none", True])
def test_junk_after_valid_usage_does_not_replace_the_usage(junk: object) -> None:
    meter = chat.metered({"usage": REPORT}, {"usage": junk, "x_groq": junk, "choices": None})
    assert meter.reported == REPORT


@pytest.mark.parametrize("word", ["null", "None", "unfinished", "not_finished"])
def test_finish_reason_that_means_unfinished_is_ignored(word: str) -> None:
    assert chat.metered({"choices": [{"finish_reason": word}]}).finish_reason is None


@pytest.mark.parametrize("junk", [b"NaN", b"-Infinity", b"1e400", b"9" * 5000, b"Infinity"])
def test_only_the_invalid_number_is_refused_when_json_has_one(junk: bytes) -> None:
    meter = ChatResponseMeter()
    members = meter.observe(
        b'{"choices":[{"message":{"content":"NaN hi"},"x":%b}],"usage":{"prompt_tokens":9,'
        b'"completion_tokens":2,"total_tokens":%b,"tps":%b,'
        b'"prompt_tokens_details":{"cached_tokens":4,"x":%b}}}'
        % (b"1" if junk.startswith((b"1", b"9")) else junk, junk, junk, junk)
    )
    reading = meter.reading()
    assert reading.usage == Usage(input=5, cache_read=4, output=2)
    assert reading.refused == 1
    assert meter.output.text_bytes == len("NaN hi")
    assert b"NaN hi" in bytes(members["choices"])


def test_last_valid_finish_reason_is_kept_and_cut() -> None:
    reasons: list[Any] = ["x" * 300, None, "", 5, {}]
    meter = chat.metered(*({"choices": [{"finish_reason": reason}]} for reason in reasons))
    assert meter.native_finish_reason == "x" * 255
    assert chat.metered({"id": "i" * 300}, {"id": "j"}).upstream_id == "i" * 255
    assert chat.metered({"id": 5}, {"id": None}).upstream_id is None


@pytest.mark.parametrize("error", ["overloaded", {"message": "x"}, [1], {"code": 1}, 1])
def test_error_is_recorded_in_any_form(error: object) -> None:
    assert chat.metered({"error": error}, {"error": None}).error == error


@pytest.mark.parametrize("error", [None, "", {}, [], False])
def test_empty_error_does_not_end_a_good_response(error: object) -> None:
    assert not chat.metered({"choices": [{"delta": {"content": "a"}}], "error": error}).error


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
        b'{"a":"\xff\xfe"}x',
    ],
)
def test_invalid_response_raises_invalid_answer(payload: bytes) -> None:
    with pytest.raises(InvalidAnswer, match="Not a response of this API"):
        ChatResponseMeter().observe(payload)


def test_service_tier_is_read_in_every_place_and_the_last_one_wins() -> None:
    def tier(*responses: dict[str, Any]) -> str | None:
        return chat.metered(*responses).service_tier

    assert tier({"service_tier": "flex"}) == "flex"
    assert tier({"usage": {**REPORT, "service_tier": "batch"}}) == "batch"
    assert tier({"x_groq": {"usage": {**REPORT, "service_tier": "flex"}}}) == "flex"
    assert tier({"choices": [{"usage": {**REPORT, "service_tier": "flex"}}]}) == "flex"
    assert tier({"service_tier": "flex", "usage": {"service_tier": "batch"}}) == "flex"
    assert tier({"service_tier": "auto", "usage": {"service_tier": "priority"}}) == "priority"
    assert tier({"service_tier": "default"}, {"service_tier": "flex"}, {}) == "flex"
    for junk in (None, "", "auto", 5, True, {"type": "flex"}, ["flex"]):
        assert tier({"service_tier": "flex"}, {"service_tier": junk}) == "flex"
    assert tier({}) is None
    assert tier({"service_tier": "p" * 300}) == "p" * 255, "the stored word is cut"
