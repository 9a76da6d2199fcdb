from typing import Any

import pytest

from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import Generation, UsageWarning
from modelgates_server.core.metering.settlement import REPORTED_MAX_BYTES, checkpoint, lost, settle
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.core.pricing.prices import ReceiptLine, dollars
from modelgates_server.core.pricing.usage import Usage
from modelgates_server.dialects.openai_chat.meter import ChatResponseMeter
from tests.core import calls
from tests.dialects.openai_chat import chat
from tests.dialects.openai_chat.settled import (
    CENT,
    END_MS,
    MILLI,
    REPORT,
    ended,
    finish,
    is_void,
    priced_request,
)


def test_good_response_is_charged_as_reported_line_by_line() -> None:
    generation = ended(chat.answer(usage=REPORT))
    assert generation.state is HoldState.CAPTURED
    assert generation.cost_pico == 9 * MILLI + 2 * 2 * MILLI + CENT
    assert [(line.meter, line.quantity) for line in generation.lines] == [
        ("input", 9),
        ("output", 2),
        ("request", 1),
    ]
    assert generation.usage == Usage(input=9, output=2)
    assert (generation.reported, generation.ended_at_ms) == (REPORT, END_MS)
    assert (generation.finish_reason, generation.error) == ("stop", None)


@pytest.mark.parametrize("reason", [None, "", "error"])
@pytest.mark.parametrize("usage", [None, {**REPORT, "completion_tokens": 0, "total_tokens": 9}])
def test_empty_response_with_a_blank_or_bad_end_is_not_charged(
    reason: str | None, usage: dict[str, Any] | None
) -> None:
    assert is_void(ended(finish(reason, usage=usage)))


def test_stream_without_a_chunk_is_not_charged() -> None:
    assert is_void(ended())


