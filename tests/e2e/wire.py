"""HTTP by hand: what no client library would send, and everything that comes back."""

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
    """One connection to a server. Sending to one that was closed is no failure, reading tells."""

    def __init__(self, url: str) -> None:
        self.socket = tcp_connection(url)
        self._file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def answer(self) -> Answer | None:
        """The next response; None when the connection ended instead."""
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
        """All responses until the server ends the connection."""
        return list(iter(self.answer, None))

    def close(self) -> None:
        self._file.close()
        self.socket.close()


@contextmanager
def wire(url: str) -> Iterator[Wire]:
    """A connection for the length of a block."""
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
    """Send the pieces and give up sending; everything the server says to that."""
    with wire(url) as opened:
        for piece in pieces:
            opened.send(piece)
        return opened.answers()


def is_refusal(answer: Answer) -> bool:
    """Whether it has the one shape and the headers that every answer has."""
    error = answer.json["error"]
    return bool(
        error["code"] == answer.status
        and error["message"]
        and answer.headers["content-type"] == "application/json"
        and answer.headers["cache-control"] == "no-store"
        and answer.headers["x-request-id"]
    )


def serves(server: RunningServer, customer: Customer) -> bool:
    """Whether a good request on a new connection gets its answer."""
    with wire(server.url) as opened:
        opened.send(request("GET /api/v1/credits", customer.management))
        answer = opened.answer()
    assert answer is not None, "no answer to a good request"
    return answer.status == 200 and answer.json["data"]["total_credits"] == 100
