"""Metered calls in the test's process: the real service, a real store, the sandbox's models."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from modelgates_server.bootstrap.composition import compose
from modelgates_server.core.errors import GatewayError
from modelgates_server.core.ledger.records import Account
from modelgates_server.core.metering.generations import Generation, Origin, StoredAnswer
from modelgates_server.core.pricing.catalog import Api, Catalog, Endpoint, Model
from modelgates_server.core.pricing.prices import Price, Tier
from modelgates_server.core.pricing.usage import Meter
from modelgates_server.dialects.openai_chat.dialect import OPENAI_CHAT
from modelgates_server.dialects.openai_chat.request import parse_request
from modelgates_server.providers.http import HttpProvider, ProviderSettings
from modelgates_server.providers.sandbox.offer import sandbox_models, sandbox_prices
from modelgates_server.providers.sandbox.provider import SandboxProvider
from modelgates_server.service.calls.admission import CallTimeouts
from modelgates_server.service.calls.call import Call, CallScope, CallService
from modelgates_server.service.calls.call_request import CallRequest
from modelgates_server.service.calls.joined import JoinedCall
from modelgates_server.service.ports import AuthenticatedKey, Provider, Store
from modelgates_server.service.spool_ports import PendingSettlement, Spool
from modelgates_server.service.verify import verify
from modelgates_server.store.ballast import Ballast
from modelgates_server.store.disk import SPOOL, DiskRoom
from modelgates_server.store.spool import FolderSpool
from modelgates_server.web.error_responses import ErrorResponses
from modelgates_server.web.services import Services
from tests.deadlines import within
from tests.support import DOLLAR, T0_MS, ManualClock, make_key, open_account

METRICS_TOKEN = "0123456789abcdef"
TIMEOUTS = CallTimeouts(hold_ttl_s=120, drain_s=60)


def sandbox_catalog(
    models: Iterable[Model] = (),
    prices: Iterable[Price] = (),
    account_markup_bp: Mapping[str, int] | None = None,
) -> Catalog:
    """Returns the models of the sandbox and those of the test."""
    return Catalog([*sandbox_models(), *models], [*sandbox_prices(), *prices], account_markup_bp)


def disk_of(folder: Path) -> DiskRoom:
    """Returns the disk of a spool, which has room until a test measures it."""
    return DiskRoom({SPOOL: folder}, Ballast(folder / "ballast"))


def metered(
    store: Store,
    clock: ManualClock,
    folder: Path,
    *,
    catalog: Catalog | None = None,
    providers: Mapping[str, Provider] | None = None,
    timeouts: CallTimeouts | None = None,
    key_variables: Mapping[str, str] | None = None,
) -> Services:
    """Returns the services of a server process; `folder` is the spool."""
    disk = disk_of(folder)
    return compose(
        store,
        catalog=catalog or sandbox_catalog(),
        providers={"sandbox": SandboxProvider(clock), **(providers or {})},
        spool=FolderSpool(folder, make_room=disk.make_room),
        disk=disk,
        clock=clock,
        random_bytes=secrets.token_bytes,
        timeouts=timeouts or CallTimeouts(),
        key_variables=key_variables,
    )


ACME = Model(
    id="acme/large",
    name="Acme: Large",
    endpoint=Endpoint(id="acme:large", provider="acme", upstream_model="large"),
    context_tokens=1000,
    output_tokens=100,
    created_at_s=T0_MS // 1000,
    apis=frozenset(Api),
)
"""A model behind HTTP: a hundredth of a cent for an input token, a cent for an output token."""

ACME_PRICE = Price(
    id="price_acme_1",
    endpoint_id="acme:large",
    from_ms=0,
    source="test",
    tiers=(Tier(0, {Meter.INPUT: Decimal("0.0001"), Meter.OUTPUT: Decimal("0.01")}),),
)
READ_PICO, WRITTEN_PICO = DOLLAR // 10_000, DOLLAR // 100


def asking(
    text: str = "hello",
    model: str = "acme/large",
    *,
    api: Api = Api.CHAT,
    key: str | None = None,
    max_cost_pico: int | None = None,
    is_retry: bool = False,
    shaping_headers: tuple[tuple[bytes, bytes], ...] = (),
    **members: Any,
) -> CallRequest:
    """Returns a request; `key` is its `Idempotency-Key`."""
    messages = {"messages": [{"role": "user", "content": text}]}
    prompt = messages if api is Api.CHAT else {"input": text}
    body = json.dumps({"model": model, **prompt, **members}).encode()
    return CallRequest(
        inference=parse_request(api, body),
        dialect=OPENAI_CHAT,
        body=body,
        origin=Origin(request_id="req_1"),
        idempotency_key=key,
        max_cost_pico=max_cost_pico,
        is_retry=is_retry,
        shaping_headers=shaping_headers,
    )


async def new_caller(
    store: Store, credits_pico: int = 100 * DOLLAR, **members: Any
) -> AuthenticatedKey:
    """Returns an inference key of a new account."""
    return await key_of(store, await open_account(store, credits_pico), **members)


async def key_of(store: Store, account_id: str, **members: Any) -> AuthenticatedKey:
    """Returns another inference key of an account."""
    _, key = await make_key(store, account_id, **members)
    caller = await store.authenticated_key(key.hash)
    assert caller is not None
    return caller


class FakeClient:
    """A client that records what is written to it, and can disconnect."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.left = False
        self._wrote = asyncio.Event()

    async def write(self, data: bytes) -> None:
        self.pieces.append(data)
        self._wrote.set()

    async def until(self, text: str) -> None:
        """Waits until a text is written."""
        async with within():
            while text not in self.text:
                self._wrote.clear()
                await self._wrote.wait()

    @property
    def text(self) -> str:
        return b"".join(self.pieces).decode()

    @property
    def lines(self) -> list[str]:
        """The events and comments, which empty lines separate."""
        *lines, rest = self.text.split("\n\n")
        assert rest == "", "the stream ends with an empty line"
        return lines

    @property
    def chunks(self) -> list[Any]:
        """All events except the last, which is `[DONE]`, with exact amounts."""
        *payloads, last = [line.removeprefix("data: ") for line in self.lines if line[0] != ":"]
        assert last == "[DONE]"
        return [json.loads(payload, parse_float=Decimal) for payload in payloads]


