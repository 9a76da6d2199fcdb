"""The application in this process, with real services, a real store, and a clock for tests."""

import secrets
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from modelgates_server.bootstrap.composition import http_app
from modelgates_server.core.keys import KeyKind, NewKey, key_hash
from modelgates_server.service.ports import Store
from modelgates_server.web.errors import HttpError
from modelgates_server.web.routing import RouteTable
from modelgates_server.web.services import WebOptions
from tests.deadlines import async_http_client, within
from tests.gateway import METRICS_TOKEN, metered, sandbox_catalog
from tests.support import ManualClock, capture, place
from tests.web.document import check_answer, operations_of, our_document

BODY_MAX_BYTES = 1024 * 1024
BODIES_MAX_BYTES = 4 * BODY_MAX_BYTES
OPTIONS = WebOptions(
    body_max_bytes=BODY_MAX_BYTES,
    bodies_max_bytes=BODIES_MAX_BYTES,
    metrics_token=METRICS_TOKEN,
    allowed_hosts=("gateway", "gateway.example"),
)
DOCS_CATALOG = sandbox_catalog()
"""One catalog for all tests: the documentation site is built once per catalog."""
UNDESCRIBED = {
    "account-mcp",
    "create-coinbase-charge",
    "docs-mcp",
    "get-api-catalog",
    "get-docs",
    "get-docs-markdown",
    "get-docs-mdx",
    "get-docs-page",
    "get-llms",
    "get-llms-full",
    "get-robots",
    "get-root",
    "search-docs",
    "suggest-docs",
}
"""The documentation and MCP, which the OpenAPI document does not describe, and what is gone."""
_DESCRIBED = {
    operation["operationId"]: operation for *_, operation in operations_of(our_document())
}


class Api:
    """Calls operations, and checks every response against the OpenAPI document."""

    def __init__(
        self,
        store: Store,
        clock: ManualClock,
        folder: Path,
        *,
        allow_unknown_key_members: bool = False,
    ) -> None:
        self.store = store
        self.clock = clock
        self.services = metered(store, clock, folder, catalog=DOCS_CATALOG)
        options = replace(OPTIONS, allow_unknown_key_members=allow_unknown_key_members)
        app = http_app(self.services, options, nullcontext)
        self.table = app.routes
        self._paths = RouteTable(app.routes)
        self.client = async_http_client(
            transport=httpx.ASGITransport(app), base_url="http://gateway"
        )

    async def call(
        self, method: str, path: str, key: str | None = None, **request: Any
    ) -> httpx.Response:
        """Send a request, with a key if one is given."""
        headers = dict(request.pop("headers", {}))
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        async with within():
            answer = await self.client.request(method, path, headers=headers, **request)
        self._check(method, path.partition("?")[0], answer)
        return answer

    async def issue(
        self, account_id: str, kind: KeyKind = KeyKind.INFERENCE, **fields: Any
    ) -> tuple[str, str]:
        """Create a key; returns its text and hash."""
        new = NewKey(kind=kind, **{"name": "test", **fields})
        _, text = await self.services.keys.create(account_id, new)
        return text, key_hash(text)

    async def spend(self, account_id: str, key: str, amount_pico: int) -> None:
        """Record a finished call with this cost."""
        hold_id, now_ms = secrets.token_hex(8), self.clock()
        await self.hold(account_id, key, hold_id, amount_pico)
        await self.store.execute(capture(account_id, key_hash(key), hold_id, amount_pico, now_ms))

    async def hold(self, account_id: str, key: str, hold_id: str, amount_pico: int) -> None:
        """Record a running call."""
        placed = place(account_id, key_hash(key), hold_id, amount_pico, self.clock())
        await self.store.execute(placed)

    def _check(self, method: str, path: str, answer: httpx.Response) -> None:
        assert not answer.has_redirect_location, "clients do not follow redirects or lose the body"
        try:
            methods, _ = self._paths.find(path)
        except HttpError:
            return
        if method in methods and methods[method].id not in UNDESCRIBED:
            check_answer(_DESCRIBED[methods[method].id], answer)
