"""Requests as the official package writes them."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
from openai import OpenAI
from pydantic import BaseModel

from modelgates_server.core.metering.request import InferenceRequest
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.openai_chat.request import parse_request as parse_chat
from modelgates_server.dialects.openai_responses.request import parse_request
from modelgates_server.dialects.openai_responses.to_chat import to_chat
from tests.core.calls import MODEL

REASONING = {"type": "reasoning", "id": "rs_gen-1_0", "summary": []}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather"}
CALL |= {"arguments": '{"city":"Rome"}', "status": "completed"}
TEXT = {"type": "output_text", "text": '{"sky":"blue"}', "annotations": []}
MESSAGE: dict[str, Any] = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
}
MESSAGE |= {"content": [TEXT]}
USAGE: dict[str, Any] = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
USAGE |= {"input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0}}
USAGE |= {"output_tokens_details": {"reasoning_tokens": 0}}


class Provider:
    """Answers with these outputs in turn, and keeps the requests."""

    def __init__(self, *outputs: list[dict[str, Any]]) -> None:
        self.requests: list[InferenceRequest] = []
        self._outputs: Iterator[list[dict[str, Any]]] = iter(outputs)

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        read = parse_request(Api.RESPONSES, request.content)
        parse_chat(Api.CHAT, to_chat(read).body)
        self.requests.append(read)
        body = {
            "id": "resp_1",
            "object": "response",
            "created_at": 1,
            "status": "completed",
            "model": MODEL,
            "output": next(self._outputs),
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": USAGE,
        }
        return httpx2.Response(200, json=body)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages of the last request in chat completions."""
        written: list[dict[str, Any]] = json.loads(to_chat(self.requests[-1]).body)["messages"]
        return written


class Sky(BaseModel):
    sky: str


def client(provider: Provider) -> OpenAI:
    transport = httpx2.MockTransport(provider)
    return OpenAI(
        api_key="k", base_url="http://a/v1", http_client=httpx2.Client(transport=transport)
    )


def test_output_of_openai_sdk_is_sent_back_as_it_is() -> None:
    provider = Provider([REASONING, CALL], [MESSAGE])
    sdk = client(provider)
    given: list[Any] = [{"role": "user", "content": "Weather?"}]
    first = sdk.responses.create(model=MODEL, input=given)
    given += first.output
    given.append({"type": "function_call_output", "call_id": "call_1", "output": "sunny"})
    second = sdk.responses.create(model=MODEL, input=given)
    assert second.output_text == TEXT["text"]
    assert [message["role"] for message in provider.messages] == ["user", "assistant", "tool"]


def test_openai_sdk_parses_structured_output() -> None:
    provider = Provider([MESSAGE])
    parsed = client(provider).responses.parse(model=MODEL, input="x", text_format=Sky)
    assert parsed.output_parsed == Sky(sky="blue")
    body = json.loads(to_chat(provider.requests[0]).body)
    assert body["response_format"]["json_schema"]["name"] == "Sky"
    assert body["response_format"]["json_schema"]["strict"] is True
