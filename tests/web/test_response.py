"""The writer of an answer: what its head carries, and how it ends when something fails."""

import asyncio

import pytest

from modelgates_server.dialects.dialect import ErrorReport
from modelgates_server.web.response import Message, ResponseWriter

REPORT = ErrorReport(502, "no")


class Client:
    """What was sent to it."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.writer = ResponseWriter(self.send, [(b"b", b"2")], lambda: None)

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def bodies(self) -> list[bytes]:
        return [message["body"] for message in self.sent[1:]]


async def test_head_carries_what_was_prepared_before_what_all_answers_carry() -> None:
    client = Client()
    client.writer.prepare([(b"a", b"1")], lambda _: b"")
    await client.writer.start()
    assert client.sent[0]["headers"] == [(b"a", b"1"), (b"b", b"2")]


async def test_answer_that_fails_after_its_head_ends_as_was_prepared() -> None:
    client = Client()
    client.writer.prepare([], lambda error: b"ended: %b" % error.message.encode())
    await client.writer.write(b"word ")
    await client.writer.fail(REPORT)
    assert client.bodies == [b"word ", b"ended: no", b""]


async def test_answer_that_has_ended_stays_as_it_is_when_something_fails_behind_it() -> None:
    client = Client()
    client.writer.prepare([], lambda _: b"error")
    await client.writer.write(b"all")
    await client.writer.end()
    await client.writer.fail(REPORT)
    assert client.bodies == [b"all", b""]


async def test_whole_answer_is_ended_without_an_error_when_its_end_was_cancelled() -> None:
    class Slow(Client):
        """Reads so slowly that the writer is cancelled while it waits to send the end."""

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
