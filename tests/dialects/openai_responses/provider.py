"""A provider of the Responses API for tests: event logs, and the adapters for them.

The logs in `golden/events` have one event in a line. `test_response_golden.py` proves them with the
types and the accumulator of OpenAI's client.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.metering.request import InferenceRequest
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.core.pricing.prices import charge_for
from modelgates_server.core.pricing.usage import Usage
from modelgates_server.core.redaction import Redactor
from modelgates_server.dialects.dialect import ErrorReport, ResponseAdapter
from modelgates_server.dialects.openai_chat.dialect import OPENAI_CHAT
from modelgates_server.dialects.openai_responses.dialect import (
    OPENAI_RESPONSES,
    OPENAI_RESPONSES_TRANSLATION,
)
from modelgates_server.dialects.translation import TranslatedResponse
from tests.core import calls
from tests.dialects.openai_chat import chat
from tests.dialects.openai_responses.responses import function, request
from tests.support import T0_MS

LOGS = Path(__file__).parent / "golden" / "events"
ALL_LOGS = sorted(path.stem for path in LOGS.glob("*.jsonl"))
GOOD_LOGS = [name for name in ALL_LOGS if not name.startswith("failed")]
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}
TOOLS = [
    function("weather", strict=True),
    {"type": "custom", "name": "apply_patch", "description": "p", "format": GRAMMAR},
    {
        "type": "namespace",
        "name": "agents",
        "description": "n",
        "tools": [function("spawn", strict=False)],
    },
]
PRICE = calls.flat(input="0.001", output="0.002", cache_read="0.0001", cache_write="0.00125")
SENT = request(tools=TOOLS, stream=True)
ERROR = ErrorReport(502, "Provider returned error", code="provider_unavailable")

Event = dict[str, Any]


def log(name: str) -> list[Event]:
    """The events of a golden log."""
    lines = (LOGS / f"{name}.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def wire(events: Iterable[Event]) -> bytes:
    """The events as a provider sends them."""
    texts = (f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in events)
    return "".join(texts).encode()


def last(name: str) -> Event:
    """The response in the last event of a golden log."""
    response: Event = log(name)[-1]["response"]
    return response


def read(data: bytes) -> list[Event]:
    """The events of a stream; every one has its name in a line of its own."""
    events = []
    for block in data.decode().split("\n\n")[:-1]:
        name, body = block.split("\n")
        event = json.loads(body.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    return events


def open_call(sent: InferenceRequest = SENT, **members: Any) -> Generation:
    held = calls.held(calls.priced(PRICE, calls.request(Api.CHAT)))
    return calls.replace(held, api=sent.api, **members)


def settled(usage: Usage | None = None) -> Generation:
    """The generation of a call that was charged for this usage."""
    usage = usage or Usage(input=20, cache_read=10, output=5)
    charge = charge_for(PRICE, usage, 0, 10**15)
    return open_call(
        state=HoldState.CAPTURED,
        ended_at_ms=T0_MS + 1000,
        usage=usage,
        lines=charge.lines,
        cost_pico=charge.amount_pico,
    )


def native(sent: InferenceRequest = SENT, *, most: int = 100_000) -> ResponseAdapter:
    """The adapter for a client and a provider that both speak this API."""
    return OPENAI_RESPONSES.response(
        open_call(sent),
        sent,
        calls.model(),
        text_max_bytes=most,
        media_max_bytes=most,
        redactor=Redactor(),
    )


def hub(sent: InferenceRequest = SENT) -> ResponseAdapter:
    """The adapter of chat completions."""
    return OPENAI_CHAT.response(
        calls.replace(open_call(sent), api=Api.CHAT),
        chat.request(stream=sent.stream),
        calls.model(),
        text_max_bytes=100_000,
        media_max_bytes=100_000,
        redactor=Redactor(),
    )


def for_chat(sent: InferenceRequest = SENT) -> TranslatedResponse:
    """A client of chat completions, a provider of this API."""
    return TranslatedResponse(hub(sent), OPENAI_RESPONSES_TRANSLATION.decoder(sent), None)


def of_chat(sent: InferenceRequest = SENT) -> TranslatedResponse:
    """A client of this API, a provider of chat completions."""
    return TranslatedResponse(
        hub(sent), None, OPENAI_RESPONSES_TRANSLATION.encoder(open_call(sent), sent)
    )


def both_ways(sent: InferenceRequest = SENT) -> TranslatedResponse:
    """A client and a provider of this API, with chat completions in between."""
    translation = OPENAI_RESPONSES_TRANSLATION
    return TranslatedResponse(
        hub(sent), translation.decoder(sent), translation.encoder(open_call(sent), sent)
    )


def relayed(adapter: ResponseAdapter, data: bytes, size: int | None = None) -> bytes:
    """The client's bytes of a stream that ends well and comes in pieces of this size."""
    step = size or len(data) or 1
    pieces = [data[at : at + step] for at in range(0, len(data), step)]
    sent = b"".join(b"".join(adapter.feed(piece)) for piece in pieces)
    sent += b"".join(adapter.finish())
    adapter.check_end()
    return sent + adapter.end(settled(adapter.meter.reading().usage))


def encoded(value: Any) -> bytes:
    return msgspec.json.encode(value)
