"""The price list: prices by the exact names of models. tools/price_seeds.py writes the file."""

import difflib
from functools import cache
from importlib import resources

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.pricing.prices import Tier, read_rate
from modelgates_server.core.pricing.usage import Meter
from modelgates_server.core.times import parse_instant


class SeedTier(msgspec.Struct, frozen=True, array_like=True):
    """Rates in dollars per unit, as text, for prompts of more than `above` tokens."""

    above: int
    rates: dict[Meter, str]


class SeedRow(msgspec.Struct, frozen=True, array_like=True):
    """The tiers in force from 00:00 UTC of a day; without a day, always."""

    day: str | None
    tiers: tuple[SeedTier, ...]

    @property
    def from_ms(self) -> int:
        """The start in ms; 0 if the row has no start."""
        return 0 if self.day is None else parse_instant(f"{self.day}T00:00:00Z")

    def tiers_read(self) -> tuple[Tier, ...]:
        """Returns the tiers with exact numbers. An embeddings model has no rate for output."""
        return tuple(
            Tier(tier.above, {meter: read_rate(rate) for meter, rate in tier.rates.items()})
            for tier in self.tiers
        )


class Seed(msgspec.Struct, frozen=True):
    """One model of one provider: all its dated prices, oldest first.

    `context` is the number of tokens that it can read, if known. `also` has its other exact names.
    """

    rows: tuple[SeedRow, ...]
    context: int | None = None
    also: tuple[str, ...] = ()


class Seeds(msgspec.Struct, frozen=True):
    """The whole file. `refused` lists, by reason, the models whose data does not price one call."""

    source: str
    notice: str
    refused: dict[str, list[str]]
    prices: dict[str, Seed]


@cache
def seeds() -> Seeds:
    """Returns the file in the package."""
    file = resources.files(__package__).joinpath("price_seeds.json")
    return msgspec.json.decode(file.read_bytes(), type=Seeds)


@cache
def seed_providers() -> tuple[str, ...]:
    """Returns the names of the price lists, each of one provider."""
    return tuple(dict.fromkeys(name.partition("/")[0] for name in seeds().prices))


@cache
def _by_name() -> dict[str, Seed]:
    by_name = dict(seeds().prices)
    for name, seed in seeds().prices.items():
        provider = name.partition("/")[0]
        by_name.update((f"{provider}/{alias}", seed) for alias in seed.also)
    return by_name


def find_seed(name: str) -> Seed:
    """Returns the prices of `provider/model` by exact name; raises `InvalidInput` with the reason.

    A similar name is another model: in other gateways, matching by prefix has sold an expensive
    model at the price of a cheap one.
    """
    seed = _by_name().get(name)
    if seed is not None:
        return seed
    for reason, names in seeds().refused.items():
        if name in names:
            raise InvalidInput(f"{seeds().source} has `{name}` only {reason}.")
    near = difflib.get_close_matches(name, _by_name(), n=1, cutoff=0.8)
    hint = f" The closest name is `{near[0]}`." if near else ""
    raise InvalidInput(f"{seeds().source} has no price for exactly `{name}`.{hint}")
