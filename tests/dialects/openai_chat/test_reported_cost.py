from typing import Any

import pytest

from modelgates_server.core.money import ENTRY_MAX_PICO
from modelgates_server.dialects.openai_chat.reported_cost import read_cost

CENT = 10**10


@pytest.mark.parametrize(
    "reported",
    [
        {"cost": 0.01},
        {"cost": "0.01"},
        {"cost": {"total_cost": 0.01, "input_tokens_cost": 0.004}},
        {"estimated_cost": 0.01},
        {"total_cost": 0.01},
        {"cost_in_usd_ticks": 10**8},
        {"cost_in_nano_usd": 10**7},
        {"cost": 0.004, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.006}},
        {"cost": None, "estimated_cost": 0.01},
    ],
)
def test_cost_is_read_under_every_provider_s_name(reported: dict[str, Any]) -> None:
    assert read_cost(reported) == CENT


def test_invalid_cost_is_ignored() -> None:
    zero: list[Any] = [0, 0.0, "0", -0.01, "-1", None]
    endless: list[Any] = [float("nan"), float("inf"), "NaN", "Infinity", 10**40]
    huge: list[Any] = ["1e200000", "1e999900", "9" * 10**6, "0." + "1" * 10**6, 1e300]
    junk: list[Any] = [True, [], {}, "x", ""]
    for value in (*zero, *endless, *huge, *junk):
        assert read_cost({"cost": value}) is None, value
    assert read_cost({}) is None
    assert read_cost({"cost": 9_223_372}) == 9_223_372 * 10**12 <= ENTRY_MAX_PICO
