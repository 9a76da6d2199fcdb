"""Calls of models on the running server, and checks that the ledger agrees with their responses."""

import asyncio
import json
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

import httpx

from modelgates_server.core.ledger.records import Account
from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.pricing.prices import dollars, total_of
from modelgates_server.service.verify import verify
from modelgates_server.store.sqlite.opening import open_store
from tests.cli.console import Console
from tests.deadlines import http_client, within
from tests.ledger_checks import figures_of
from tests.server import Customer, RunningServer, running_server
from tests.upstream import Upstream, running_upstream

PROVIDER = """
[providers.{name}]
base_url = "{url}"
{more}

[models."{name}/large"]
provider = "{name}"
context_length = 1000
max_output_tokens = 100

[[models."{name}/large".prices]]
input = "{input}"
output = "{output}"
"""
NOWHERE = "http://127.0.0.1:9/v1"


def configured(folder: Path, url: str) -> dict[str, str]:
    """Settings of a server with the sandbox and providers at a URL.

    Each provider has a model `large` at $0.0001 per input token and $0.01 per output token:
    `acme`; `free`, which costs nothing; `slow`, which has 0.2 s for its first byte; and `gone`,
    where nothing listens.
    """
    tables = [
        PROVIDER.format(name=name, url=base_url, more=more, input=rates[0], output=rates[1])
        for name, base_url, more, rates in (
            ("acme", url, "", ("0.0001", "0.01")),
            ("free", url, "", ("0", "0")),
            ("slow", url, "first_byte_timeout_s = 0.2", ("0.0001", "0.01")),
            ("gone", NOWHERE, "", ("0.0001", "0.01")),
        )
    ]
    path = folder / "modelgates.toml"
    path.write_text("sandbox = true\n" + "".join(tables))
    return {"MODELGATES_CONFIG": str(path)}


@contextmanager
def acme_server(folder: Path, **settings: str) -> Iterator[tuple[RunningServer, Upstream]]:
    """A server and the upstream of its providers."""
    with (
        running_upstream() as upstream,
        running_server(folder, **configured(folder, upstream.url), **settings) as server,
    ):
        yield server, upstream


@contextmanager
def mortal_server(folder: Path, **settings: str) -> Iterator[RunningServer]:
    """A server that tests may kill, and that is killed at the end; `acme_server` stops cleanly."""
    console = Console(folder)
    console.environment.update(settings, TMPDIR=str(folder))  # a killed server cannot clean up
    log_path = folder / "server.log"
    with (
        log_path.open("a") as log,
        console.start("serve", "--port", "0", stderr=log) as process,
    ):
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        yield RunningServer(url, process, console.path, log_path)


def read(text: str | bytes) -> Any:
    """The value of a JSON text, with every number as a `Decimal`."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


class Client:
    """An HTTP client with one key. It keeps its connections open."""

    def __init__(self, api: str, key: str) -> None:
        self.http = http_client(
            base_url=api,
            headers={"Authorization": f"Bearer {key}"},
            limits=httpx.Limits(max_connections=None),
        )

    def get(self, path: str) -> Any:
        """The `data` of a GET that must succeed."""
        response = self.http.get(path)
        assert response.status_code == 200, response.text
        return read(response.text)["data"]

    def chat(
        self, text: str = "hello", *, headers: dict[str, str] | None = None, **parameters: Any
    ) -> httpx.Response:
        """A call without streaming, of `acme/large` unless a `model` is given."""
        return self.http.post(
            "/chat/completions", json=chat_body(text, **parameters), headers=headers
        )

    @contextmanager
    def stream(
        self, text: str = "hello", *, headers: dict[str, str] | None = None, **parameters: Any
    ) -> Iterator["ResponseReader"]:
        """A streamed call. Leaving the block early closes the connection."""
        body = chat_body(text, stream=True, **parameters)
        with self.http.stream("POST", "/chat/completions", json=body, headers=headers) as response:
            yield ResponseReader(response)

    def read_stream(self, text: str = "hello", **parameters: Any) -> "ResponseReader":
        """A streamed call, read to its end."""
        with self.stream(text, **parameters) as reader:
            reader.read_rest()
        return reader


class ResponseReader:
    """Reads a response line by line as it arrives."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.lines: list[str] = []
        self._lines = response.iter_lines()

    @property
    def id(self) -> str:
        return self.response.headers["x-generation-id"]

    def read_until(self, text: str) -> None:
        """Reads up to the first line that contains a text."""
        for line in self._lines:
            self.lines.append(line)
            if text in line:
                return
        raise AssertionError(f"no {text} in {self.lines}")

    def read_rest(self) -> None:
        self.lines += self._lines

    def reset(self) -> None:
        """Makes the server see the end of the block at once, as if the client had been killed.

        Without this, the client may only have stopped sending; the server's next write shows it.
        """
        stream = self.response.extensions["network_stream"]
        reset_at_once(stream.get_extra_info("socket"))

    @property
    def is_complete(self) -> bool:
        return self.lines[-2:] == ["data: [DONE]", ""]

    @property
    def chunks(self) -> list[Any]:
        """The events of a stream that was read to its end."""
        assert self.is_complete, self.lines
        payloads = [line.removeprefix("data: ") for line in self.lines if line[:5] == "data:"]
        return [read(payload) for payload in payloads[:-1]]

    @property
    def cost(self) -> Decimal:
        """The cost in the last chunk."""
        cost: Decimal = self.chunks[-1]["usage"]["cost"]
        return cost


