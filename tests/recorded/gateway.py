"""The gateway in this process, over real SQLite and real HTTP, with a fixed clock and randomness.

This is the only file of the recorder that knows how the program is composed. When modules or
constructors change, change `_build`; the golden files must stay the same.
"""

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from modelgates_server.bootstrap.composition import compose, http_app
from modelgates_server.bootstrap.configuration import load_configuration
from modelgates_server.bootstrap.price_book import open_catalog
from modelgates_server.core.audit.findings import Finding
from modelgates_server.core.keys import KeyKind, NewKey
from modelgates_server.core.ledger.commands import CaptureHold
from modelgates_server.providers.http import HttpProvider
from modelgates_server.providers.sandbox.provider import SandboxProvider
from modelgates_server.service.calls.admission import CallTimeouts
from modelgates_server.service.export import export_jsonl
from modelgates_server.service.ports import Provider
from modelgates_server.service.verify import verify
from modelgates_server.store.spool import FolderSpool
from modelgates_server.store.sqlite.opening import open_store
from modelgates_server.web.app import App
from modelgates_server.web.http import server
from modelgates_server.web.services import Services, WebOptions
from tests.deadlines import within
from tests.gateway import disk_of
from tests.ledger_checks import check_ledger

T0_MS = 1_795_439_520_000
"""2026-11-23T13:12:00Z, a Monday."""

PROVIDER_MS = 250
"""Time that a provider takes to respond, on the fixed clock."""

DOLLAR = 10**12
METRICS_TOKEN = "0123456789abcdef"
BODY_MAX_BYTES = 64 * 1024

CONFIGURATION = """
sandbox = true

[providers.acme]
base_url = "{url}"

[providers.gone]
base_url = "http://127.0.0.1:9/v1"

[models."acme/large"]
provider = "acme"
name = "Acme: Large"
description = "A large model."
context_length = 1000
max_output_tokens = 100
input_modalities = ["text", "image"]
media_tokens = 300
parameters = ["tools", "temperature"]

[[models."acme/large".prices]]
input = "0.0001"
cache_read = "0.00001"
output = "0.01"

[models."acme/embed"]
provider = "acme"
kind = "embeddings"
context_length = 1000

[[models."acme/embed".prices]]
input = "0.0000001"

[models."acme/later"]
provider = "acme"
context_length = 1000
max_output_tokens = 100

[[models."acme/later".prices]]
from = 2030-01-01T00:00:00Z
input = "0.0001"
output = "0.01"

[models."gone/large"]
provider = "gone"
context_length = 1000
max_output_tokens = 100

[[models."gone/large".prices]]
input = "0.0001"
output = "0.01"
"""


class FixedClock:
    """A clock that only a scenario moves. Call it for the time in ms."""

    def __init__(self) -> None:
        self.now_ms = T0_MS

    def __call__(self) -> int:
        return self.now_ms

    def forward(self, ms: int) -> None:
        self.now_ms += ms