class CallHarness(NamedTuple):
    """A key with a hundred dollars, and the services that it calls."""

    store: Store
    clock: ManualClock
    metered: Services
    caller: AuthenticatedKey

    @property
    def calls(self) -> CallService:
        return self.metered.calls

    async def begin(self, request: CallRequest, client: FakeClient | None = None) -> Call:
        """Begins a call that is not a repeat of another."""
        call = await begin(self.calls, self.caller, request, client)
        assert isinstance(call, Call)
        return call

    async def answer(self, request: CallRequest) -> tuple[Any, Generation]:
        """Makes a plain call; returns its response and its stored generation."""
        call = await self.begin(request)
        body = json.loads(await take(call), parse_float=Decimal)
        return body, await self.saved(call)

    async def stream(self, request: CallRequest, heard: FakeClient | None = None) -> Generation:
        """Makes a streamed call; returns its stored generation."""
        client = heard or FakeClient()
        call = await self.begin(request, client)
        await relay(call, client)
        return await self.saved(call)

    async def saved(self, call: Call) -> Generation:
        """Returns the stored generation, after verifying the ledger."""
        generation = await self.store.generation(self.caller.account_id, call.generation.id)
        assert generation is not None
        assert (await verify(self.store)).findings == []
        return generation

    async def account(self) -> Account:
        account = await self.store.account(self.caller.account_id)
        assert account is not None
        return account


async def begin(
    calls: CallService,
    caller: AuthenticatedKey,
    request: CallRequest,
    client: FakeClient | None = None,
) -> Call | JoinedCall | StoredAnswer:
    """Enters a call. `take` and `relay` leave its scope; without them it is lost as in a crash."""
    watched = client or FakeClient()
    return await calls.call(caller, request, lambda: watched.left).__aenter__()


def scope_of(call: Call | JoinedCall) -> CallScope:
    """Returns a scope that leaves a call which was entered before."""

    async def entered() -> Call | JoinedCall:
        return call

    return CallScope(entered)


async def take(call: Call | JoinedCall) -> bytes:
    """Makes a plain call to its end, as the server does."""
    async with scope_of(call):
        await call.open()
        return await call.answer()


async def relay(call: Call | JoinedCall, client: FakeClient) -> None:
    """Streams a call to its end, as the server does."""
    has_begun = False
    try:
        async with scope_of(call):
            await call.open()
            has_begun = True
            async for piece in call.stream():
                await client.write(piece)
    except GatewayError as error:
        if not has_begun:
            raise
        await client.write(call.error_end(ErrorResponses().report(error)))


@asynccontextmanager
async def open_harness(
    store: Store, clock: ManualClock, folder: Path, url: str, timeouts: CallTimeouts | None = None
) -> AsyncIterator[CallHarness]:
    """Yields a harness whose provider `acme` is at a URL."""
    acme = HttpProvider(ProviderSettings(name="acme", base_url=url, api_key=None), clock)
    built = metered(
        store,
        clock,
        folder / "spool",
        catalog=sandbox_catalog([ACME], [ACME_PRICE]),
        providers={"acme": acme},
        timeouts=timeouts,
    )
    yield CallHarness(store, clock, built, await new_caller(store))
    await acme.close()


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Lets other tasks run until a condition is true."""
    async with within():
        while True:
            result = condition()
            if result if isinstance(result, bool) else await result:
                return
            await asyncio.sleep(0)


@contextmanager
def moved_away(path: Path) -> Iterator[None]:
    """Moves the database away while the block runs: nothing is written to a file that moved."""
    elsewhere = path.with_name("elsewhere.db")
    path.rename(elsewhere)
    try:
        yield
    finally:
        elsewhere.rename(path)


async def pending(spool: Spool) -> list[PendingSettlement]:
    """Returns all settlements in a spool."""
    settlements = [await spool.load(generation_id) for generation_id in await spool.ids()]
    return [settlement for settlement in settlements if settlement is not None]
