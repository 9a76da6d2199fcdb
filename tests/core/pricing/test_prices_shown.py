from decimal import Decimal

from modelgates_server.core.pricing.prices import BASIS_POINTS, shown_tiers
from modelgates_server.core.pricing.usage import Meter
from tests.core.pricing.test_prices import price


def test_shown_tier_repeats_the_rates_that_only_lower_tiers_set() -> None:
    below = {"input": "1", "output": "2", "cache_read": "0.5"}
    stated = price((0, below), (10, {"input": "3", "output": "2"}))
    first, second = shown_tiers(stated, BASIS_POINTS)
    assert (first.above, second.above) == (0, 10)
    assert first.rates == {Meter.INPUT: 2, Meter.OUTPUT: 4, Meter.CACHE_READ: 1}
    assert second.rates.keys() == first.rates.keys()
    assert (second.rates[Meter.INPUT], second.rates[Meter.OUTPUT]) == (Decimal(6), Decimal(4))
