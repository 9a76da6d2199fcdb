"""What a provider says that a call cost, where it says so, and whether it is what we would charge.

OpenRouter and gateways like it have `usage.cost` in dollars, Perplexity `usage.cost.total_cost`,
DeepInfra `usage.estimated_cost`, xAI `usage.cost_in_usd_ticks` of 1e-10 dollars.
"""

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from modelgates_server.core.money import ENTRY_MAX_PICO, PLACES, Pico

_NAMES = ("cost", "total_cost", "estimated_cost")
_TICKS = "cost_in_usd_ticks"
_TICKS_PLACES = 10
_LEAST_PICO = 10 ** (PLACES - 4)
_PERCENT = 1


def read_cost(reported: Mapping[str, Any]) -> Pico | None:
    """The cost in a usage report. None where there is none; zero means that it was not computed."""
    cost = reported.get("cost")
    places = (cost, reported) if isinstance(cost, dict) else (reported,)
    for members in places:
        for name in _NAMES:
            if pico := _pico(members.get(name), PLACES):
                return pico
    return _pico(reported.get(_TICKS), PLACES - _TICKS_PLACES)


def costs_differ(reported_pico: Pico, ours_pico: Pico) -> bool:
    """Whether two costs are more than 1 % and more than 0.0001 dollars apart."""
    apart = abs(reported_pico - ours_pico)
    return apart > _LEAST_PICO and apart * 100 > _PERCENT * max(reported_pico, ours_pico)


def _pico(value: Any, places: int) -> Pico | None:
    if type(value) not in (int, float, str):
        return None
    try:
        # The shortest text of a float is what stood in the JSON, as far as it matters here.
        dollars = Decimal(str(value))
        if not dollars.is_finite() or dollars <= 0:
            return None
        pico = int(dollars.scaleb(places).to_integral_value(ROUND_HALF_EVEN))
    except ArithmeticError:
        return None
    return Pico(pico) if 0 < pico <= ENTRY_MAX_PICO else None
