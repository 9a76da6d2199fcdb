"""The script of a scenario: a gateway, its provider, and the exchanges to record."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.deadlines import within
from tests.recorded.exchange import Exchange, Headers, Request, Sent
from tests.recorded.gateway import PROVIDER_MS, Customer, Gateway, running_gateway
from tests.upstream import Upstream, UpstreamReply, running_upstream

API = "/api/v1"
BETWEEN_MS = 1000
"""Time between two requests, on the fixed clock."""

Scenario = Callable[["Script"], Awaitable[None]]

SCENARIOS: dict[str, Scenario] = {}


def scenario(work: Scenario) -> Scenario:
    """Registers a function to be recorded under its name."""
    assert work.__name__ not in SCENARIOS
    SCENARIOS[work.__name__] = work
    return work


class Script:
    """One running scenario, with its own database."""

    def __init__(self, gateway: Gateway, upstream: Upstream, customer: Customer) -> None:
        self.gateway = gateway
        self.customer = customer
        self.exchanges: list[Exchange] = []
        self._upstream = upstream
        self._claimed = 0

    def provider_returns(self, reply: UpstreamReply) -> None:
        """Sets the provider's response from now on. It takes `PROVIDER_MS`."""

        def say(_: Any) -> UpstreamReply:
            self.gateway.clock.forward(PROVIDER_MS)
            return reply

        self._upstream.say = say

    async def begin(
        self,
        title: str,
        method: str,
        path: str,
        *,
        key: str | None = None,
        body: Any = None,
        **headers: str | None,
    ) -> Exchange:
        """Sends a request and waits for the head of its response.

        A body that is not bytes is sent as JSON. Underscores in header names become dashes. The
        `x_request_id` is the number of the request, unless another or None is given. A path is
        below the API's, or below the root if it starts with two slashes.
        """
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers = {"content_type": "application/json", **headers}
        headers = {"x_request_id": f"request-{len(self.exchanges) + 1}", **headers}
        lines: Headers = [
            (name.replace("_", "-"), value) for name, value in headers.items() if value is not None
        ]
        if key is not None:
            lines.append(("authorization", f"Bearer {key}"))
        if body:
            lines.append(("content-length", str(len(body))))
        target = path[1:] if path.startswith("//") else f"{API}{path}"
        request = Request(method, target, lines, body or b"")
        exchange = Exchange(title, self.gateway.port, request)
        self.exchanges.append(exchange)
        # Not during a response: its recorded times would then vary from run to run.
        self.gateway.clock.forward(BETWEEN_MS)
        await exchange.start()
        await exchange.read_head()
        sent = self._upstream.sent[self._claimed :]
        self._claimed += len(sent)
        exchange.upstream += [Sent(path, body) for path, body in sent]
        return exchange

    async def send(self, title: str, method: str, path: str, **request: Any) -> Exchange:
        """Sends a request and reads its response to the end."""
        exchange = await self.begin(title, method, path, **request)
        await exchange.finish()
        return exchange

    async def chat(self, title: str, *, text: str = "hello", **parameters: Any) -> Exchange:
        """Makes a call, of `acme/large` unless there is a `model`; `headers` are sent with it."""
        exchange = await self.begin_chat(title, text=text, **parameters)
        await exchange.finish()
        return exchange

    async def begin_chat(
        self,
        title: str,
        *,
        text: str = "hello",
        headers: dict[str, str | None] | None = None,
        key: str | None = None,
        **parameters: Any,
    ) -> Exchange:
        """Makes a call, up to the head of its response."""
        body = {
            "model": "acme/large",
            "messages": [{"role": "user", "content": text}],
            **parameters,
        }
        return await self.begin(
            title,
            "POST",
            "/chat/completions",
            key=key or self.customer.inference,
            body=body,
            **(headers or {}),
        )

    async def ended(self, exchange: Exchange) -> None:
        """Waits until a call has ended by itself."""
        await self.recorded(exchange, lambda record: record.ended_at_ms is not None)

    async def recorded(self, exchange: Exchange, condition: Callable[[Any], bool]) -> None:
        """Waits until the generation of a call meets a condition. The clock does not advance."""
        async with within():
            while not condition(await self.record(exchange)):  # noqa: ASYNC110 - another process would poll
                await asyncio.sleep(0)

    async def record(self, exchange: Exchange) -> Any:
        """The stored generation of a call."""
        generation_id = exchange.header("x-generation-id")
        return await self.gateway.generation(self.customer, generation_id)

    async def receipt(self, title: str, generation_id: str) -> Exchange:
        """Reads a receipt with `GET /generation`."""
        path = f"/generation?id={generation_id}"
        return await self.send(title, "GET", path, key=self.customer.viewer)


@asynccontextmanager
async def playing(folder: Path, customer: Customer | None = None) -> AsyncIterator[Script]:
    """A gateway and its provider. At the end, the ledger must verify.

    The database is new and has one customer, unless it exists already with a `customer` in it.
    """
    with running_upstream() as upstream:
        async with running_gateway(folder, upstream.url) as gateway:
            yield Script(gateway, upstream, customer or await gateway.open_customer())
            await gateway.check_ledger()
