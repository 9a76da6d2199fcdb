"""Calls whose client waits: signs of life, bugs, and no hold that stays open."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import closing, nullcontext
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from modelgates_server.bootstrap.composition import http_app
from modelgates_server.core.keys import KeyKind, NewKey
from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.redaction import NO_SECRETS
from modelgates_server.dialects.openai_chat.dialect import OPENAI_CHAT
from modelgates_server.service.ports import NO_HEADERS, ProviderReply, Store
from modelgates_server.service.verify import verify
from modelgates_server.web.keep_alive import KeepAliveRules
from modelgates_server.web.response import Message
from modelgates_server.web.services import WebOptions
from tests.deadlines import within
from tests.gateway import ACME, ACME_PRICE, metered, sandbox_catalog, until
from tests.support import DOLLAR, ManualClock, open_account
from tests.upstream import answer, plain, story, usage

COMMENT, WHITE_SPACE = OPENAI_CHAT.stream_keep_alive, OPENAI_CHAT.plain_keep_alive
SOON_S = 0.01
FOREVER_S = 1000
INTERNAL_ERROR = {"message": "Internal Server Error", "code": 500}


class ScriptedReply:
    """A response in pieces; sets `sent` before the last. A broken one raises an error after it."""

    status = 200
    retry_after_s = None
    is_compressed = False

    def __init__(self, pieces: list[bytes], *, is_stream: bool, is_broken: bool = False) -> None:
        self.is_stream = is_stream
        self.sent = asyncio.Event()
        self._pieces = pieces
        self._is_broken = is_broken

    async def read(self, limit_bytes: int) -> bytes:
        del limit_bytes
        return b"".join([piece async for piece in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        *others, last = self._pieces
        for piece in others:
            yield piece
        self.sent.set()
        yield last
        if self._is_broken:
            raise ZeroDivisionError

    def close(self) -> None:
        """Nothing to do."""


class Acme:
    """A provider that sends its reply once `go` is set, or raises an error without a reply."""

    redactor = NO_SECRETS

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.reply: ScriptedReply | None = None

    async def send(
        self, path: str, body: bytes, headers: Mapping[str, str] = NO_HEADERS
    ) -> ProviderReply:
        del path, body, headers
        await self.go.wait()
        if self.reply is None:
            raise ZeroDivisionError
        return self.reply

    async def close(self) -> None:
        """Nothing to do."""


class Gateway:
    """The application with that provider and one client."""

    def __init__(self, store: Store, clock: ManualClock, folder: Path, every_s: float) -> None:
        self.provider = Acme()
        self.store = store
        self.key = ""
        self.account_id = ""
        self.sent: list[Message] = []
        self._has_sent = asyncio.Event()
        catalog = sandbox_catalog([ACME], [ACME_PRICE])
        services = metered(store, clock, folder, catalog=catalog, providers={"acme": self.provider})
        self.keys = services.keys
        rules = KeepAliveRules(every_s=every_s, plain="on")
        options = WebOptions(body_max_bytes=10_000, bodies_max_bytes=10_000, keep_alive=rules)
        self._app = http_app(services, options, nullcontext)

    async def ask(self, *, stream: bool) -> None:
        """Call `acme/large`."""
        messages = [{"role": "user", "content": "hello"}]
        body = {"model": "acme/large", "messages": messages, "stream": stream}
        request = {"type": "http.request", "body": json.dumps(body).encode()}

        async def receive() -> Message:
            return request

        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "path": "/api/v1/chat/completions",
            "headers": [
                (b"authorization", f"Bearer {self.key}".encode()),
                (b"content-type", b"application/json"),
            ],
        }
        await self._app(scope, receive, self._send)

    async def _send(self, message: Message) -> None:
        self.sent.append(message)
        self._has_sent.set()

    async def first_message(self) -> None:
        """Wait until the application has sent something."""
        async with within():
            await self._has_sent.wait()

    @property
    def status(self) -> Any:
        return self.sent[0]["status"]

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])

    @property
    def signs(self) -> int:
        return sum(message.get("body") in (COMMENT, WHITE_SPACE) for message in self.sent)

    async def ended(self) -> Generation:
        """The only generation, after checks that the ledger is correct and has no open hold."""
        async with self.store.account_snapshot(self.account_id) as snapshot:
            [generation] = [row.record async for page in snapshot.generations() for row in page]
            assert snapshot.account.held_pico == 0
        assert (await verify(self.store)).findings == []
        return generation


Opens = Callable[[float], Awaitable[Gateway]]


@pytest.fixture
def opens(store: Store, clock: ManualClock, tmp_path: Path) -> Opens:
    async def gateway(every_s: float) -> Gateway:
        opened = Gateway(store, clock, tmp_path / "spool", every_s)
        opened.account_id = await open_account(store, 100 * DOLLAR)
        new = NewKey(kind=KeyKind.INFERENCE, name="test")
        _, opened.key = await opened.keys.create(opened.account_id, new)
        return opened

    return gateway


@pytest.mark.parametrize("stream", [False, True])
async def test_bug_after_the_head_is_reported_at_the_end_of_the_response(
    opens: Opens, stream: bool
) -> None:
    gateway = await opens(SOON_S)
    with capture_logs() as logged:
        asking = asyncio.create_task(gateway.ask(stream=stream))
        await gateway.first_message()
        gateway.provider.go.set()
        await asking
    assert gateway.status == 200
    assert not gateway.sent[-1].get("more_body", False)
    if stream:
        *_, last, done = [line for line in gateway.body.split(b"\n\n") if line]
        assert done == b"data: [DONE]"
        chunk = json.loads(last.removeprefix(b"data: "))
        assert (chunk["error"], chunk["usage"]["cost"]) == (INTERNAL_ERROR, 0)
    else:
        assert json.loads(gateway.body) == {"error": INTERNAL_ERROR, "user_id": gateway.account_id}
    await check(gateway, logged)


@pytest.mark.parametrize("stream", [False, True])
async def test_bug_before_the_head_is_a_500(opens: Opens, stream: bool) -> None:
    gateway = await opens(FOREVER_S)
    gateway.provider.go.set()
    with capture_logs() as logged:
        await gateway.ask(stream=stream)
    assert gateway.status == 500
    assert json.loads(gateway.body) == {"error": INTERNAL_ERROR, "user_id": gateway.account_id}
    await check(gateway, logged)


async def test_bug_after_some_words_is_reported_with_their_cost(opens: Opens) -> None:
    gateway = await opens(FOREVER_S)
    gateway.provider.reply = ScriptedReply(story()[:2], is_stream=True, is_broken=True)
    gateway.provider.go.set()
    with capture_logs() as logged:
        await gateway.ask(stream=True)
    *_, last, done = [line for line in gateway.body.split(b"\n\n") if line]
    assert done == b"data: [DONE]"
    chunk = json.loads(last.removeprefix(b"data: "), parse_float=Decimal)
    generation = await gateway.ended()
    assert (chunk["error"], generation.state) == (INTERNAL_ERROR, HoldState.CAPTURED)
    assert chunk["usage"]["cost"] * DOLLAR == generation.cost_pico > 0
    assert [line["event"] for line in logged].count("request failed") == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_signs_continue_while_the_capture_waits_for_the_database(
    opens: Opens, sqlite_path: Path, stream: bool
) -> None:
    gateway = await opens(SOON_S)
    pieces = story() if stream else list(plain(answer("hi", usage(3, 5))).pieces)
    gateway.provider.reply = reply = ScriptedReply(pieces, is_stream=stream)
    asking = asyncio.create_task(gateway.ask(stream=stream))
    await gateway.first_message()
    with closing(sqlite3.connect(sqlite_path, isolation_level=None)) as other:
        other.execute("begin immediate")
        gateway.provider.go.set()
        await reply.sent.wait()
        signs = gateway.signs
        await until(lambda: gateway.signs >= signs + 3)
        assert b'"cost"' not in gateway.body
        other.execute("rollback")
    await asking
    assert b'"cost":0.0503' in gateway.body
    assert (await gateway.ended()).state is HoldState.CAPTURED


async def check(gateway: Gateway, logged: list[Any]) -> None:
    generation = await gateway.ended()
    assert (generation.state, generation.error) == (HoldState.VOIDED, "internal_error")
    [line] = [line for line in logged if line["event"] == "request failed"]
    assert line["operation"] == "create-chat-completion"
    assert isinstance(line["exc_info"], ZeroDivisionError)


@pytest.mark.parametrize("stream", [False, True])
async def test_call_cancelled_while_its_provider_is_silent_is_reported_and_voided(
    opens: Opens, stream: bool
) -> None:
    gateway = await opens(SOON_S)
    asking = asyncio.create_task(gateway.ask(stream=stream))
    await gateway.first_message()
    asking.cancel()
    await asking
    assert gateway.status == 200
    assert b'"message":"The server is stopping.","code":503' in gateway.body
    generation = await gateway.ended()
    assert (generation.state, generation.error) == (HoldState.VOIDED, "server_stopping")


async def test_stream_ends_without_waiting_for_the_end_of_the_provider(opens: Opens) -> None:
    gateway = await opens(FOREVER_S)

    class Lingering(ScriptedReply):
        sent_before_close = 0

        async def chunks(self) -> AsyncIterator[bytes]:
            async for piece in super().chunks():
                yield piece
            await asyncio.sleep(FOREVER_S)

        def close(self) -> None:
            self.sent_before_close = len(gateway.sent)

    gateway.provider.reply = reply = Lingering(story(), is_stream=True)
    gateway.provider.go.set()
    await gateway.ask(stream=True)
    assert reply.sent_before_close == len(gateway.sent)
    assert not gateway.sent[-1].get("more_body", False)
    assert (await gateway.ended()).state is HoldState.CAPTURED
