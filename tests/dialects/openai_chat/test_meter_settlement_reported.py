from typing import Any

import pytest

from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import UsageWarning
from modelgates_server.core.pricing.usage import Usage, UsageRules
from tests.core import calls
from tests.dialects.openai_chat import chat
from tests.dialects.openai_chat.settled import CENT, MILLI, PRICE, REPORT, ended, finish, is_void

ZERO = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


def test_zero_usage_is_estimated_and_marked_when_text_went_by() -> None:
    generation = ended(chat.answer("a long answer", usage=ZERO))
    assert generation.state is HoldState.CAPTURED
    text_bytes = len(chat.body_of())
    assert generation.usage == Usage(input=-(-text_bytes // 4) + 4, output=4, estimated=True)
    assert generation.usage_warnings == (UsageWarning.ZERO_ESTIMATED,)


def test_zero_output_is_honoured_when_nothing_was_said() -> None:
    report = {"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9}
    generation = ended(chat.answer("", usage=report))
    assert generation.usage == Usage(input=9)
    assert generation.usage_warnings == ()


@pytest.mark.parametrize(("text", "output"), [("x", 0), ("four", 1), ("five5", 2)])
def test_zero_output_is_estimated_when_a_whole_token_of_text_went_by(
    text: str, output: int
) -> None:
    report = {"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9}
    generation = ended(chat.answer(text, usage=report))
    assert generation.usage is not None
    assert generation.usage.output == output
    assert generation.usage.estimated is (output > 0)


def test_zero_usage_is_believed_when_the_provider_is_trusted() -> None:
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
def test_side_that_is_missing_from_the_report_is_estimated_and_the_other_is_kept(
    missing: str, usage: dict[str, int]
) -> None:
    generation = ended(chat.answer("12345678", usage=usage))
    assert generation.usage is not None
    assert generation.usage.estimated
    prompt = -(-len(chat.body_of()) // 4) + 4 if missing == "prompt_tokens" else 9
    assert generation.usage.prompt_tokens == prompt
    assert generation.usage.completion_tokens == 2


def test_total_alone_is_split_by_what_went_by() -> None:
    generation = ended(chat.answer("12345678", usage={"total_tokens": 50}))
    assert generation.usage == Usage(input=48, output=2, estimated=True)


def test_pictures_and_sound_are_estimated_by_the_piece_and_their_bytes_are_not_text() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 90_000}}
    delta = {"content": "Here:", "images": [picture, picture]}
    first = {"choices": [{"index": 0, "delta": delta}]}
    sound = {"choices": [{"index": 0, "delta": {"audio": {"id": "a", "data": "A" * 9000}}}]}
    generation = ended(first, sound, sound, finish("stop"), media_tokens=60)
    assert generation.usage is not None
    usage = generation.usage
    assert (usage.output, usage.output_image, usage.output_audio) == (2, 120, 60)
    assert usage.estimated


def test_media_that_was_read_is_estimated_by_the_piece() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 9000}}
    priced = calls.priced(
        PRICE,
        chat.request(messages=[{"role": "user", "content": [picture]}]),
        at=calls.model(media_tokens=85),
    )
    generation = ended(chat.answer("12345678"), of=priced, media_tokens=85)
    assert generation.usage is not None
    assert generation.usage.input < 85 == generation.usage.input_image


@pytest.mark.parametrize("word", ["error", "network_error", "insufficient_system_resource", "odd"])
def test_answer_that_does_not_exist_is_not_charged_whatever_was_reported(word: str) -> None:
    assert is_void(ended(finish(word, usage=REPORT)))


@pytest.mark.parametrize("word", ["error", "network_error", "SAFETY", "odd"])
def test_output_is_charged_whatever_the_word_for_its_end(word: str) -> None:
    generation = ended(chat.answer("12345678"), finish(word, usage=REPORT))
    assert generation.usage == Usage(input=9, output=2)
    assert generation.native_finish_reason in ("stop", word)


def test_provider_s_word_for_the_end_is_kept_beside_the_normalised_one() -> None:
    generation = ended(finish("end_turn", usage=REPORT))
    assert (generation.finish_reason, generation.native_finish_reason) == ("stop", "end_turn")


def test_served_model_and_reported_cost_are_kept() -> None:
    generation = ended({**chat.answer(usage={**REPORT, "cost": 0.023}), "model": "m1-2026"})
    assert generation.served_model == "m1-2026"
    assert generation.upstream_cost_pico == 23 * MILLI
    assert generation.usage_warnings == ()


@pytest.mark.parametrize(
    ("cost", "differs"), [(0.023, False), (0.0232, False), (0.0236, True), (0.5, True), (0, False)]
)
def test_reported_cost_is_a_warning_when_it_differs_by_more_than_a_percent(
    cost: float, *, differs: bool
) -> None:
    generation = ended(chat.answer(usage={**REPORT, "cost": cost}), markup_bp=0)
    assert (UsageWarning.COST_DIFFERS in generation.usage_warnings) is differs


def test_reported_cost_is_compared_with_the_price_before_the_markup() -> None:
    generation = ended(chat.answer(usage={**REPORT, "cost": 0.023}), markup_bp=50_000)
    assert generation.cost_pico > 100 * MILLI
    assert generation.usage_warnings == ()


def test_report_at_the_start_is_completed_by_an_estimate_when_the_answer_came_after_it() -> None:
    early = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
    generation = ended(chat.answer("hi", usage=early), open_text("x" * 10_000), finish("stop"))
    assert generation.usage == Usage(input=9, output=2501, estimated=True)


def test_report_that_is_repeated_at_the_end_covers_all_that_was_said() -> None:
    report = {"prompt_tokens": 9, "completion_tokens": 100, "total_tokens": 109}
    generation = ended(
        {**open_text("hi"), "usage": report},
        {**open_text("x" * 1000), "usage": report},
        finish("stop"),
    )
    assert generation.usage == Usage(input=9, output=100)


def test_report_stands_when_little_came_after_it() -> None:
    generation = ended(chat.answer("hi", usage=REPORT), open_text("x" * 60), finish("stop"))
    assert generation.usage == Usage(input=9, output=2)


def open_text(text: str) -> dict[str, Any]:
    """A chunk in the middle of a stream."""
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}


def test_sound_that_was_read_is_estimated_as_sound() -> None:
    sound = {"type": "input_audio", "input_audio": {"data": "A" * 9000, "format": "wav"}}
    price = calls.flat(input="0.001", input_audio="0.01", output="0.002")
    priced = calls.priced(
        price,
        chat.request(messages=[{"role": "user", "content": [sound]}]),
        at=calls.model(media_tokens=85),
    )
    generation = ended(chat.answer("12345678"), of=priced, media_tokens=85)
    assert generation.usage is not None
    assert (generation.usage.input_audio, generation.usage.input_image) == (85, 0)


def test_searches_that_no_rate_covers_are_a_warning() -> None:
    generation = ended(chat.answer(usage={**REPORT, "num_search_queries": 74}))
    assert generation.usage_warnings == (UsageWarning.UNITS_UNPRICED,)
