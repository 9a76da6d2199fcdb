"""Settlement: the usage and the charge of a call that has ended, or why it is free.

A provider's report is used if it is plausible. If it reports nothing, or zero for output that was
relayed, the usage is estimated here and marked as estimated. A call is free if it failed before any
output, or has neither output nor a good end (OpenRouter's zero-completion insurance).
"""

from typing import Any

import msgspec

from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import CALL_LOST, Generation, UsageWarning
from modelgates_server.core.metering.meter import FinishReason, ResponseMeter
from modelgates_server.core.metering.request import InferenceRequest
from modelgates_server.core.money import ENTRY_MAX_PICO, PLACES, Pico
from modelgates_server.core.pricing.prices import Price, used_pico
from modelgates_server.core.pricing.service_tiers import charge_as_served
from modelgates_server.core.pricing.usage import (
    BYTES_PER_TOKEN,
    INPUTS,
    OUTPUTS,
    Usage,
    UsageReading,
    estimate_usage,
)

REPORTED_MAX_BYTES = 4096
_REPORTED_MAX_PARTS = 64
"""Bounds the nesting as well, so the object can be encoded and decoded at any stack depth."""

_LATE_TOKENS_MIN = 16

_COSTS_DIFFER_MIN_PICO = 10 ** (PLACES - 4)
_COSTS_DIFFER_PERCENT = 1

replace = msgspec.structs.replace


def settle(
    generation: Generation,
    price: Price,
    request: InferenceRequest,
    meter: ResponseMeter,
    *,
    media_tokens: int | None = None,
    failure: str | None,
    at_ms: int,
    drain_stopped: bool = False,
) -> Generation:
    """Returns the generation at its end, captured or voided. `failure` is an error code.

    `media_tokens` is the estimate for an image or a recording that the provider did not count.
    `drain_stopped`: the client disconnected, and the gateway stopped reading the rest. The provider
    bills such a call, so its input is charged even without output. Otherwise disconnecting early
    would be free.
    """
    reading = meter.reading()
    ended = replace(
        generation,
        ended_at_ms=at_ms,
        finish_reason=meter.finish_reason,
        native_finish_reason=meter.native_finish_reason,
        served_model=meter.served_model,
        upstream_cost_pico=meter.reported_cost_pico,
        error=failure,
        reported=_storable(meter.reported),
        service_tier=meter.service_tier,
    )
    if not drain_stopped and _is_free_of_charge(request, meter, reading, failure):
        ended = replace(ended, state=HoldState.VOIDED, cost_pico=0, lines=(), usage=None)
    else:
        usage = _usage(generation, request, meter, reading, media_tokens or 0)
        ended = replace(_charged(ended, price, usage, meter.service_tier), state=HoldState.CAPTURED)
    return replace(ended, usage_warnings=_warnings(ended, price, meter, reading))


def checkpoint(
    generation: Generation,
    price: Price,
    request: InferenceRequest,
    meter: ResponseMeter,
    media_tokens: int | None = None,
) -> Generation:
    """Returns a running call with its cost so far, which is charged if the call is lost."""
    if not meter.has_output:
        return generation
    usage = _usage(generation, request, meter, meter.reading(), media_tokens or 0)
    charged = _charged(generation, price, usage, meter.service_tier)
    return replace(charged, overrun_pico=0)


def lost(generation: Generation, at_ms: int) -> Generation:
    """Returns a call whose process died. It costs what its last checkpoint recorded, if any."""
    return replace(generation, state=HoldState.EXPIRED, ended_at_ms=at_ms, error=CALL_LOST)


def _charged(generation: Generation, price: Price, usage: Usage, served: str | None) -> Generation:
    charge, service_tier = charge_as_served(
        price,
        usage,
        generation.markup_bp,
        generation.hold_pico,
        requested=generation.requested_service_tier,
        served=served,
    )
    return replace(
        generation,
        usage=usage,
        service_tier=served,
        charged_service_tier=service_tier,
        lines=charge.lines,
        cost_pico=charge.amount_pico,
        overrun_pico=used_pico(charge) - charge.amount_pico,
    )


def _usage(
    generation: Generation,
    request: InferenceRequest,
    meter: ResponseMeter,
    reading: UsageReading,
    media_tokens: int,
) -> Usage:
    """Returns the reported usage, with estimates for everything that the report lacks."""
    if not request.has_output:
        return _embedded(generation, request, reading)
    estimate = _estimated(generation, request, meter, media_tokens)
    usage = reading.usage
    if usage is None:
        return _split(reading.unsplit_tokens, estimate)
    if not reading.trusted_input:
        usage = _with(usage, INPUTS, estimate)
    if not reading.trusted_output:
        return _with(usage, OUTPUTS, estimate) if _misses_output(meter, reading) else usage
    late_bytes = meter.output.text_bytes - max(meter.text_bytes_at_usage, request.echo_bytes)
    late = estimate_usage(text_bytes=0, messages=0, output_bytes=max(0, late_bytes)).output
    # After a good end a report is used, unless most of the response followed it: some servers
    # report at the start, with one token of output.
    is_cut = meter.finish_reason is None
    if late_bytes > 0 and (is_cut or late > max(usage.completion_tokens, _LATE_TOKENS_MIN)):
        return replace(usage, output=usage.output + late, estimated=True)
    return usage


