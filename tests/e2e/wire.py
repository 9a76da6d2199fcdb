"""HTTP by hand: sends bytes that no client library sends, and reads every response."""

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from tests.deadlines import tcp_connection
from tests.server import Customer, RunningServer


class Answer(NamedTuple):
    """One response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """One connection to a server. Sending never fails; reading shows whether it was closed."""

    def __init__(self, url: str) -> None:
        self.socket = tcp_connection(url)
        self._file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def answer(self) -> Answer | None:
        """The next response; None if the connection ended instead."""
        try:
            line = self._file.readline()
            if not line:
                return None
            headers = {k.lower(): v for k, v in http.client.parse_headers(self._file).items()}
            body = self._file.read(int(headers.get("content-length", 0)))
        except ConnectionResetError:
            return None
        version, status, _ = line.split(maxsplit=2)
        assert version == b"HTTP/1.1"
        return Answer(int(status), headers, body)

    def answers(self) -> list[Answer]:
        """All responses until the server closes the connection."""
        return list(iter(self.answer, None))

    def close(self) -> None:
        self._file.close()
        self.socket.close()


@contextmanager
def wire(url: str) -> Iterator[Wire]:
    """A connection that is open for the length of a block."""
    opened = Wire(url)
    try:
        yield opened
    finally:
        opened.close()


def request(line: str, key: str | None = None, *headers: str, body: bytes = b"") -> bytes:
    """A request as bytes: `request("GET /api/v1/credits", key)`."""
    lines = [f"{line} HTTP/1.1", "Host: gateway", *headers]
    if key is not None:
        lines.append(f"Authorization: Bearer {key}")
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def exchange(url: str, *pieces: bytes) -> list[Answer]:
    """Sends the pieces; returns all responses until the server closes the connection."""
    with wire(url) as opened:
        for piece in pieces:
            opened.send(piece)
        return opened.answers()


def is_refusal(answer: Answer) -> bool:
    """Whether a response is an error in the documented shape, with the headers of all responses."""
    error = answer.json["error"]
    return bool(
        error["code"] == answer.status
        and error["message"]
        and answer.headers["content-type"] == "application/json"
        and answer.headers["cache-control"] == "no-store"
        and answer.headers["x-request-id"]
    )


def serves(server: RunningServer, customer: Customer) -> bool:
    """Whether a good request on a new connection succeeds."""
    with wire(server.url) as opened:
        opened.send(request("GET /api/v1/credits", customer.management))
        answer = opened.answer()
    assert answer is not None, "no response to a good request"
    return answer.status == 200 and answer.json["data"]["total_credits"] == 100
