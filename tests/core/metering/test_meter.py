import pytest

from modelgates_server.core.metering.meter import (
    Ending,
    FinishReason,
    Output,
    ResponseMeter,
    reason_or_default,
)
from modelgates_server.core.pricing.usage import UsageReading

STOP = Ending("end_turn", FinishReason.STOP)
FAILED = Ending("overloaded", FinishReason.ERROR)
UNKNOWN = Ending("fin", None)


def test_new_meter_has_no_output_end_or_reading() -> None:
    meter = ResponseMeter()
    assert (meter.has_output, meter.has_ended, meter.finish_reason) == (False, False, None)
    assert (meter.reading(), meter.reported, meter.reported_cost_pico) == (
        UsageReading(),
        None,
        None,
    )


@pytest.mark.parametrize(
    "output",
    [Output(text_bytes=1), Output(pictures={(0, 0)}), Output(sounds={0})],
)
def test_meter_has_output_after_text_an_image_or_audio(output: Output) -> None:
    assert ResponseMeter(output=output).has_output


@pytest.mark.parametrize(
    ("endings", "reason", "native"),
    [
        ({0: STOP}, FinishReason.STOP, "end_turn"),
        ({0: FAILED}, FinishReason.ERROR, "overloaded"),
        ({0: FAILED, 1: STOP}, FinishReason.STOP, "end_turn"),
        ({0: STOP, 1: FAILED}, FinishReason.STOP, "end_turn"),
        ({0: STOP, 1: Ending("len", FinishReason.LENGTH)}, FinishReason.LENGTH, "len"),
    ],
)
def test_finish_reason_is_that_of_the_last_choice_without_an_error(
    endings: dict[int, Ending], reason: FinishReason, native: str
) -> None:
    meter = ResponseMeter(endings=endings)
    assert (meter.finish_reason, meter.native_finish_reason) == (reason, native)


def test_unknown_finish_reason_is_a_good_end_only_after_output() -> None:
    assert ResponseMeter(endings={0: UNKNOWN}).finish_reason is FinishReason.ERROR
    spoke = ResponseMeter(endings={0: UNKNOWN}, output=Output(text_bytes=1))
    assert spoke.finish_reason is FinishReason.STOP
    assert reason_or_default(FinishReason.LENGTH, has_output=False) is FinishReason.LENGTH


def test_response_has_ended_when_every_choice_that_began_has_ended() -> None:
    meter = ResponseMeter(choices={0, 1}, endings={0: STOP})
    assert not meter.has_ended
    meter.endings[1] = FAILED
    assert meter.has_ended


@pytest.mark.parametrize(
    ("output", "is_beyond"),
    [
        (Output(text_bytes=10, media_bytes=20), False),
        (Output(text_bytes=11), True),
        (Output(media_bytes=21), True),
    ],
)
def test_response_exceeds_its_limit_when_text_or_media_do(output: Output, is_beyond: bool) -> None:
    assert ResponseMeter(output=output).is_beyond(10, 20) is is_beyond
