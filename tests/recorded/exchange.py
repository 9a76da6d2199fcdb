"""One request and its response over HTTP/1.1 by hand, and the text of both in a golden file.

It parses as little as possible: a rename can break exactly the parts that a client library hides.
"""

import asyncio
import json
import re
from typing import Any, NamedTuple

from tests.deadlines import within

Headers = list[tuple[str, str]]

FOLD_CHARS = 100
"""Longer lines of a body are folded before the fields of its JSON, to make diffs readable."""

REQUEST_MAX_BYTES = 4096
"""Longer headers and bodies of a request are replaced by a note."""

_FIELD = re.compile(r'(?<=,)(?= ?["{])')
_CREATED = re.compile(rb"(?m)^(\w+_created(?:\{.*\})?) [0-9.e+]+$")
_FILE_SIZE = re.compile(rb"(?m)^(modelgates_(?:database|wal)_bytes) [0-9.e+]+$")
"""It depends on the version of SQLite."""
_DATE = re.compile(r"\A\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\Z")
_OWN_ID = re.compile(r"\Areq_[0-9a-f]{12}_[0-9a-f]+\Z")
_BODILESS = {204, 304}


class Request(NamedTuple):
    """A request to the gateway."""

    method: str
    target: str
    headers: Headers
    body: bytes

    @property
    def head(self) -> bytes:
        lines = [f"{self.method} {self.target} HTTP/1.1", "Host: gateway"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join([*lines, "", ""]).encode()


class Sent(NamedTuple):
    """A request of the gateway to the provider."""

    path: str
    body: bytes


class Exchange:
    """A request on its own connection: `start` it, read `until` a text, and `finish` it."""

    def __init__(self, title: str, port: int, request: Request) -> None:
        self.title = title
        self.request = request
        self.status = 0
        self.headers: Headers = []
        self.body = b""
        self.upstream: list[Sent] = []
        self._port = port
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self._whole = False

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str:
        return dict(self.headers)[name]

    async def start(self) -> None:
        """Sends the request."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writer.write(self.request.head + self.request.body)

    async def read_head(self) -> None:
        """Waits for status and headers."""
        async with within():
            head = await self._reader.readuntil(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        self.status = int(status_line.split()[1])
        self.headers = [(name, value) for name, _, value in (x.partition(": ") for x in lines)]

    async def until(self, text: bytes) -> None:
        """Reads the body until it contains a text."""
        async with within():
            while text not in self.body:
                assert await self.more(), f"no {text!r} in {self.body!r}"

    async def finish(self) -> None:
        """Reads the body to its end."""
        async with within():
            if not self.status:
                await self.read_head()
            while await self.more():
                pass
        await self.leave()

    async def leave(self) -> None:
        """Closes the connection, even within the response."""
        self._writer.close()
        await self._writer.wait_closed()

    async def more(self) -> bool:
        """Reads more of the body; returns whether there was more."""
        headers = dict(self.headers)
        if self._whole or self.status in _BODILESS or self.request.method == "HEAD":
            return False
        if headers.get("transfer-encoding") == "chunked":
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            self.body += (await self._reader.readexactly(size + 2))[:-2]
            self._whole = size == 0
            return not self._whole
        self.body += await self._reader.readexactly(int(headers["content-length"]))
        self._whole = True
        return True

    def as_text(self) -> str:
        """The text in the golden file. Values that differ from run to run are replaced by a note.

        The reason after the status is left out: it is Python's, and differs between its versions.
        """
        request = self.request
        lines = [f"### {self.title}", f"{request.method} {request.target}"]
        lines += [f"{name}: {_short(value)}" for name, value in request.headers]
        if request.body:
            is_short = len(request.body) <= REQUEST_MAX_BYTES
            lines += ["", *(body_lines(request.body) if is_short else ["| (too long to show)"])]
        for sent in self.upstream:
            lines += ["", f">>> POST {sent.path}", "", *body_lines(sent.body)]
        body = _CREATED.sub(rb"\1 (a time)", self.body)
        body = _FILE_SIZE.sub(rb"\1 (a size)", body)
        lines += ["", f"<<< {self.status}"]
        for name, value in self.headers:
            is_size = name == "content-length" and body != self.body
            lines += [f"{name}: {'(a size)' if is_size else masked(name, value)}"]
        lines += ["", *body_lines(body)] if body else []
        return "\n".join([*lines, ""])


def _short(text: str) -> str:
    return text if len(text) <= REQUEST_MAX_BYTES else f"({len(text)} characters)"


def masked(name: str, value: str) -> str:
    """The value of a header. The two that differ from run to run are replaced if well-formed."""
    if name == "date" and _DATE.match(value):
        return "(a date)"
    if name == "x-request-id" and _OWN_ID.match(value):
        return "(an id from the gateway)"
    return value


def body_lines(body: bytes) -> list[str]:
    """A body as lines of text: `|` starts a line, and `+` continues it.

    Control characters are shown as symbols (from U+2400), bytes that are not UTF-8 as numbers.
    """
    lines = []
    for line in body.decode("utf-8", "surrogateescape").split("\n"):
        text = "".join(map(_visible, line))
        if text.endswith(" "):
            text = f"{text[:-1]}\u2420"
        first, *more = _FIELD.split(text) if len(text) > FOLD_CHARS else [text]
        lines += [f"| {first}" if first else "|", *(f"+ {piece}" for piece in more)]
    return lines


def _visible(char: str) -> str:
    if "\udc80" <= char <= "\udcff":
        return f"\u27e8{ord(char) - 0xDC00:02x}\u27e9"
    return chr(0x2400 + ord(char)) if char < " " else char