def reset_at_once(client: socket.socket) -> None:
    """Makes closing a connection send a reset."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def chat_body(text: str, model: str = "acme/large", **parameters: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **parameters}


def chaos(**behavior: Any) -> dict[str, Any]:
    """The parameters of a call of `sandbox/chaos` with this behavior."""
    return {"model": "sandbox/chaos", "text": json.dumps(behavior)}


def records(database_path: Path, account_id: str) -> tuple[Account, list[Generation]]:
    """An account and all its generations, from a ledger that verifies."""

    async def load() -> tuple[Account, list[Generation]]:
        store = open_store(database_path)
        try:
            assert (await verify(store)).findings == []
            async with store.account_snapshot(account_id) as snapshot:
                rows = [row.record async for page in snapshot.generations() for row in page]
                return snapshot.account, rows
        finally:
            await store.close()

    return asyncio.run(load())


class Session:
    """A customer of a server, with a client for each key; closes their connections at the end.

    At the end, the ledger must verify and all calls of the customer must have ended. A test that
    leaves holds open says so with `holds_open`.
    """

    def __init__(
        self, server: RunningServer, customer: Customer, *, holds_open: bool = False
    ) -> None:
        self.server = server
        self.customer = customer
        self._holds_open = holds_open
        self._stack = ExitStack()
        self.inference = self.client(customer.inference)
        self.management = self.client(customer.management)
        self.viewer = self.client(customer.viewer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._stack.close()
        if error is None:
            asyncio.run(self._check_end())

    async def _check_end(self) -> None:
        """Waits for calls to end: one whose client has left may still be running."""
        store = open_store(self.server.database_path)
        try:
            async with within():
                while True:
                    figures = await figures_of(store, self.customer.account_id)
                    if self._holds_open or figures["held_pico"] == 0:
                        break
                    await asyncio.sleep(0.01)
            assert (await verify(store)).findings == []
            assert figures["costs_pico"] == figures["usage_pico"], figures
        finally:
            await store.close()

    def client(self, key: str) -> Client:
        """A client with a key of any account."""
        client = Client(self.server.api, key)
        self._stack.enter_context(client.http)
        return client

    def new_key(self, **parameters: Any) -> Client:
        """A client with another inference key of the account."""
        created = self.management.http.post("/keys", json={"name": "further", **parameters})
        return self.client(created.json()["key"])

    def check_ledger(self) -> list[Generation]:
        """Checks that receipt lines = cost = usage entry = change of `GET /credits`.

        All calls must have ended. Returns the generations.
        """
        account, generations = records(self.server.database_path, self.customer.account_id)
        costs = {generation.id: dollars(generation.cost_pico) for generation in generations}
        assert all(total_of(generation.lines) == costs[generation.id] for generation in generations)
        for generation_id, cost in costs.items():
            shown = self.viewer.get(f"/generation?id={generation_id}")
            lines = sum((Decimal(line["amount"]) for line in shown["lines"]), Decimal(0))
            assert lines == shown["total_cost"] == shown["usage"] == cost
        used = self.viewer.get("/credits")["total_usage"]
        assert used == dollars(account.usage_pico) == sum(costs.values())
        assert used == sum(row["usage"] for row in self.viewer.get("/activity"))
        assert account.held_pico == 0
        return generations
