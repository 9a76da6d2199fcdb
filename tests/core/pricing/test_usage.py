import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgates_server.core.pricing.usage import Usage, estimate_usage


def test_negative_count_cannot_be_built() -> None:
    with pytest.raises(AssertionError):
        Usage(output=-1)


@given(st.integers(0, 10**9), st.integers(0, 1000), st.integers(0, 10**9))
def test_local_count_is_marked_and_rounds_up(text: int, messages: int, output: int) -> None:
    usage = estimate_usage(text_bytes=text, messages=messages, output_bytes=output)
    assert usage.estimated
    assert 4 * (usage.input - 4 * messages) - text in range(4)
    assert 4 * usage.output - output in range(4)
