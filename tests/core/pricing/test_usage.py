import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgates_server.core.pricing.usage import (
    INPUTS,
    OUTPUTS,
    Meter,
    Usage,
    containing_classes,
    estimate_usage,
)


def test_negative_count_cannot_be_built() -> None:
    with pytest.raises(AssertionError):
        Usage(output=-1)


@given(st.integers(0, 10**9), st.integers(0, 1000), st.integers(0, 10**9))
def test_estimate_is_marked_and_rounded_up(text: int, messages: int, output: int) -> None:
    usage = estimate_usage(text_bytes=text, messages=messages, output_bytes=output)
    assert usage.estimated
    assert 4 * (usage.input - 4 * messages) - text in range(4)
    assert 4 * usage.output - output in range(4)


def test_every_token_meter_is_a_field_of_usage_on_one_side() -> None:
    assert {*INPUTS, *OUTPUTS} == {*Meter} - {Meter.REQUEST}
    assert {*INPUTS, *OUTPUTS, "estimated"} == {*Usage.__struct_fields__}
    assert len(INPUTS) + len(OUTPUTS) == len({*INPUTS, *OUTPUTS})


def test_class_never_contains_itself() -> None:
    assert containing_classes(Meter.INPUT) == ()
    assert containing_classes(Meter.CACHE_WRITE_1H)[-1] is Meter.INPUT
    for meter in Meter:
        assert meter not in containing_classes(meter)


def test_totals_sum_the_classes_of_their_side() -> None:
    counts = {str(meter): 10**number for number, meter in enumerate((*OUTPUTS, *INPUTS))}
    usage = Usage(**counts)
    assert usage.prompt_tokens == sum(counts[meter] for meter in INPUTS)
    assert usage.completion_tokens == sum(counts[meter] for meter in OUTPUTS)
    assert dict(usage.quantities()) == counts
