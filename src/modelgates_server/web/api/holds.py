"""GET /credits/holds, an operation of ModelGates: the open holds of an account."""

import msgspec

from modelgates_server.core.ledger.records import Hold
from modelgates_server.core.times import format_instant
from modelgates_server.service.ports import CallSummary, Store
from modelgates_server.web.api.amounts import Number, number
from modelgates_server.web.long_lists import LongLists
from modelgates_server.web.members import check_query
from modelgates_server.web.request import RequestContext
from modelgates_server.web.response import HttpResponse

LISTED_MAX = 1000


class HoldResponse(msgspec.Struct, frozen=True, kw_only=True):
    """An open hold. `id` is that of its generation; `model` and `streamed` are null without one."""

    id: str
    amount: Number
    api_key_hash: str
    created_at: str
    expires_at: str
    model: str | None
    streamed: bool | None


class HoldsApi:
    """The operation on /credits/holds."""

    def __init__(self, store: Store, lists: LongLists) -> None:
        self._store = store
        self._lists = lists

    async def list(self, context: RequestContext) -> HttpResponse:
        """GET /credits/holds: oldest first. `held` is the sum of all holds, listed or not."""
        check_query(context.request.query_params)
        caller = context.caller

        def encoded(open_holds: list[tuple[Hold, CallSummary | None]]) -> bytes:
            content = {
                "data": [_hold_response(hold, call) for hold, call in open_holds],
                "held": number(caller.held_pico),
            }
            return msgspec.json.encode(content)

        return HttpResponse(
            200,
            await self._lists.response_body(
                context,
                lambda: self._store.open_holds(caller.account_id, limit=LISTED_MAX),
                encoded,
            ),
        )


def _hold_response(hold: Hold, call: CallSummary | None) -> HoldResponse:
    return HoldResponse(
        id=hold.id,
        amount=number(hold.amount_pico),
        api_key_hash=hold.key_hash,
        created_at=format_instant(hold.created_at_ms),
        expires_at=format_instant(hold.expires_at_ms),
        model=None if call is None else call.model,
        streamed=None if call is None else call.streamed,
    )
