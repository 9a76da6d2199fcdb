"""Calls at a price that is easy to calculate with, and their ends."""

from typing import Any

from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.metering.settlement import settle
from modelgates_server.core.metering.sizing import PricedRequest
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.core.pricing.usage import UsageRules
from tests.core import calls
from tests.dialects.openai_chat import chat
from tests.support import T0_MS

# A thousandth of a dollar per input token, two per output token, and a cent per request.
PRICE = calls.flat(input="0.001", output="0.002", request="0.01")
MILLI = 10**9
CENT = 10**10
END_MS = T0_MS + 5000

REPORT = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}


def priced_request(api: Api = Api.CHAT, **members: Any) -> PricedRequest:
    return calls.priced(PRICE, chat.request(api, **members))


def ended(
    *payloads: dict[str, Any],
    failure: str | None = None,
    of: PricedRequest | None = None,
    rules: UsageRules | None = None,
    media_tokens: int | None = None,
    **members: Any,
) -> Generation:
    priced = of or priced_request()
    generation = calls.held(priced)
    return settle(
        generation if not members else calls.replace(generation, **members),
        priced.price,
        priced.request,
        chat.metered(*payloads, rules=rules),
        media_tokens=media_tokens,
        failure=failure,
        at_ms=END_MS,
    )


def finish(reason: str | None, **members: Any) -> dict[str, Any]:
    """A last chunk without content."""
    return {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}], **members}


def is_void(generation: Generation) -> bool:
    nothing = (generation.cost_pico, generation.overrun_pico, generation.lines, generation.usage)
    return generation.state is HoldState.VOIDED and nothing == (0, 0, (), None)
