"""The rules of settlement, on meters without a wire format.

tests/dialects covers the holds and the settlement of real bodies and chunks.
"""

from typing import Any

import pytest

from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import Generation, UsageWarning
from modelgates_server.core.metering.meter import FinishReason, Output, ResponseMeter
from modelgates_server.core.metering.request import InferenceRequest
from modelgates_server.core.metering.settlement import checkpoint, costs_differ, lost, settle
from modelgates_server.core.money import Pico
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.core.pricing.usage import Usage, UsageReading
from tests.core import calls
from tests.support import T0_MS

MILLI = 10**9
CENT = 10**10
# A thousandth of a dollar for an input token, two for an output token, a cent for a request.
PRICE = calls.flat(input="0.001", output="0.002", request="0.01")
USAGE = Usage(input=9, output=2)
COST = 9 * MILLI + 2 * 2 * MILLI + CENT
ESTIMATED_INPUT = 100 // 4 + 4
"""The estimate for a request with a hundred bytes in one message."""


def ended(
    meter: ResponseMeter,
    request: InferenceRequest | None = None,
    *,
    failure: str | None = None,
    **options: Any,
) -> Generation:
    priced = calls.priced(PRICE, request or calls.request())
    started = calls.held(priced)
    return settle(
        started, PRICE, priced.request, meter, failure=failure, at_ms=T0_MS + 1, **options
    )


def usage_of(generation: Generation) -> Usage:
    assert generation.usage is not None
    return generation.usage


def reading(**members: Any) -> UsageReading:
    return UsageReading(**{"trusted_input": True, "trusted_output": True, **members})


def test_reported_usage_is_charged() -> None:
    meter = calls.meter(8, USAGE, report={"any": "words"}, served_model="m", service_tier="flex")
    generation = ended(meter)
    assert (generation.state, generation.cost_pico) == (HoldState.CAPTURED, COST)
    assert (generation.finish_reason, generation.native_finish_reason) == ("stop", "stop")
    assert (generation.reported, generation.served_model) == ({"any": "words"}, "m")
    assert generation.service_tier == "flex"
    assert generation.usage_warnings == ()


def test_usage_is_estimated_when_none_is_reported() -> None:
    usage = usage_of(ended(calls.meter(41)))
    assert usage == Usage(input=ESTIMATED_INPUT, output=11, estimated=True)


def test_echoed_prompt_is_not_counted_as_output() -> None:
    usage = usage_of(ended(calls.meter(141), calls.request(echo_bytes=100)))
    assert usage.output == 11


def test_images_and_audio_are_estimated_as_media_tokens() -> None:
    request = calls.request(media=3, sounds=1)
    meter = calls.meter(output=Output(pictures={(0, 0), (0, 1)}, sounds={0}))
    usage = usage_of(ended(meter, request, media_tokens=10))
    assert (usage.input_audio, usage.input_image) == (10, 20)
    assert (usage.output_audio, usage.output_image) == (10, 20)


def test_side_of_a_report_is_estimated_when_it_is_not_trusted() -> None:
    no_input = calls.meter(8, usage_reading=reading(usage=USAGE, trusted_input=False))
    no_input.text_bytes_at_usage = 8
    generation = ended(no_input)
    assert usage_of(generation) == Usage(input=ESTIMATED_INPUT, output=2, estimated=True)
    assert generation.usage_warnings == (UsageWarning.ZERO_ESTIMATED,)
    no_output = calls.meter(40, usage_reading=reading(usage=USAGE, trusted_output=False))
    assert usage_of(ended(no_output)) == Usage(input=9, output=10, estimated=True)


def test_reported_zero_output_is_accepted_below_a_token_of_text() -> None:
    zero = reading(usage=Usage(input=9), trusted_output=False, says_zero_output=True)
    assert usage_of(ended(calls.meter(3, usage_reading=zero))) == Usage(input=9)
    assert usage_of(ended(calls.meter(4, usage_reading=zero))).output == 1


def test_unsplit_total_is_split_by_the_relayed_output() -> None:
    total = calls.meter(40, usage_reading=UsageReading(unsplit_tokens=25))
    assert usage_of(ended(total)) == Usage(input=15, output=10, estimated=True)


@pytest.mark.parametrize(
    ("reason", "text_bytes", "output"),
    [
        (None, 8 + 8, 4),  # cut off: text after the report is added
        (FinishReason.STOP, 8 + 8, 2),  # a good end: the report is used
        (FinishReason.STOP, 8 + 4000, 1002),  # unless nearly all of the text followed it
    ],
)
def test_text_after_the_last_report_is_added_when_the_report_lacks_it(
    reason: FinishReason | None, text_bytes: int, output: int
) -> None:
    meter = calls.meter(text_bytes, USAGE, reason, text_bytes_at_usage=8)
    assert usage_of(ended(meter)).output == output


