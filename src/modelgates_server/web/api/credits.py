"""GET /credits: the credits and usage of an account (operation `get-credits` of the seed)."""

import msgspec

from modelgates_server.core.money import format_pico
from modelgates_server.core.times import format_instant
from modelgates_server.service.ports import AuthenticatedKey, Clock
from modelgates_server.web.errors import HttpError
from modelgates_server.web.request import RequestContext
from modelgates_server.web.response import HttpResponse

_NO_COINBASE = (
    "The Coinbase APIs used by this endpoint have been deprecated, so the Coinbase Commerce "
    "credits API has been removed. Use the web credits purchase flow instead."
)
"""OpenRouter's text, which its clients know."""


class _Metadata(msgspec.Struct, frozen=True):
    """ModelGates' addition, only for requests that ask for it. Exact decimals as text."""

    balance: str
    held: str
    available: str
    as_of: str


class CreditsApi:
    """The operation on /credits."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def get(self, context: RequestContext) -> HttpResponse:
        """GET /credits, from the row that admitted the caller: the last commit, never a cache."""
        caller = context.caller
        bought, used = format_pico(caller.credits_pico), format_pico(caller.usage_pico)
        body = f'{{"data":{{"total_credits":{bought},"total_usage":{used}}}'
        if context.head.wants_metadata:
            metadata = msgspec.json.encode(_metadata(caller, self._clock())).decode()
            body += f',"modelgates_metadata":{metadata}'
        return HttpResponse(200, f"{body}}}".encode())

    async def coinbase(self, _: RequestContext) -> HttpResponse:
        """POST /credits/coinbase: gone from OpenRouter as well, with the same message."""
        raise HttpError(410, _NO_COINBASE)


def _metadata(caller: AuthenticatedKey, now_ms: int) -> _Metadata:
    balance_pico = caller.credits_pico - caller.usage_pico
    return _Metadata(
        balance=format_pico(balance_pico),
        held=format_pico(caller.held_pico),
        available=format_pico(balance_pico - caller.held_pico),
        as_of=format_instant(now_ms),
    )
