"""Reads the cost of a call that some providers report.

OpenRouter and similar gateways report `usage.cost` in dollars, Perplexity `usage.cost.total_cost`,
DeepInfra `usage.estimated_cost`, and xAI `usage.cost_in_usd_ticks`, in units of 1e-10 dollars.
"""

import re
from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from modelgates_server.core.money import ENTRY_MAX_PICO, PLACES, Pico

_NAMES = ("cost", "total_cost", "estimated_cost")
_SMALL = {"cost_in_usd_ticks": 10, "cost_in_nano_usd": 9}
"""xAI's names, with the decimal places of their units."""

_DOLLARS = re.compile(r"[0-9]{1,18}(\.[0-9]{1,30})?(e-?[0-9]{1,2})?", re.ASCII | re.IGNORECASE)
"""Includes Python's float notation. The exponent is limited: `1e999999999` would be huge."""


def read_cost(reported: Mapping[str, Any]) -> Pico | None:
    """The cost in a usage report; None if there is none, or if it is zero (not computed)."""
    cost, details = reported.get("cost"), reported.get("cost_details")
    if reported.get("is_byok") is True and isinstance(details, dict):
        # With BYOK, `cost` is only a fee on top of the upstream provider's cost (OpenRouter).
        upstream = _pico(details.get("upstream_inference_cost"), PLACES)
        return Pico((_pico(cost, PLACES) or 0) + (upstream or 0)) or None
    places = (cost, reported) if isinstance(cost, dict) else (reported,)
    costs = [_pico(members.get(name), PLACES) for members in places for name in _NAMES]
    costs += [_pico(reported.get(name), PLACES - places) for name, places in _SMALL.items()]
    return next(filter(None, costs), None)


def _pico(value: Any, places: int) -> Pico | None:
    if type(value) not in (int, float, str):
        return None
    # The shortest text of a float equals the JSON source, as far as it matters here.
    text = str(value)
    if not _DOLLARS.fullmatch(text.replace("e+", "e")):
        return None
    pico = int(Decimal(text).scaleb(places).to_integral_value(ROUND_HALF_EVEN))
    return Pico(pico) if 0 < pico <= ENTRY_MAX_PICO else None