@pytest.mark.parametrize("reason", ["stop", "length", "content_filter", "tool_calls"])
def test_empty_response_with_a_good_end_is_charged_for_its_input(reason: str) -> None:
    zero = {"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9}
    assert ended(finish(reason, usage=zero)).cost_pico == 9 * MILLI + CENT


def test_reasoning_is_charged_when_no_text_follows() -> None:
    assert ended(finish(None, usage=REPORT)).cost_pico == 9 * MILLI + 4 * MILLI + CENT


@pytest.mark.parametrize("usage", [None, REPORT])
def test_error_before_the_first_token_is_not_charged(usage: dict[str, Any] | None) -> None:
    generation = ended(
        {"choices": [], "usage": usage, "error": {"message": "a long text about what went wrong"}},
        failure="provider_unavailable",
    )
    assert is_void(generation)
    assert generation.error == "provider_unavailable"
    assert generation.reported == usage


def test_error_text_is_not_counted_as_output() -> None:
    error = {"error": {"message": "x" * 4000}}
    generation = ended(chat.answer("12345678"), error, failure="provider_unavailable")
    assert generation.usage is not None
    assert generation.usage.output == 2


def test_cut_stream_without_usage_is_estimated_from_its_bytes() -> None:
    generation = ended(chat.answer("x" * 41), failure="provider_unavailable")
    assert generation.state is HoldState.CAPTURED
    text_bytes = len(chat.body_of())
    assert generation.usage == Usage(input=-(-text_bytes // 4) + 4, output=11, estimated=True)
    assert 0 < generation.cost_pico < generation.hold_pico


def test_cut_stream_with_usage_is_charged_as_reported() -> None:
    generation = ended(chat.answer("x" * 4000, usage=REPORT), failure="provider_unavailable")
    assert generation.usage == Usage(input=9, output=2)


def test_repeated_usage_counts_once_and_the_last_report_wins() -> None:
    first = {"prompt_tokens": 9, "completion_tokens": 1}
    generation = ended(
        chat.answer("so", usage=first),
        chat.answer("so", usage=first),
        finish("stop"),
        {"choices": [], "usage": REPORT},
        {"choices": [], "usage": None},
    )
    assert generation.usage == Usage(input=9, output=2)


@pytest.mark.parametrize("bad", [-1, -(10**18), 10**12, "many", True, [9], {}])
@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens", "total_tokens"])
def test_only_the_implausible_count_is_refused(name: str, bad: object) -> None:
    generation = ended(chat.answer(usage={**REPORT, name: bad}))
    assert generation.usage == Usage(input=9, output=2)
    assert generation.usage_warnings == (UsageWarning.COUNT_REFUSED,)
    assert generation.reported == {**REPORT, name: bad}


def test_report_without_a_valid_count_is_replaced_by_an_estimate() -> None:
    generation = ended(chat.answer(usage=dict.fromkeys(REPORT, -1)))
    assert generation.usage is not None
    assert generation.usage.estimated
    assert 0 < generation.cost_pico <= generation.hold_pico
    assert generation.usage_warnings == (UsageWarning.COUNT_REFUSED,)


@pytest.mark.parametrize("usage", [-1, "none", [1], True, 1.5, [], {}, ""])
def test_usage_of_another_shape_is_replaced_by_an_estimate(usage: object) -> None:
    generation = ended(chat.answer(usage=usage))
    assert generation.state is HoldState.CAPTURED
    assert generation.usage is not None
    assert generation.usage.estimated
    assert generation.reported is None


def test_estimate_above_the_cap_is_recorded_and_charged_up_to_the_hold() -> None:
    generation = ended(chat.answer("x" * 4000), of=priced_request(max_tokens=1, n=3))
    assert generation.usage is not None
    assert generation.usage.output == 1000
    assert generation.cost_pico == generation.hold_pico
    assert generation.overrun_pico > 0


def test_estimate_is_limited_to_the_context_of_the_model() -> None:
    long = priced_request(messages=[{"role": "user", "content": "x" * 8000}])
    generation = ended(chat.answer(), of=long)
    assert generation.usage is not None
    assert generation.usage.input == 1000
    assert generation.overrun_pico == 0


def test_usage_above_the_hold_is_an_overrun_line_on_the_receipt() -> None:
    much = {"prompt_tokens": 9, "completion_tokens": 10**6}
    generation = ended(chat.answer(usage=much))
    used_pico = 9 * MILLI + 10**6 * 2 * MILLI + CENT
    assert generation.cost_pico == generation.hold_pico
    assert generation.cost_pico + generation.overrun_pico == used_pico
    rest = dollars(-generation.overrun_pico)
    assert generation.lines[-1] == ReceiptLine("overrun", 1, rest, rest)


def test_embedding_is_charged_for_its_input_tokens() -> None:
    vectors = {"data": [{"embedding": [0.5]}]}
    report = {"prompt_tokens": 8, "total_tokens": 8}
    generation = ended({**vectors, "usage": report}, of=priced_request(Api.EMBEDDINGS))
    assert generation.usage == Usage(input=8)
    assert generation.cost_pico == 8 * MILLI + CENT


@pytest.mark.parametrize(
    "report",
    [
        {"total_tokens": 8},
        {"prompt_tokens": 0, "total_tokens": 8},
        {"prompt_tokens": 3, "total_tokens": 8, "completion_tokens": 5},
    ],
)
def test_total_of_an_embedding_is_not_counted_as_free_output(
    report: dict[str, int],
) -> None:
    price = calls.flat(input="0.001")
    generation = ended(
        {"data": [], "usage": report}, of=calls.priced(price, chat.request(Api.EMBEDDINGS))
    )
    assert generation.usage == Usage(input=8)
    assert generation.cost_pico == 8 * MILLI


def test_embedding_without_usage_is_estimated() -> None:
    generation = ended({"data": []}, of=priced_request(Api.EMBEDDINGS, input="x" * 400))
    assert generation.state is HoldState.CAPTURED
    assert generation.usage is not None
    assert generation.usage.estimated
    assert 100 <= generation.usage.input <= 112


def test_failed_embedding_is_not_charged() -> None:
    assert is_void(ended(of=priced_request(Api.EMBEDDINGS), failure="provider_unavailable"))


def checked(*payloads: dict[str, Any], **members: Any) -> Generation:
    priced = priced_request()
    generation = calls.replace(calls.held(priced), **members)
    return checkpoint(generation, priced.price, priced.request, chat.metered(*payloads))


def test_checkpoint_before_the_first_token_costs_nothing() -> None:
    generation = checked(finish(None, usage=REPORT))
    assert generation == calls.held(priced_request())
    expired = lost(generation, END_MS)
    assert (expired.state, expired.cost_pico, expired.lines) == (HoldState.EXPIRED, 0, ())
    assert expired.error is not None


def test_lost_call_is_charged_as_checkpointed_and_at_most_its_hold() -> None:
    some = checked(chat.answer("12345678"))
    assert some.state is HoldState.OPEN
    assert some.usage is not None
    assert some.usage.output == 2
    expired = lost(some, END_MS)
    assert (expired.cost_pico, expired.lines) == (some.cost_pico, some.lines)
    absurd = lost(checked(chat.answer(usage={"prompt_tokens": 10**9})), END_MS)
    assert (absurd.cost_pico, absurd.overrun_pico) == (absurd.hold_pico, 0)


def test_end_of_a_call_replaces_its_checkpoint() -> None:
    priced = priced_request()
    checkpointed = checked(chat.answer("x" * 100))
    meter = chat.metered(chat.answer("x" * 100, usage=REPORT))
    true = settle(checkpointed, priced.price, priced.request, meter, failure=None, at_ms=END_MS)
    assert true.usage == Usage(input=9, output=2)
    assert is_void(
        settle(
            checkpointed,
            priced.price,
            priced.request,
            ChatResponseMeter(),
            failure="ProviderError",
            at_ms=END_MS,
        )
    )


def nested(depth: int) -> dict[str, Any]:
    inside: dict[str, Any] = {}
    for _ in range(depth):
        inside = {"a": inside}
    return inside


@pytest.mark.parametrize(
    "extra", [{"note": "x" * REPORTED_MAX_BYTES}, {"note": nested(100)}, {"note": nested(700)}]
)
def test_very_large_report_is_counted_but_not_stored(extra: dict[str, Any]) -> None:
    generation = ended(chat.answer(usage={**REPORT, **extra}))
    assert generation.usage == Usage(input=9, output=2)
    assert generation.reported is None


def test_report_is_stored_unchanged() -> None:
    report = {**REPORT, "cost_in_usd_ticks": 10**30, "details": {"a": [{"b": 1.5}]}, "x": None}
    assert ended(chat.answer(usage=report)).reported == report
