"""How a call ends: what it used, what is charged for it, and when it costs nothing.

What a provider reports is taken where it can be believed, an explicit zero too; where it reports
nothing, what went by is counted. A call that failed before anything was said, or that said nothing
and has no good end, is not charged (OpenRouter's zero-completion insurance).
"""

from typing import Any

import msgspec

from modelgates_server.core.answers import Observed
from modelgates_server.core.books import HoldState
from modelgates_server.core.generations import Generation
from modelgates_server.core.inference import Api, Demand
from modelgates_server.core.prices import Price, used_pico
from modelgates_server.core.service_tiers import charge_as_served
from modelgates_server.core.usage import OUTPUTS, Usage, estimate_usage

REPORTED_MAX_BYTES = 4096
_REPORTED_MAX_PARTS = 64
"""So it is nowhere too deep to be written or read again, whatever calls that."""

replace = msgspec.structs.replace


def settle(
    generation: Generation,
    price: Price,
    demand: Demand,
    observed: Observed,
    *,
    failure: str | None,
    at_ms: int,
    abandoned: bool = False,
) -> Generation:
    """The generation at its end, captured or voided. `failure` says what went wrong, if it did.

    `abandoned`: we stopped reading because the client had left. The provider bills us for it, so
    what it read is charged even where nothing had come: else leaving early would be free.
    """
    ended = replace(
        generation,
        ended_at_ms=at_ms,
        finish_reason=observed.finish_reason,
        error=failure,
        reported=_kept(observed.usage),
        service_tier=observed.service_tier,
    )
    if not abandoned and _is_free_of_charge(generation.api, observed, failure):
        return replace(ended, state=HoldState.VOIDED, cost_pico=0, lines=(), usage=None)
    return replace(_charged(ended, price, demand, observed), state=HoldState.CAPTURED)


def checkpoint(
    generation: Generation, price: Price, demand: Demand, observed: Observed
) -> Generation:
    """A running call with the cost of what it has put out so far: charged if it is lost."""
    if observed.output_bytes == 0:
        return generation
    return replace(_charged(generation, price, demand, observed), overrun_pico=0)


def lost(generation: Generation, at_ms: int) -> Generation:
    """A call whose process died: it costs what its last checkpoint saw, or nothing."""
    return replace(
        generation, state=HoldState.EXPIRED, ended_at_ms=at_ms, error="lost with its process"
    )


def _charged(
    generation: Generation, price: Price, demand: Demand, observed: Observed
) -> Generation:
    usage = _usage(generation, demand, observed)
    charge, service_tier = charge_as_served(
        price,
        usage,
        generation.markup_bp,
        generation.hold_pico,
        requested=generation.requested_service_tier,
        served=observed.service_tier,
    )
    return replace(
        generation,
        usage=usage,
        service_tier=observed.service_tier,
        charged_service_tier=service_tier,
        lines=charge.lines,
        cost_pico=charge.amount_pico,
        overrun_pico=used_pico(charge) - charge.amount_pico,
    )


def _usage(generation: Generation, demand: Demand, observed: Observed) -> Usage:
    """What was reported, and if there was no good end, what came after that report."""
    reported = _reported(generation.api, observed)
    if reported is None:
        return _estimated(generation, demand, observed.output_bytes)
    late_bytes = observed.output_bytes - observed.output_bytes_at_usage
    if late_bytes == 0 or observed.finish_reason is not None:
        return reported
    late = _estimated(generation, demand, late_bytes)
    return replace(reported, output=reported.output + late.output, estimated=True)


def _reported(api: Api, observed: Observed) -> Usage | None:
    """What the provider says, if it can be believed. Embeddings have no output.

    Voyage reports their total alone, which would else be taken for hidden reasoning.
    """
    usage = observed.counted()
    if usage is None or api is not Api.EMBEDDINGS:
        return usage
    no_output = dict.fromkeys(map(str, OUTPUTS), 0)
    return replace(usage, input=usage.input + usage.completion_tokens, **no_output)


def _estimated(generation: Generation, demand: Demand, output_bytes: int) -> Usage:
    """What went by. It cannot have been more than the bounds that the hold stands on."""
    counted = estimate_usage(
        text_bytes=demand.text_bytes,
        messages=demand.messages,
        output_bytes=output_bytes,
    )
    return replace(
        counted,
        input=min(counted.input, generation.prompt_tokens_max),
        output=min(counted.output, generation.completion_tokens_max),
    )


def _is_free_of_charge(api: Api, observed: Observed, failure: str | None) -> bool:
    if observed.output_bytes:
        return False
    if failure is not None:
        return True
    usage = observed.counted()
    if api is Api.EMBEDDINGS or (usage is not None and usage.completion_tokens):
        return False
    return observed.finish_reason in (None, "error")


def _kept(reported: dict[str, Any] | None) -> dict[str, Any] | None:
    """The provider's own words, for disputes; an absurdly large or deep object is not kept."""
    if reported is None:
        return None
    try:
        text = msgspec.json.encode(reported)
    except RecursionError:
        return None
    parts = text.count(b"{") + text.count(b"[")
    return reported if len(text) <= REPORTED_MAX_BYTES and parts <= _REPORTED_MAX_PARTS else None
