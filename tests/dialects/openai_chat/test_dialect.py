"""The dialect as a whole: paths, error envelopes, keep-alives."""

import json

from modelgates_server.core.pricing.catalog import Api, Endpoint
from modelgates_server.dialects.dialect import ErrorReport
from modelgates_server.dialects.known import DIALECTS
from modelgates_server.dialects.openai_chat.dialect import OPENAI_CHAT
from modelgates_server.dialects.sse import SseReader
from tests.core.calls import UPSTREAM_MODEL, endpoint
from tests.dialects.openai_chat.chat import BODIES, body_of


def test_endpoint_without_a_dialect_uses_this_one() -> None:
    silent = Endpoint(id="acme:m", provider="acme", upstream_model="m")
    assert DIALECTS[silent.dialects[0]] is OPENAI_CHAT


def test_paths_of_operations_are_those_of_openai() -> None:
    assert [OPENAI_CHAT.path(api) for api in BODIES] == [
        "chat/completions",
        "completions",
        "embeddings",
    ]


def test_request_is_sent_with_the_model_cap_and_tier_of_the_endpoint() -> None:
    request = OPENAI_CHAT.parse_request(Api.CHAT, body_of(odd=[1], service_tier="auto"))
    body = OPENAI_CHAT.upstream_body(request, endpoint(), cap_tokens=7, service_tier="default")
    sent = json.loads(body)
    assert (sent["model"], sent["max_tokens"]) == (UPSTREAM_MODEL, 7)
    assert (sent["odd"], sent["service_tier"]) == ([1], "default")


def test_error_body_leaves_out_absent_fields() -> None:
    report = ErrorReport(404, "Resource not found", retry_after_s=1)
    assert OPENAI_CHAT.error_body(report) == (
        b'{"error":{"message":"Resource not found","code":404}}'
    )
    full = ErrorReport(402, "no", {"reason": "empty"})
    assert OPENAI_CHAT.error_body(full, "user_1") == (
        b'{"error":{"message":"no","code":402,"metadata":{"reason":"empty"}},"user_id":"user_1"}'
    )


def test_error_after_the_headers_has_the_retry_time_in_its_metadata() -> None:
    report = ErrorReport(429, "slow", {"error_type": "rate_limit_exceeded"}, 20)
    assert json.loads(OPENAI_CHAT.late_error_body(report, "user_1")) == {
        "error": {
            "message": "slow",
            "code": 429,
            "metadata": {"error_type": "rate_limit_exceeded", "retry_after_seconds": 20},
        },
        "user_id": "user_1",
    }


def test_keep_alives_are_not_part_of_the_response() -> None:
    assert SseReader().feed(OPENAI_CHAT.stream_keep_alive * 2) == []
    assert json.loads(OPENAI_CHAT.plain_keep_alive * 2 + b"{}") == {}
