"""CPU time of a call in each dialect over each, against a chat completion that passes through.

The providers return fixed responses of 100 pieces, so that only the gateway's work differs.
"""

import json
import statistics
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import uvloop

from benchmarks.load import burst
from benchmarks.servers import HOST, Server, bare, modelgates, open_account, verify
from modelgates_server.core.keys import KeyKind
from modelgates_server.core.money import PICOS_PER_DOLLAR

PIECES = 100
CLIENTS, COUNT, ROUNDS = 16, 15, 5
PASSED_BAR, TRANSLATED_BAR = 1.15, 1.5
CHAT = "openai-chat"

_CREDITS_PICO = 100_000 * PICOS_PER_DOLLAR
_TEXTS = [f"word{number} " for number in range(PIECES)]
_PROVIDER = """
[providers.{name}]
base_url = "http://{host}:{port}/v1"
dialect = "{dialect}"

[models."{name}/m"]
provider = "{name}"
context_length = 100000
max_output_tokens = 1000

[[models."{name}/m".prices]]
input = "0.000001"
output = "0.000002"
"""

Events = Iterator[dict[str, Any]]


class Client(NamedTuple):
    """A dialect of clients: its path, and its request without `model` and `stream`."""

    path: str
    body: dict[str, Any]


_HELLO = [{"role": "user", "content": "hello"}]
CLIENTS_OF = {
    CHAT: Client("chat/completions", {"messages": _HELLO, "max_tokens": 500}),
    "anthropic": Client("messages", {"messages": _HELLO, "max_tokens": 500}),
    "openai-responses": Client("responses", {"input": "hello", "max_output_tokens": 500}),
}


def report() -> None:
    """Measure and print."""
    print(f"dialects: CPU time per call, {PIECES} pieces, relative to a chat completion")
    with TemporaryDirectory() as folder, ExitStack() as stack:
        url = f"sqlite:///{folder}/calls.db"
        [key] = uvloop.run(open_account(url, _CREDITS_PICO, KeyKind.INFERENCE))
        tables = ""
        for dialect, (whole, stream) in _RESPONSES.items():
            for form, body, kind in (
                ("plain", whole, "application/json"),
                ("stream", stream, "text/event-stream"),
            ):
                given = json.dumps({"headers": [["content-type", kind]], "body": body})
                port = stack.enter_context(bare(given)).port
                name = f"{dialect}-{form}"
                tables += _PROVIDER.format(name=name, host=HOST, port=port, dialect=dialect)
        config = Path(folder, "modelgates.toml")
        config.write_text(tables, encoding="utf-8")
        server = stack.enter_context(modelgates(url, config))
        for form in ("stream", "plain"):
            _print(form, server, key)
        print(f"  {verify(url)}")


def _print(form: str, server: Server, key: str) -> None:
    requests = {
        (client, upstream): _request(server, key, client, f"{upstream}-{form}/m", form)
        for client in CLIENTS_OF
        for upstream in _RESPONSES
    }
    figures: dict[tuple[str, str], list[float]] = {pair: [] for pair in requests}
    for number in range(ROUNDS + 1):
        for pair, request in requests.items():
            load = burst(HOST, server.port, server.pid, request, clients=CLIENTS, count=COUNT)
            assert not load.errors, (pair, load)
            if number:  # the first round only warms up
                figures[pair].append(load.cpu_us)
    base = figures[CHAT, CHAT]
    for (client, upstream), each in figures.items():
        ratio = statistics.median(a / b for a, b in zip(each, base, strict=True))
        bar = PASSED_BAR if client == upstream else TRANSLATED_BAR
        print(
            f"    {form:6} {client:16} over {upstream:16} {statistics.median(each):7,.0f} us  "
            f"ratio {ratio:.2f} (bar: {bar})"
        )