@pytest.mark.parametrize(
    ("meter", "failure"),
    [
        (calls.meter(reason=None), None),
        (calls.meter(reason=FinishReason.ERROR), None),
        (calls.meter(usage=USAGE, reason=FinishReason.ERROR), None),
        (calls.meter(usage=USAGE), "provider_unavailable"),
    ],
)
def test_empty_response_is_free_when_it_failed_or_has_no_good_end(
    meter: ResponseMeter, failure: str | None
) -> None:
    generation = ended(meter, failure=failure)
    assert (generation.state, generation.cost_pico) == (HoldState.VOIDED, 0)
    assert (generation.lines, generation.usage, generation.error) == ((), None, failure)


def test_empty_response_is_charged_when_it_ended_well_or_used_reasoning() -> None:
    assert ended(calls.meter(usage=Usage(input=9))).cost_pico == 9 * MILLI + CENT
    assert ended(calls.meter(usage=USAGE, reason=None)).cost_pico == COST


def test_call_is_charged_when_draining_stops_before_any_output() -> None:
    generation = ended(ResponseMeter(), drain_stopped=True)
    assert (generation.state, usage_of(generation).input) == (HoldState.CAPTURED, ESTIMATED_INPUT)


def test_request_without_output_is_charged_for_all_reported_tokens_as_input() -> None:
    request = calls.request(Api.EMBEDDINGS)
    meter = calls.meter(usage=Usage(input=3, output=5), reason=None)
    assert usage_of(ended(meter, request)) == Usage(input=8)
    total = calls.meter(usage_reading=UsageReading(unsplit_tokens=8), reason=None)
    assert usage_of(ended(total, request)) == Usage(input=8)
    assert usage_of(ended(ResponseMeter(), request)) == Usage(input=25, estimated=True)
    assert ended(meter, request, failure="provider_unavailable").state is HoldState.VOIDED


def test_usage_above_the_hold_is_recorded_and_charged_up_to_the_hold() -> None:
    generation = ended(calls.meter(8, Usage(input=9, output=10**6)))
    assert generation.cost_pico == generation.hold_pico
    used_pico = 9 * MILLI + 10**6 * 2 * MILLI + CENT
    assert generation.cost_pico + generation.overrun_pico == used_pico


def test_report_with_refused_counts_or_unpriced_units_is_marked() -> None:
    odd = reading(usage=USAGE, refused=1, unpriced=("searches",))
    assert ended(calls.meter(usage_reading=odd)).usage_warnings == (
        UsageWarning.COUNT_REFUSED,
        UsageWarning.UNITS_UNPRICED,
    )


def test_reported_cost_is_stored_and_marked_when_it_differs() -> None:
    same = ended(calls.meter(8, USAGE, cost_pico=COST))
    assert (same.upstream_cost_pico, same.usage_warnings) == (COST, ())
    other = ended(calls.meter(8, USAGE, cost_pico=2 * COST))
    assert other.usage_warnings == (UsageWarning.COST_DIFFERS,)


def test_lost_call_costs_the_output_up_to_its_checkpoint() -> None:
    priced = calls.priced(PRICE, calls.request())
    started = calls.held(priced)
    assert checkpoint(started, PRICE, priced.request, ResponseMeter()) == started
    some = checkpoint(started, PRICE, priced.request, calls.meter(8, reason=None))
    assert (some.state, usage_of(some).output, some.overrun_pico) == (HoldState.OPEN, 2, 0)
    ended_by_loss = lost(some, T0_MS + 1)
    assert (ended_by_loss.state, ended_by_loss.cost_pico) == (HoldState.EXPIRED, some.cost_pico)


@pytest.mark.parametrize(
    ("reported", "charged", "differ"),
    [
        (CENT, CENT, False),
        (CENT, CENT - 10**8, False),
        (CENT, CENT - 10**8 - 1, True),
        (10**8, 0, False),
        (10**8 + 1, 0, True),
        (1000 * CENT, 991 * CENT, False),
        (1000 * CENT, 989 * CENT, True),
    ],
)
def test_costs_differ_when_both_thresholds_are_exceeded(
    reported: int, charged: int, *, differ: bool
) -> None:
    assert costs_differ(Pico(reported), Pico(charged)) is differ
    assert costs_differ(Pico(charged), Pico(reported)) is differ
