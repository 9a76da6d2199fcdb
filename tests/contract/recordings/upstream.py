"""An HTTP server that sends the bytes of recordings, framed by hand, and ends as they say."""

import json
import socketserver
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from tests.contract.recordings.recording import Recording
from tests.deadlines import DEADLINE_S
from tests.e2e.calls import reset_at_once

_PIECE_BYTES = 2**20


class RecordedUpstream(socketserver.ThreadingTCPServer):
    """Sends the recording whose name a request has as its model.

    A recording that ends with a reset ends once `begun` is called: a reset may overtake bytes that
    the gateway has not read.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, recordings: Iterable[Recording]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.recordings = {recording.name: recording for recording in recordings}
        self.clients_have_begun = {name: threading.Semaphore(0) for name in self.recordings}

    @property
    def url(self) -> str:
        """The base URL to configure for the providers."""
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}/v1"

    def begun(self, name: str) -> None:
        """Says that a client has received the first bytes of a recording."""
        self.clients_have_begun[name].release()

    def handle_error(self, *_: object) -> None:
        """Prints nothing: the gateway closes connections that it does not need."""


class _Handler(socketserver.StreamRequestHandler):
    server: RecordedUpstream
    disable_nagle_algorithm = True

    def handle(self) -> None:
        body = self._request_body()
        recording = self.server.recordings[json.loads(body)["model"]]
        self.wfile.write(_head(recording))
        for start in range(0, len(recording.body), _PIECE_BYTES):
            piece = recording.body[start : start + _PIECE_BYTES]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        if recording.ends == "clean":
            self.wfile.write(b"0\r\n\r\n")
        elif recording.ends == "reset":
            assert self.server.clients_have_begun[recording.name].acquire(timeout=DEADLINE_S)
            reset_at_once(self.connection)

    def _request_body(self) -> bytes:
        size = 0
        while line := self.rfile.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                size = int(value)
        return self.rfile.read(size)


def _head(recording: Recording) -> bytes:
    headers = {**recording.headers, "Transfer-Encoding": "chunked", "Connection": "close"}
    lines = [f"HTTP/1.1 {recording.status} Recorded"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


@contextmanager
def recorded_upstream(recordings: Iterable[Recording]) -> Iterator[RecordedUpstream]:
    """Yields a running server."""
    with RecordedUpstream(recordings) as upstream:
        thread = threading.Thread(target=upstream.serve_forever, args=[0.02], daemon=True)
        thread.start()
        try:
            yield upstream
        finally:
            upstream.shutdown()
            thread.join(DEADLINE_S)