def _misses_output(meter: ResponseMeter, reading: UsageReading) -> bool:
    """Whether a report lacks output that was relayed. Zero is correct for less than one token."""
    if reading.trusted_output or not meter.has_output:
        return False
    output = meter.output
    is_a_token = output.pictures or output.sounds or output.text_bytes >= BYTES_PER_TOKEN
    return bool(is_a_token) or not reading.says_zero_output


def _with(usage: Usage, names: tuple[str, ...], estimate: Usage) -> Usage:
    """Returns a usage with the classes of one side replaced by estimates."""
    return replace(usage, estimated=True, **{str(name): getattr(estimate, name) for name in names})


def _split(total: int, estimate: Usage) -> Usage:
    """Returns a total that is not split: output as it was relayed, and the rest as the prompt."""
    if not total:
        return estimate
    inputs = {str(name): 0 for name in INPUTS}
    return replace(estimate, **{**inputs, "input": max(0, total - estimate.completion_tokens)})


def _embedded(generation: Generation, request: InferenceRequest, reading: UsageReading) -> Usage:
    """Returns the usage of embeddings, which have no output. Voyage reports only their total."""
    usage = reading.usage or Usage()
    read = usage.prompt_tokens + usage.completion_tokens or reading.unsplit_tokens
    if not read and not reading.trusted_input:
        return _estimated(generation, request, ResponseMeter(), 0)
    nothing = dict.fromkeys(map(str, OUTPUTS), 0)
    return replace(usage, **nothing, input=usage.input + read - usage.prompt_tokens)


def _estimated(
    generation: Generation, request: InferenceRequest, meter: ResponseMeter, media_tokens: int
) -> Usage:
    """Returns estimates. The prompt cannot exceed the bound that the hold is based on."""
    counted = estimate_usage(
        text_bytes=request.text_bytes,
        messages=request.messages,
        output_bytes=max(0, meter.output.text_bytes - request.echo_bytes),
    )
    most = generation.prompt_tokens_max
    text = min(counted.input, most)
    sounds = min(request.sounds * media_tokens, most - text)
    pictures = min((request.media - request.sounds) * media_tokens, most - text - sounds)
    return replace(
        counted,
        input=text,
        input_audio=sounds,
        input_image=pictures,
        output_audio=len(meter.output.sounds) * media_tokens,
        output_image=len(meter.output.pictures) * media_tokens,
    )


def _is_free_of_charge(
    request: InferenceRequest, meter: ResponseMeter, reading: UsageReading, failure: str | None
) -> bool:
    if meter.has_output:
        return False
    if failure is not None or meter.finish_reason is FinishReason.ERROR:
        return True
    if not request.has_output or (reading.usage is not None and reading.usage.completion_tokens):
        return False
    return meter.finish_reason is None


def _warnings(
    ended: Generation, price: Price, meter: ResponseMeter, reading: UsageReading
) -> tuple[UsageWarning, ...]:
    warnings = []
    if reading.refused:
        warnings.append(UsageWarning.COUNT_REFUSED)
    misses = not reading.trusted_input or _misses_output(meter, reading)
    if reading.usage is not None and misses:
        warnings.append(UsageWarning.ZERO_ESTIMATED)
    if reading.unpriced:
        warnings.append(UsageWarning.UNITS_UNPRICED)
    if ended.upstream_cost_pico is not None:
        # Compared with what the provider should charge: the usage without markup.
        expected_pico = Pico(0)
        if ended.usage is not None:
            charge, _ = charge_as_served(
                price,
                ended.usage,
                0,
                ENTRY_MAX_PICO,
                requested=ended.requested_service_tier,
                served=ended.service_tier,
            )
            expected_pico = Pico(charge.amount_pico)
        if costs_differ(ended.upstream_cost_pico, expected_pico):
            warnings.append(UsageWarning.COST_DIFFERS)
    return tuple(warnings)


def _storable(reported: dict[str, Any] | None) -> dict[str, Any] | None:
    """Returns the report to store for disputes; None if it is absurdly large or deep."""
    if reported is None:
        return None
    try:
        text = msgspec.json.encode(reported)
    except RecursionError:
        return None
    parts = text.count(b"{") + text.count(b"[")
    return reported if len(text) <= REPORTED_MAX_BYTES and parts <= _REPORTED_MAX_PARTS else None


def costs_differ(reported_pico: Pico, charged_pico: Pico) -> bool:
    """Whether two costs differ by more than 1 % and by more than 0.0001 dollars."""
    apart = abs(reported_pico - charged_pico)
    return apart > _COSTS_DIFFER_MIN_PICO and apart * 100 > _COSTS_DIFFER_PERCENT * max(
        reported_pico, charged_pico
    )
