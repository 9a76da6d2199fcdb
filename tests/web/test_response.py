"""The writer of a response: its headers, and its end when something fails."""

import asyncio

import pytest

from modelgates_server.dialects.dialect import ErrorReport
from modelgates_server.web.response import Message, ResponseWriter

REPORT = ErrorReport(502, "no")


class Client:
    """A client that records what it receives."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.writer = ResponseWriter(self.send, [(b"b", b"2")], lambda: None)

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def bodies(self) -> list[bytes]:
        return [message["body"] for message in self.sent[1:]]


async def test_head_has_prepared_headers_before_common_ones() -> None:
    client = Client()
    client.writer.prepare([(b"a", b"1")], lambda _: b"")
    await client.writer.start()
    assert client.sent[0]["headers"] == [(b"a", b"1"), (b"b", b"2")]


async def test_response_that_fails_after_its_head_gets_the_prepared_end() -> None:
    client = Client()
    client.writer.prepare([], lambda error: b"ended: %b" % error.message.encode())
    await client.writer.write(b"word ")
    await client.writer.fail(REPORT)
    assert client.bodies == [b"word ", b"ended: no", b""]


async def test_ended_response_is_unchanged_by_a_later_failure() -> None:
    client = Client()
    client.writer.prepare([], lambda _: b"error")
    await client.writer.write(b"all")
    await client.writer.end()
    await client.writer.fail(REPORT)
    assert client.bodies == [b"all", b""]


async def test_complete_response_ends_without_error_when_its_end_was_cancelled() -> None:
    class Slow(Client):
        """A client so slow that the writer is cancelled while it waits to send the end."""

        is_slow = True

        async def send(self, message: Message) -> None:
            if message.get("body") == b"" and self.is_slow:
                self.is_slow = False
                raise asyncio.CancelledError
            await super().send(message)

    client = Slow()
    client.writer.prepare([], lambda _: b"error")
    await client.writer.write(b"all")
    with pytest.raises(asyncio.CancelledError):
        await client.writer.end()
    await client.writer.fail(REPORT)
    assert client.bodies == [b"all", b""]
    assert not client.sent[-1].get("more_body", False)
