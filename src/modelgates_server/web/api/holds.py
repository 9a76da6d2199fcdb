"""GET /credits/holds, ours alone: what the running calls of an account hold."""

import asyncio

import msgspec

from modelgates_server.core.ledger.records import Hold
from modelgates_server.core.times import format_instant
from modelgates_server.service.ports import Store
from modelgates_server.web.api.amounts import Number, number
from modelgates_server.web.request import RequestContext
from modelgates_server.web.response import HttpResponse

LISTED_MAX = 1000


class HoldResponse(msgspec.Struct, frozen=True, kw_only=True):
    """An open hold. `id` is its generation's; without one, `model` and `streamed` are null."""

    id: str
    amount: Number
    api_key_hash: str
    created_at: str
    expires_at: str
    model: str | None
    streamed: bool | None


class HoldsApi:
    """The operation on /credits/holds."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def list(self, context: RequestContext) -> HttpResponse:
        """GET /credits/holds: oldest first. `held` is the sum of all, also of those not listed."""
        caller = context.caller
        holds = await self._store.open_holds(caller.account_id, limit=LISTED_MAX)
        rows = []
        for hold in holds:
            rows.append(await self._row(hold))
            await asyncio.sleep(0)  # SQLite reads inline, so others get their turn in between
        content = {"data": rows, "held": number(caller.held_pico)}
        return HttpResponse(200, msgspec.json.encode(content))

    async def _row(self, hold: Hold) -> HoldResponse:
        generation = await self._store.generation(hold.account_id, hold.id)
        return HoldResponse(
            id=hold.id,
            amount=number(hold.amount_pico),
            api_key_hash=hold.key_hash,
            created_at=format_instant(hold.created_at_ms),
            expires_at=format_instant(hold.expires_at_ms),
            model=None if generation is None else generation.model,
            streamed=None if generation is None else generation.streamed,
        )