def _request(server: Server, key: str, client: str, model: str, form: str) -> bytes:
    path, members = CLIENTS_OF[client]
    body = json.dumps({"model": model, **members, "stream": form == "stream"}).encode()
    head = (
        f"POST /api/v1/{path} HTTP/1.1\r\nHost: {HOST}:{server.port}\r\n"
        f"Authorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _chat() -> tuple[dict[str, Any], Events]:
    head = {"id": "chatcmpl-1", "created": 1790000000, "model": "m"}
    usage = {"prompt_tokens": 9, "completion_tokens": PIECES, "total_tokens": 9 + PIECES}
    message = {"role": "assistant", "content": "".join(_TEXTS)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    whole = {**head, "object": "chat.completion", "choices": [choice], "usage": usage}

    def events() -> Events:
        chunk = {**head, "object": "chat.completion.chunk"}
        for text in _TEXTS:
            delta = {"index": 0, "delta": {"content": text}, "finish_reason": None}
            yield {**chunk, "choices": [delta]}
        yield {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        yield {**chunk, "choices": [], "usage": usage}

    return whole, events()


def _messages() -> tuple[dict[str, Any], Events]:
    usage = {"input_tokens": 9, "output_tokens": PIECES}
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m"}
    ending = {"stop_reason": "end_turn", "stop_sequence": None}
    text = {"type": "text", "text": "".join(_TEXTS)}
    whole = {**head, "content": [text], **ending, "usage": usage}

    def events() -> Events:
        nothing = {"stop_reason": None, "stop_sequence": None}
        begun: dict[str, Any] = {
            **head,
            "content": [],
            **nothing,
            "usage": {**usage, "output_tokens": 1},
        }
        yield {"type": "message_start", "message": begun}
        block = {"type": "text", "text": ""}
        yield {"type": "content_block_start", "index": 0, "content_block": block}
        for each in _TEXTS:
            delta = {"type": "text_delta", "text": each}
            yield {"type": "content_block_delta", "index": 0, "delta": delta}
        yield {"type": "content_block_stop", "index": 0}
        yield {"type": "message_delta", "delta": ending, "usage": usage}
        yield {"type": "message_stop"}

    return whole, events()


def _responses() -> tuple[dict[str, Any], Events]:
    usage = {"input_tokens": 9, "output_tokens": PIECES, "total_tokens": 9 + PIECES}
    part = {"type": "output_text", "text": "".join(_TEXTS), "annotations": []}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed"}
    done = {**item, "content": [part]}
    head = {"id": "resp_1", "object": "response", "created_at": 1790000000, "model": "m"}
    whole = {**head, "status": "completed", "output": [done], "usage": usage}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}

    def events() -> Events:
        begun = {**head, "status": "in_progress", "output": [], "usage": None}
        yield {"type": "response.created", "response": begun}
        added = {**item, "status": "in_progress", "content": []}
        yield {"type": "response.output_item.added", "output_index": 0, "item": added}
        empty = {**part, "text": ""}
        yield {"type": "response.content_part.added", **place, "part": empty}
        for each in _TEXTS:
            yield {"type": "response.output_text.delta", **place, "delta": each}
        yield {"type": "response.output_text.done", **place, "text": part["text"]}
        yield {"type": "response.content_part.done", **place, "part": part}
        yield {"type": "response.output_item.done", "output_index": 0, "item": done}
        yield {"type": "response.completed", "response": whole}

    return whole, ({"sequence_number": number, **event} for number, event in enumerate(events()))


def _written(whole: dict[str, Any], events: Events) -> tuple[str, str]:
    """The bodies of a plain response and of a stream."""
    lines = []
    for event in events:
        name = f"event: {event['type']}\n" if "type" in event else ""
        lines.append(f"{name}data: {json.dumps(event, separators=(',', ':'))}\n\n")
    end = "" if "type" in event else "data: [DONE]\n\n"
    return json.dumps(whole), "".join(lines) + end


_RESPONSES = {
    CHAT: _written(*_chat()),
    "anthropic": _written(*_messages()),
    "openai-responses": _written(*_responses()),
}
