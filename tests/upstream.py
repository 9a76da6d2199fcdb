"""A fake provider: an HTTP server on loopback that sends replies of a test and counts requests."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, NamedTuple

from tests.deadlines import DEADLINE_S

DONE = b"data: [DONE]\n\n"
_LOOK_EVERY_S = 0.02


class UpstreamReply(NamedTuple):
    """One reply. Each piece is sent at once; an iterator may wait between two of them.

    `cut`: the connection closes before the end of the body is announced.
    """

    pieces: Iterable[bytes]
    status: int = 200
    content_type: str = "text/event-stream"
    headers: Mapping[str, str] = MappingProxyType({})
    cut: bool = False


class Upstream:
    """Replies to every request with what `say` returns for its body.

    `asked` has the bodies of all requests, `sent` their paths and bytes, `heads` their headers by
    lower-case name.
    """

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.sent: list[tuple[str, bytes]] = []
        self.heads: list[dict[str, str]] = []
        self.say: Callable[[Any], UpstreamReply] = lambda _: plain(answer("hello"))
        self.errors: list[Exception] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.upstream = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=[_LOOK_EVERY_S], daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """The base URL to configure for the provider."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}/v1"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(DEADLINE_S)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    upstream: Upstream

    def handle_error(self, *_: Any) -> None:
        """Prints nothing: clients reset connections in many of these tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        upstream = self.server.upstream
        data = self.rfile.read(int(self.headers["content-length"]))
        body = json.loads(data)
        upstream.sent.append((self.path, data))
        upstream.heads.append({name.lower(): value for name, value in self.headers.items()})
        upstream.asked.append(body)
        reply = upstream.say(body)
        try:
            self._send(reply)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        except AssertionError as error:
            self.close_connection = True
            upstream.errors.append(error)

    def _send(self, reply: UpstreamReply) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Transfer-Encoding", "chunked")
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        for piece in reply.pieces:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        if reply.cut:
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: Any) -> None:
        """Prints nothing."""


@contextmanager
def running_upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    try:
        yield upstream
    finally:
        upstream.close()
    assert upstream.errors == []


def usage(prompt: int, completion: int, **more: Any) -> dict[str, Any]:
    """A usage object as OpenAI reports it."""
    total = prompt + completion
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": total,
        **more,
    }


def answer(text: str, tokens: Any = ..., **more: Any) -> dict[str, Any]:
    """A response without streaming, with a usage of 3 and 2 tokens by default."""
    message = {"role": "assistant", "content": text}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "large",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": usage(3, 2) if tokens is ... else tokens,
        **more,
    }


def plain(body: Any, status: int = 200, **headers: str) -> UpstreamReply:
    """A complete JSON reply."""
    return UpstreamReply([json.dumps(body).encode()], status, "application/json", headers)


def event(body: Any) -> bytes:
    return b"data: %b\n\n" % json.dumps(body).encode()


def chunk(text: str | None = None, finish: str | None = None, **more: Any) -> bytes:
    """A chunk of a stream with one choice. Without text, its delta is empty."""
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return event(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "large",
            "choices": [choice],
            **more,
        }
    )


def used(tokens: Any) -> bytes:
    """The chunk with only a usage."""
    return event({"id": "chatcmpl-1", "choices": [], "usage": tokens})


def story(tokens: Any = ...) -> list[bytes]:
    """A complete stream of five tokens."""
    texts = [chunk(f"word{number} ") for number in range(5)]
    return [*texts, chunk(finish="stop"), used(usage(3, 5) if tokens is ... else tokens), DONE]


class Gate:
    """A point in a reply where the upstream waits for the test. Another gate may follow."""

    def __init__(self, before: list[bytes], after: "list[bytes] | Gate") -> None:
        self._before = before
        self._after = after
        self.go = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        yield from self._before
        assert self.go.wait(DEADLINE_S), "the test never opened the gate"
        yield from self._after
