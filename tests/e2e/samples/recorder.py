"""A server that records the requests of samples."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple

from tests.deadlines import DEADLINE_S

ANSWER = {"received": True}


class RecordedRequest(NamedTuple):
    """A request; `target` is its path and query unchanged, `body` the value of its JSON."""

    method: str
    target: str
    headers: dict[str, str]
    body: Any


@contextmanager
def recorder() -> Iterator[tuple[str, list[RecordedRequest]]]:
    """The URL of the server, over plain HTTP, and the requests that it received."""
    received: list[RecordedRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers["content-length"]))
            received.append(RecordedRequest(self.command, self.path, headers, json.loads(body)))
            answer = json.dumps(ANSWER).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", received
        finally:
            server.shutdown()
            thread.join(DEADLINE_S)
