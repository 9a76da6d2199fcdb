from typing import Any

import pytest

from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import UsageWarning
from modelgates_server.core.pricing.usage import Usage, UsageRules
from tests.core import calls
from tests.dialects.openai_chat import chat
from tests.dialects.openai_chat.settled import CENT, MILLI, PRICE, REPORT, ended, finish, is_void

ZERO = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


def test_zero_usage_is_estimated_and_flagged_when_text_was_received() -> None:
    generation = ended(chat.answer("a long answer", usage=ZERO))
    assert generation.state is HoldState.CAPTURED
    text_bytes = len(chat.body_of())
    assert generation.usage == Usage(input=-(-text_bytes // 4) + 4, output=4, estimated=True)
    assert generation.usage_warnings == (UsageWarning.ZERO_ESTIMATED,)


def test_zero_output_is_accepted_when_no_text_was_received() -> None:
    report = {"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9}
    generation = ended(chat.answer("", usage=report))
    assert generation.usage == Usage(input=9)
    assert generation.usage_warnings == ()


@pytest.mark.parametrize(("text", "output"), [("x", 0), ("four", 1), ("five5", 2)])
def test_zero_output_is_estimated_when_a_whole_token_was_received(text: str, output: int) -> None:
    report = {"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9}
    generation = ended(chat.answer(text, usage=report))
    assert generation.usage is not None
    assert generation.usage.output == output
    assert generation.usage.estimated is (output > 0)


def test_zero_usage_is_accepted_when_the_provider_is_trusted() -> None:
    generation = ended(chat.answer("a long answer", usage=ZERO), rules=UsageRules(trust_zero=True))
    assert generation.usage == Usage()
    assert generation.cost_pico == CENT
    absent = {"completion_tokens": 2}
    generation = ended(
        chat.answer("a long answer", usage=absent), rules=UsageRules(trust_zero=True)
    )
    assert generation.usage is not None
    assert (generation.usage.output, generation.usage.estimated) == (2, True)


@pytest.mark.parametrize(
    ("missing", "usage"),
    [
        ("prompt_tokens", {"completion_tokens": 2}),
        ("prompt_tokens", {"prompt_tokens": 0, "completion_tokens": 2}),
        ("completion_tokens", {"prompt_tokens": 9}),
        ("completion_tokens", {"prompt_tokens": 9, "completion_tokens": 0}),
    ],
)
def test_only_the_missing_side_of_a_report_is_estimated(
    missing: str, usage: dict[str, int]
) -> None:
    generation = ended(chat.answer("12345678", usage=usage))
    assert generation.usage is not None
    assert generation.usage.estimated
    prompt = -(-len(chat.body_of()) // 4) + 4 if missing == "prompt_tokens" else 9
    assert generation.usage.prompt_tokens == prompt
    assert generation.usage.completion_tokens == 2


def test_total_alone_is_split_by_the_text_received() -> None:
    generation = ended(chat.answer("12345678", usage={"total_tokens": 50}))
    assert generation.usage == Usage(input=48, output=2, estimated=True)


def test_generated_images_and_audio_are_estimated_by_the_piece() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 90_000}}
    delta = {"content": "Here:", "images": [image, image]}
    first = {"choices": [{"index": 0, "delta": delta}]}
    audio = {"choices": [{"index": 0, "delta": {"audio": {"id": "a", "data": "A" * 9000}}}]}
    generation = ended(first, audio, audio, finish("stop"), media_tokens=60)
    assert generation.usage is not None
    usage = generation.usage
    assert (usage.output, usage.output_image, usage.output_audio) == (2, 120, 60)
    assert usage.estimated


def test_input_media_are_estimated_by_the_piece() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 9000}}
    priced = calls.priced(
        PRICE,
        chat.request(messages=[{"role": "user", "content": [image]}]),
        at=calls.model(media_tokens=85),
    )
    generation = ended(chat.answer("12345678"), of=priced, media_tokens=85)
    assert generation.usage is not None
    assert generation.usage.input < 85 == generation.usage.input_image


@pytest.mark.parametrize("word", ["error", "network_error", "insufficient_system_resource", "odd"])
def test_failed_response_without_output_is_not_charged_whatever_was_reported(word: str) -> None:
    assert is_void(ended(finish(word, usage=REPORT)))


@pytest.mark.parametrize("word", ["error", "network_error", "SAFETY", "odd"])
def test_output_is_charged_whatever_its_finish_reason(word: str) -> None:
    generation = ended(chat.answer("12345678"), finish(word, usage=REPORT))
    assert generation.usage == Usage(input=9, output=2)
    assert generation.native_finish_reason in ("stop", word)


def test_native_finish_reason_is_stored_next_to_the_normalized_one() -> None:
    generation = ended(finish("end_turn", usage=REPORT))
    assert (generation.finish_reason, generation.native_finish_reason) == ("stop", "end_turn")


def test_served_model_and_reported_cost_are_stored() -> None:
    generation = ended({**chat.answer(usage={**REPORT, "cost": 0.023}), "model": "m1-2026"})
    assert generation.served_model == "m1-2026"
    assert generation.upstream_cost_pico == 23 * MILLI
    assert generation.usage_warnings == ()


@pytest.mark.parametrize(
    ("cost", "differs"), [(0.023, False), (0.0232, False), (0.0236, True), (0.5, True), (0, False)]
)
def test_reported_cost_raises_a_warning_when_it_differs_by_over_one_percent(
    cost: float, *, differs: bool
) -> None:
    generation = ended(chat.answer(usage={**REPORT, "cost": cost}), markup_bp=0)
    assert (UsageWarning.COST_DIFFERS in generation.usage_warnings) is differs


def test_reported_cost_is_compared_with_the_price_before_the_markup() -> None:
    generation = ended(chat.answer(usage={**REPORT, "cost": 0.023}), markup_bp=50_000)
    assert generation.cost_pico > 100 * MILLI
    assert generation.usage_warnings == ()


def test_early_report_is_completed_by_an_estimate_of_later_text() -> None:
    early = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
    generation = ended(chat.answer("hi", usage=early), open_text("x" * 10_000), finish("stop"))
    assert generation.usage == Usage(input=9, output=2501, estimated=True)


def test_report_repeated_at_the_end_covers_all_text() -> None:
    report = {"prompt_tokens": 9, "completion_tokens": 100, "total_tokens": 109}
    generation = ended(
        {**open_text("hi"), "usage": report},
        {**open_text("x" * 1000), "usage": report},
        finish("stop"),
    )
    assert generation.usage == Usage(input=9, output=100)


def test_report_is_final_when_little_text_follows() -> None:
    generation = ended(chat.answer("hi", usage=REPORT), open_text("x" * 60), finish("stop"))
    assert generation.usage == Usage(input=9, output=2)


def open_text(text: str) -> dict[str, Any]:
    """A chunk in the middle of a stream."""
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}


def test_input_audio_is_estimated_as_audio() -> None:
    audio = {"type": "input_audio", "input_audio": {"data": "A" * 9000, "format": "wav"}}
    price = calls.flat(input="0.001", input_audio="0.01", output="0.002")
    priced = calls.priced(
        price,
        chat.request(messages=[{"role": "user", "content": [audio]}]),
        at=calls.model(media_tokens=85),
    )
    generation = ended(chat.answer("12345678"), of=priced, media_tokens=85)
    assert generation.usage is not None
    assert (generation.usage.input_audio, generation.usage.input_image) == (85, 0)


def test_searches_without_a_rate_raise_a_warning() -> None:
    generation = ended(chat.answer(usage={**REPORT, "num_search_queries": 74}))
    assert generation.usage_warnings == (UsageWarning.UNITS_UNPRICED,)