class FixedRandomness:
    """Returns the same bytes in every run, and never the same bytes twice in one run."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, count: int) -> bytes:
        self._count += 1
        return hashlib.shake_256(b"recorded %d" % self._count).digest(count)


class Customer(NamedTuple):
    """An account and the text of one key of each kind."""

    account_id: str
    management: str
    inference: str
    viewer: str


class Gateway:
    """The running program, as scenarios use it."""

    def __init__(
        self, port: int, clock: FixedClock, database_path: Path, services: Services
    ) -> None:
        self.port = port
        self.clock = clock
        self.database_path = database_path
        self.spool_folder = database_path.with_name("spool")
        self._services = services

    async def open_customer(self, credits_pico: int = 100 * DOLLAR) -> Customer:
        """A new account with credits and keys."""
        services = self._services
        account = await services.accounts.open("Acme Lab")
        if credits_pico:
            await services.credits.grant(account.id, credits_pico, "recorded")
        texts = {}
        for kind in KeyKind:
            new = NewKey(kind=kind, name=kind)
            _, texts[kind.value] = await services.keys.create(account.id, new)
        return Customer(account.id, **texts)

    async def post(self, account_id: str, posting: dict[str, Any]) -> dict[str, Any]:
        """Posts a grant or an adjustment, which is in `do`; returns the number of the entry."""
        methods = {"grant": self._services.credits.grant, "adjust": self._services.credits.adjust}
        result = await methods[posting["do"]](
            account_id, posting["amount_pico"], posting["reason"], posting["reference"]
        )
        return {"seq": result.entry.seq, "replayed": result.replayed}

    async def capture(self, account_id: str, hold_id: str, amount_pico: int) -> dict[str, Any]:
        """Captures a hold without a generation, as 0.1.0 placed; returns its entry's number."""
        async with self._services.store.account_snapshot(account_id) as snapshot:
            holds = [hold async for page in snapshot.holds() for hold in page]
        [key_hash] = [hold.key_hash for hold in holds if hold.id == hold_id]
        result = await self._services.store.execute(
            CaptureHold(
                account_id=account_id,
                key_hash=key_hash,
                reference=f"capture:{hold_id}",
                at_ms=self.clock(),
                hold_id=hold_id,
                amount_pico=amount_pico,
            )
        )
        return {"seq": result.entry.seq, "replayed": result.replayed}

    async def close_account(self, customer: Customer) -> None:
        """Takes the credits back and closes the account."""
        account = await self._services.accounts.get(customer.account_id)
        await self._services.credits.adjust(account.id, -account.available_pico, "recorded")
        await self._services.accounts.close(account.id)

    def heartbeat(self) -> None:
        """Sends the heartbeat that the server sends twice a second."""
        self._services.calls.registry.heartbeat()

    async def drain_spool(self) -> None:
        """Commits the spooled ends of calls."""
        await self._services.calls.settling.drain_spool()

    async def sweep(self) -> int:
        """Expires the holds that are due; returns their number."""
        return await self._services.maintenance.run_once()

    async def generation(self, customer: Customer, generation_id: str) -> Any:
        """The stored generation of a call."""
        return await self._services.store.generation(customer.account_id, generation_id)

    async def journal(self) -> str:
        """All entries of all accounts, as `modelgates ledger export` writes them."""
        lines = list[str]()
        await export_jsonl(self._services.store, lines.append)
        return "".join(lines)

    async def findings(self) -> list[Finding]:
        """The findings of `modelgates ledger verify`."""
        return (await verify(self._services.store)).findings

    async def check_ledger(self) -> None:
        """Checks that the ledger is valid and that all calls have ended."""
        await check_ledger(self._services.store)


@asynccontextmanager
async def running_gateway(folder: Path, upstream_url: str) -> AsyncIterator[Gateway]:
    """Serves the database of a folder, on a free port of the loopback interface."""
    clock = FixedClock()
    services, app = await _build(folder, upstream_url, clock)
    config = server.configuration(
        lambda: app,
        host="127.0.0.1",
        port=0,
        workers=1,
        tls_cert=None,
        tls_key=None,
        shutdown_grace_s=30,
        request_timeout_s=30,
        max_connections=100,
    )
    started = asyncio.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        serving = server.GatewayServer(config, started.set)
        running = asyncio.create_task(serving.serve([listener]))
        async with within():
            await started.wait()
        try:
            yield Gateway(port, clock, folder / "modelgates.db", services)
        finally:
            serving.should_exit = True
            await running


async def _build(folder: Path, upstream_url: str, clock: FixedClock) -> tuple[Services, App]:
    """Like `bootstrap.serving.create_app`, except for clock, randomness and background tasks."""
    path = folder / "modelgates.toml"
    path.write_text(CONFIGURATION.format(url=upstream_url))
    configuration = load_configuration(path, {})
    store = open_store(folder / "modelgates.db")
    providers: dict[str, Provider] = {"sandbox": SandboxProvider(clock)}
    providers |= {
        provider.name: HttpProvider(provider, clock) for provider in configuration.providers
    }
    services = compose(
        store,
        catalog=await open_catalog(store, configuration, clock()),
        providers=providers,
        spool=FolderSpool(folder / "spool"),
        disk=disk_of(folder / "spool"),
        clock=clock,
        random_bytes=FixedRandomness(),
        timeouts=CallTimeouts(),
    )
    options = WebOptions(
        body_max_bytes=BODY_MAX_BYTES,
        bodies_max_bytes=16 * BODY_MAX_BYTES,
        metrics_token=METRICS_TOKEN,
        allowed_hosts=("gateway",),
    )

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        yield
        await services.calls.registry.stop()
        await services.close()

    return services, http_app(services, options, lifespan)
