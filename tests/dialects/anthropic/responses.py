"""Responses in Anthropic's format for tests, the official reader, and the three ways to a client.

The golden files are streams (`.sse`) in the form of Anthropic's documentation, and the messages
(`.json`) that the official package makes of them.
"""

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from modelgates_server.core.errors import ProviderError
from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.metering.settlement import settle
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.core.redaction import NO_SECRETS
from modelgates_server.dialects.anthropic.decoder import MessagesDecoder
from modelgates_server.dialects.anthropic.dialect import ANTHROPIC, ANTHROPIC_TRANSLATION
from modelgates_server.dialects.dialect import ErrorReport, ResponseAdapter
from modelgates_server.dialects.openai_chat.dialect import OPENAI_CHAT
from modelgates_server.dialects.translation import TranslatedResponse
from tests.core import calls
from tests.dialects.anthropic import messages
from tests.dialects.openai_chat import chat
from tests.support import T0_MS

GOLDEN = Path(__file__).parent / "golden" / "responses"
NAMES = sorted(path.stem for path in GOLDEN.glob("*.json"))
PRICE = calls.flat(
    input="0.001",
    output="0.002",
    cache_read="0.0001",
    cache_write="0.00125",
    cache_write_1h="0.002",
)
_event = TypeAdapter[Any](RawMessageStreamEvent)
_PASSED = ("ping", "error")


def golden_stream(name: str) -> bytes:
    return (GOLDEN / f"{name}.sse").read_bytes()


@cache
def _golden_message(name: str) -> bytes:
    return (GOLDEN / f"{name}.json").read_bytes()


def golden_message(name: str) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(_golden_message(name))
    return message


def events_of(stream: bytes) -> list[dict[str, Any]]:
    """The events of a stream, each with its name in a line of its own."""
    read = []
    for text in stream.decode().removesuffix("\n\n").split("\n\n"):
        name, data = text.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        read.append(event)
    return read


def stream_of(events: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(
        b"event: %b\ndata: %b\n\n" % (each["type"].encode(), json.dumps(each).encode())
        for each in events
    )


def accumulated(stream: bytes) -> dict[str, Any]:
    """The message that the official package makes of a stream, whose events it validates."""
    snapshot, buffers = None, dict[int, bytes]()
    events = events_of(stream)
    assert events[-1]["type"] == "message_stop"
    for each in events:
        if each["type"] not in _PASSED:
            event = _event.validate_python(each)
            snapshot = accumulate_event(event=event, current_snapshot=snapshot, json_bufs=buffers)
    assert snapshot is not None
    message: dict[str, Any] = snapshot.to_dict(exclude_unset=True)
    return validated(message)


def validated(message: dict[str, Any]) -> dict[str, Any]:
    Message.model_validate(message)
    return message


class Way:
    """One response on its way to a client.

    `client` and `provider` name the dialects: `anthropic` or `chat`.
    """

    def __init__(self, client: str = "anthropic", provider: str = "anthropic", **asked: Any):
        self.asked = messages.request(**asked)
        self.in_chat = chat.request(stream_options={"include_usage": True})
        priced = calls.priced(PRICE, self.asked)
        self.price = PRICE
        self.generation = calls.replace(calls.held(priced), api=Api.MESSAGES, hold_pico=10**18)
        self.adapter = self._adapter(client, provider)

    def _adapter(self, client: str, provider: str) -> ResponseAdapter:
        model = calls.model()
        limits: Any = {
            "text_max_bytes": 10**6,
            "media_max_bytes": 10**6,
            "redactor": NO_SECRETS,
        }
        if client == provider == "anthropic":
            return ANTHROPIC.response(self.generation, self.asked, model, **limits)
        generation = calls.replace(self.generation, api=Api.CHAT)
        hub = OPENAI_CHAT.response(generation, self.in_chat, model, **limits)
        decoder = ANTHROPIC_TRANSLATION.decoder(self.asked) if provider == "anthropic" else None
        encoder = None
        if client == "anthropic":
            encoder = ANTHROPIC_TRANSLATION.encoder(self.generation, self.asked)
        return TranslatedResponse(hub, decoder, encoder)

    def settled(self, failure: str | None = None) -> Generation:
        return settle(
            self.generation,
            self.price,
            self.asked,
            self.adapter.meter,
            failure=failure,
            at_ms=T0_MS + 1,
        )

    def streamed(self, data: bytes, size: int = 0) -> bytes:
        """The client's stream, for a provider's that arrives in pieces of this size."""
        sent = b"".join(self.pieces(data, size))
        self.adapter.check_end()
        return sent + self.adapter.end(self.settled())

    def pieces(self, data: bytes, size: int = 0) -> list[bytes]:
        sent = []
        for at in range(0, len(data), size or len(data)):
            sent += list(self.adapter.feed(data[at : at + (size or len(data))]))
        if not self.adapter.is_over:
            sent += list(self.adapter.finish())
        return sent

    def plain(self, payload: bytes) -> dict[str, Any]:
        """The client's plain response."""
        assert self.adapter.read_answer(payload) is None
        answer: dict[str, Any] = json.loads(self.adapter.answer(self.settled()))
        return answer

    def failed(self, data: bytes) -> ProviderError:
        """The error of a stream that fails."""
        try:
            self.pieces(data)
            self.adapter.check_end()
        except ProviderError as error:
            return error
        raise AssertionError("The stream has not failed.")


def double(stream: bytes, size: int = 0) -> bytes:
    """A provider's stream as chat completions, and those as a stream of this API again."""
    decoder = MessagesDecoder(writes_1h=False)
    chunks = decoder.feed(stream) + decoder.close()
    return Way(provider="chat").streamed(chunks, size)


def report(status: int, message: str = "Wrong", **members: Any) -> ErrorReport:
    return msgspec.structs.replace(ErrorReport(status, message), **members)
