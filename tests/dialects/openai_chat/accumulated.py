"""What OpenAI's own client makes of the gateway's chunks and responses: its types, its sums."""

import json
from collections.abc import Iterable
from typing import Any

from openai._models import construct_type
from openai.lib.streaming.chat._completions import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.dialect import ErrorReport
from modelgates_server.dialects.openai_chat.stream import OpenAiChatResponse
from tests.core.calls import model
from tests.dialects.openai_chat.test_stream import open_call, relayed
from tests.upstream import event

MAX_BYTES = 10**6


def response(api: Api = Api.CHAT) -> OpenAiChatResponse:
    return OpenAiChatResponse(
        open_call(api), api, model(), text_max_bytes=MAX_BYTES, media_max_bytes=MAX_BYTES
    )


def sent(chunks: Iterable[Any], api: Api = Api.CHAT) -> list[dict[str, Any]]:
    """The client's chunks of a stream of these, with the last one."""
    adapter = response(api)
    shown = relayed(adapter, *map(event, chunks))
    last = adapter.end(open_call(api)).split(b"\n\n")[0]
    return [*shown, json.loads(last.removeprefix(b"data: "))]


def failed(adapter: OpenAiChatResponse) -> dict[str, Any]:
    last = adapter.error_end(open_call(), ErrorReport(502, "m")).split(b"\n\n")[0]
    shown: dict[str, Any] = json.loads(last.removeprefix(b"data: "))
    return shown


def answered(body: dict[str, Any]) -> dict[str, Any]:
    """The client's version of a plain response."""
    adapter = response()
    adapter.read_answer(json.dumps(body).encode())
    shown: dict[str, Any] = json.loads(adapter.answer(open_call()))
    return shown


def accumulated(chunks: list[dict[str, Any]]) -> ChatCompletion:
    """The whole response, put together by OpenAI's client; each chunk is checked by its types."""
    state: ChatCompletionStreamState[Any] = ChatCompletionStreamState()
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk)
        built = construct_type(type_=ChatCompletionChunk, value=chunk)
        assert isinstance(built, ChatCompletionChunk)
        state.handle_chunk(built)
    return state.current_completion_snapshot
