"""Calls of models on the running server, and whether all that was told of them is on the books."""

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
from modelgates_server.store.sqlite.store import open_store
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

    Of each there is a model `large`, at a hundredth of a cent for each token read and a cent for
    each written: `acme`, `free` without a price, `slow` that may not be, `gone` that is nowhere.
    """
    tables = [
        PROVIDER.format(name=name, url=place, more=more, input=rates[0], output=rates[1])
        for name, place, more, rates in (
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
    """A server that may be killed, and is at the end; `acme_server` ends well."""
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
    """JSON with exact amounts."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


class Client:
    """Calls with one key, over connections that are kept."""

    def __init__(self, api: str, key: str) -> None:
        self.http = http_client(
            base_url=api,
            headers={"Authorization": f"Bearer {key}"},
            limits=httpx.Limits(max_connections=None),
        )

    def get(self, path: str) -> Any:
        """What a GET that works says, below `data`."""
        answer = self.http.get(path)
        assert answer.status_code == 200, answer.text
        return read(answer.text)["data"]

    def chat(
        self, text: str = "hello", *, headers: dict[str, str] | None = None, **members: Any
    ) -> httpx.Response:
        """A plain call of `acme/large`, unless a `model` is given."""
        return self.http.post("/chat/completions", json=asked(text, **members), headers=headers)

    @contextmanager
    def stream(
        self, text: str = "hello", *, headers: dict[str, str] | None = None, **members: Any
    ) -> Iterator["Listening"]:
        """A streamed call; leaving the block before its end is leaving the server."""
        body = asked(text, stream=True, **members)
        with self.http.stream("POST", "/chat/completions", json=body, headers=headers) as response:
            yield Listening(response)

    def told(self, text: str = "hello", **members: Any) -> "Listening":
        """A stream that was heard to its end."""
        with self.stream(text, **members) as listening:
            listening.rest()
        return listening


class Listening:
    """An answer as it arrives, line by line."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.lines: list[str] = []
        self._lines = response.iter_lines()

    @property
    def id(self) -> str:
        return self.response.headers["x-generation-id"]

    def until(self, text: str) -> None:
        """Read up to a line with this text."""
        for line in self._lines:
            self.lines.append(line)
            if text in line:
                return
        raise AssertionError(f"no {text} in {self.lines}")

    def rest(self) -> None:
        self.lines += self._lines

    def reset(self) -> None:
        """Let the end of the block be one that the server sees at once, as that of a killed client.

        Else it may be a client that only sends no more, which the next write to it tells.
        """
        stream = self.response.extensions["network_stream"]
        reset_at_once(stream.get_extra_info("socket"))

    @property
    def is_whole(self) -> bool:
        return self.lines[-2:] == ["data: [DONE]", ""]

    @property
    def chunks(self) -> list[Any]:
        """The events of a stream that was heard to its end."""
        assert self.is_whole, self.lines
        payloads = [line.removeprefix("data: ") for line in self.lines if line[:5] == "data:"]
        return [read(payload) for payload in payloads[:-1]]

    @property
    def cost(self) -> Decimal:
        """What the last chunk says."""
        cost: Decimal = self.chunks[-1]["usage"]["cost"]
        return cost


def reset_at_once(client: socket.socket) -> None:
    """Let a connection end with a reset when it is closed."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def asked(text: str, model: str = "acme/large", **members: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **members}


def chaos(**how: Any) -> dict[str, Any]:
    """A call of `sandbox/chaos` that misbehaves so."""
    return {"model": "sandbox/chaos", "text": json.dumps(how)}


def records(database_path: Path, account_id: str) -> tuple[Account, list[Generation]]:
    """An account and all its generations, from books that are right."""

    async def look() -> tuple[Account, list[Generation]]:
        store = open_store(database_path)
        try:
            assert (await verify(store)).findings == []
            async with store.account_snapshot(account_id) as snapshot:
                rows = [row.record async for page in snapshot.generations() for row in page]
                return snapshot.account, rows
        finally:
            await store.close()

    return asyncio.run(look())


class Session:
    """A customer of a server, with a client for each of its keys; ends their connections.

    At its end the books are right, and the customer's calls have ended, unless `holds_open` says
    that a test leaves some.
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
        """A call whose client has left may still be ending."""
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

    def new_key(self, **members: Any) -> Client:
        """A client with a further inference key of the account."""
        made = self.management.http.post("/keys", json={"name": "further", **members})
        return self.client(made.json()["key"])

    def check_books(self) -> list[Generation]:
        """Receipt lines = cost = usage entry = what GET /credits moved by, when all has ended.

        Returns the generations.
        """
        account, generations = records(self.server.database_path, self.customer.account_id)
        costs = {one.id: dollars(one.cost_pico) for one in generations}
        assert all(total_of(one.lines) == costs[one.id] for one in generations)
        for generation_id, cost in costs.items():
            shown = self.viewer.get(f"/generation?id={generation_id}")
            lines = sum((Decimal(line["amount"]) for line in shown["lines"]), Decimal(0))
            assert lines == shown["total_cost"] == shown["usage"] == cost
        used = self.viewer.get("/credits")["total_usage"]
        assert used == dollars(account.usage_pico) == sum(costs.values())
        assert used == sum(row["usage"] for row in self.viewer.get("/activity"))
        assert account.held_pico == 0
        return generations
