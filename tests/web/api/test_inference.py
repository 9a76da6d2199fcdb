"""Mistakes of ours while a client waits: it is told, the log has them, and no hold stays open."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import nullcontext
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from modelgates_server.core.books import HoldState
from modelgates_server.core.generations import Generation
from modelgates_server.core.inference import Api
from modelgates_server.core.keys import KeyKind
from modelgates_server.service.keys import KeyRing, NewKey
from modelgates_server.service.ports import ProviderReply, Store
from modelgates_server.service.verify import verify
from modelgates_server.web.api.inference import InferenceApi
from modelgates_server.web.app import App
from modelgates_server.web.keep_alive import KeepAliveRules
from modelgates_server.web.operations import INFERENCE, Operation
from modelgates_server.web.refusals import Refusals
from modelgates_server.web.reply import Message
from tests.gateway import ACME, ACME_PRICE, DEADLINE_S, metered, sandbox_catalog
from tests.support import DOLLAR, ManualClock, open_account
from tests.upstream import story

SOON_S = 0.01
FOR_EVER_S = 1000
OURS = {"message": "Internal Server Error", "code": 500}


class MistakenReply:
    """A stream with a mistake in it, which shows after some words."""

    status = 200
    retry_after_s = None
    is_stream = True

    def __init__(self, words: list[bytes]) -> None:
        self._words = words

    async def read(self, limit_bytes: int) -> bytes:
        raise NotImplementedError

    async def chunks(self) -> AsyncIterator[bytes]:
        for word in self._words:
            yield word
        raise ZeroDivisionError

    def close(self) -> None:
        """Nothing to do."""


class Mistaken:
    """A provider with a mistake in it, which shows when `go` is set, or after some `words`."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.words: list[bytes] = []

    async def send(self, api: Api, body: bytes) -> ProviderReply:
        del api, body
        if self.words:
            return MistakenReply(self.words)
        await self.go.wait()
        raise ZeroDivisionError

    async def close(self) -> None:
        """Nothing to do."""


class Gateway:
    """The application with that provider, and one client of it."""

    def __init__(self, store: Store, clock: ManualClock, folder: Path, every_s: float) -> None:
        self.provider = Mistaken()
        self.store = store
        self.key = ""
        self.account_id = ""
        self.sent: list[Message] = []
        self._heard = asyncio.Event()
        catalog = sandbox_catalog([ACME], [ACME_PRICE])
        built = metered(store, clock, folder, catalog=catalog, providers={"acme": self.provider})
        self.keys = KeyRing(store, clock, lambda size: b"k" * size)
        rules = KeepAliveRules(every_s=every_s, plain="on")
        api = InferenceApi(built.generations, Refusals(), body_max_bytes=10_000, keep_alive=rules)
        operation = Operation("chat", "POST", "/chat", INFERENCE, api.chat)
        self._app = App([operation], self.keys, built.metrics, Refusals(), nullcontext, 10_000)

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
            "path": "/chat",
            "headers": [
                (b"authorization", f"Bearer {self.key}".encode()),
                (b"content-type", b"application/json"),
            ],
        }
        await self._app(scope, receive, self._send)

    async def _send(self, message: Message) -> None:
        self.sent.append(message)
        self._heard.set()

    async def heard(self) -> None:
        """Wait until something was sent."""
        async with asyncio.timeout(DEADLINE_S):
            await self._heard.wait()

    @property
    def status(self) -> Any:
        return self.sent[0]["status"]

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])

    async def ended(self) -> Generation:
        """The only generation, from books that are right and hold nothing."""
        async with self.store.books(self.account_id) as books:
            [one] = [row.record async for page in books.generations() for row in page]
            assert books.account.held_pico == 0
        assert (await verify(self.store)).findings == []
        return one


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
async def test_a_mistake_after_the_head_is_told_at_the_end_of_the_answer(
    opens: Opens, stream: bool
) -> None:
    gateway = await opens(SOON_S)
    with capture_logs() as logged:
        asking = asyncio.create_task(gateway.ask(stream=stream))
        await gateway.heard()
        gateway.provider.go.set()
        await asking
    assert gateway.status == 200
    assert not gateway.sent[-1].get("more_body", False)
    if stream:
        *_, last, done = [line for line in gateway.body.split(b"\n\n") if line]
        assert done == b"data: [DONE]"
        told = json.loads(last.removeprefix(b"data: "))
        assert (told["error"], told["usage"]["cost"]) == (OURS, 0)
    else:
        assert json.loads(gateway.body) == {"error": OURS, "user_id": gateway.account_id}
    await check(gateway, logged)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_mistake_before_the_head_has_a_status(opens: Opens, stream: bool) -> None:
    gateway = await opens(FOR_EVER_S)
    gateway.provider.go.set()
    with capture_logs() as logged:
        await gateway.ask(stream=stream)
    assert gateway.status == 500
    assert json.loads(gateway.body) == {"error": OURS, "user_id": gateway.account_id}
    await check(gateway, logged)


async def test_a_mistake_after_some_words_is_told_with_what_they_cost(opens: Opens) -> None:
    gateway = await opens(FOR_EVER_S)
    gateway.provider.words = story()[:2]
    with capture_logs() as logged:
        await gateway.ask(stream=True)
    *_, last, done = [line for line in gateway.body.split(b"\n\n") if line]
    assert done == b"data: [DONE]"
    told = json.loads(last.removeprefix(b"data: "), parse_float=Decimal)
    one = await gateway.ended()
    assert (told["error"], one.state) == (OURS, HoldState.CAPTURED)
    assert told["usage"]["cost"] * DOLLAR == one.cost_pico > 0
    assert [line["event"] for line in logged].count("request failed") == 1


async def check(gateway: Gateway, logged: list[Any]) -> None:
    one = await gateway.ended()
    assert (one.state, one.error) == (HoldState.VOIDED, "GatewayError")
    [line] = [line for line in logged if line["event"] == "request failed"]
    assert line["operation"] == "chat"
    assert isinstance(line["exc_info"], ZeroDivisionError)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_that_is_cut_off_while_its_provider_is_silent_is_told_and_settled(
    opens: Opens, stream: bool
) -> None:
    gateway = await opens(SOON_S)
    asking = asyncio.create_task(gateway.ask(stream=stream))
    await gateway.heard()
    asking.cancel()
    await asking
    assert gateway.status == 200
    assert b'"message":"The server is stopping.","code":503' in gateway.body
    one = await gateway.ended()
    assert (one.state, one.error) == (HoldState.VOIDED, "Stopping")
