"""The price of a configured model: from its own table, or from the price list by exact name."""

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from itertools import pairwise

import msgspec

from modelgates_server.bootstrap.configuration_file import (
    ModelTable,
    PriceTable,
    ProviderTable,
    ServiceTierTable,
    TierTable,
)
from modelgates_server.bootstrap.price_seeds import Seed, find_seed, seeds
from modelgates_server.core.errors import InvalidAmount, InvalidInput
from modelgates_server.core.pricing.prices import Price, Tier, plain, read_rate
from modelgates_server.core.pricing.service_tiers import AUTO, STANDARD
from modelgates_server.core.pricing.usage import Meter, containing_classes
from modelgates_server.core.times import format_instant, parse_instant

_ID_HEX = 16
_SERVICE_TIER = re.compile(r"[a-z][a-z0-9_-]{0,63}", re.ASCII)

Row = tuple[int, tuple[Tier, ...]]
"""The start of a price in ms, and its tiers."""


class Priced(msgspec.Struct, frozen=True):
    """The dated prices of an endpoint, and its context if the source of the prices states it."""

    prices: tuple[Price, ...]
    context_tokens: int | None


def price_row(
    endpoint_id: str,
    from_ms: int,
    source: str,
    tiers: tuple[Tier, ...],
    *,
    after: str | None = None,
) -> Price:
    """Returns a price whose id is derived from its content, so that all processes add the same row.

    If a price replaces another, its id is derived from the id of the other one, instead of the
    instant at which a process noticed the change.
    """
    rates = [
        [
            tier.above,
            sorted((str(meter), plain(rate)) for meter, rate in tier.rates.items()),
            # Left out for the standard tier, so that prices of earlier versions keep their ids.
            *([tier.service_tier] if tier.service_tier else []),
        ]
        for tier in tiers
    ]
    content = msgspec.json.encode([endpoint_id, from_ms if after is None else after, rates])
    return Price(
        id=f"price_{sha256(content).hexdigest()[:_ID_HEX]}",
        endpoint_id=endpoint_id,
        from_ms=from_ms,
        source=source,
        tiers=tiers,
    )


def priced(
    path: str, file: str, table: ModelTable, provider: ProviderTable, endpoint_id: str
) -> Priced:
    """Finds the prices of a model; raises `InvalidInput` if it has none, because none is assumed.

    `path` names the table in messages. `file` is the source of the prices in it.
    """
    upstream_model = endpoint_id.partition(":")[2]
    named = table.price_from or (provider.price_list and f"{provider.price_list}/{upstream_model}")
    if not table.prices:
        seed = _seed(path, named)
        rows = [(row.from_ms, row.tiers_read()) for row in seed.rows]
        source, context_tokens = f"{seeds().source} {named}", seed.context
    elif table.price_from is None:
        rows, source, context_tokens = _own_rows(path, table), file, _context(named)
    else:
        raise InvalidInput(f"`{path}` has both `price_from` and `prices`. Remove one of them.")
    prices = (
        price_row(endpoint_id, from_ms, source, _complete(path, table, tiers))
        for from_ms, tiers in rows
    )
    return Priced(tuple(prices), context_tokens)


def _seed(path: str, named: str | None) -> Seed:
    reason = "Its provider has no `price_list`."
    if named is not None:
        try:
            return find_seed(named)
        except InvalidInput as error:
            reason = str(error)
    raise InvalidInput(
        f"`{path}` has no price. {reason} Either set its price in `[[{path}.prices]]` in dollars "
        'per token, for example `input = "0.00000015"` and `output = "0.0000006"` (`"0"` is free), '
        'or use the price of another model, for example `price_from = "openai/gpt-4o"`.'
    )


def _context(named: str | None) -> int | None:
    """Returns the context that the price list states for a model that sets its own price."""
    if named is None:
        return None
    try:
        return find_seed(named).context
    except InvalidInput:
        return None


def _complete(path: str, table: ModelTable, tiers: tuple[Tier, ...]) -> tuple[Tier, ...]:
    """Returns the tiers with a rate for output, which is zero for embeddings."""
    if all(Meter.OUTPUT in tier.rates for tier in tiers):
        return tiers
    if table.kind != "embeddings":
        raise InvalidInput(
            f"`{path}` has a price without a rate for `output`. If it is an embeddings model, set "
            f'`kind = "embeddings"`; otherwise set the whole price in `[[{path}.prices]]`.'
        )
    free_output = {Meter.OUTPUT: Decimal(0)}
    return tuple(
        msgspec.structs.replace(tier, rates={**free_output, **tier.rates}) for tier in tiers
    )


def _own_rows(path: str, table: ModelTable) -> list[Row]:
    rows = [_own_row(f"{path}.prices[{n}]", price) for n, price in enumerate(table.prices)]
    rows.sort(key=lambda row: row[0])
    for (before_ms, _), (from_ms, _) in pairwise(rows):
        if before_ms == from_ms:
            when = f"from {format_instant(from_ms)}" if from_ms else "without `from`"
            raise InvalidInput(f"`{path}` has two prices {when}. Give the newer one a later date.")
    return rows


def _own_row(path: str, price: PriceTable) -> Row:
    from_ms = 0 if price.since is None else _instant(f"{path}.from", price.since)
    rates = _rates(path, price.given())
    if Meter.INPUT not in rates:
        raise InvalidInput(f'`{path}.input` is missing. Example: `input = "0.00000015"`.')
    # A tier inherits the rates that it does not set.
    standard = [
        Tier(above, {**rates, **named})
        for above, named in _named_rates(path, rates, price.tiers).items()
    ]
    others = [
        tier
        # Sorted, so that the order in the file does not make another price.
        for name, table in sorted(price.service_tier.items())
        for tier in _service_tier(f"{path}.service_tier", name, table, standard)
    ]
    return from_ms, (*standard, *others)


def _named_rates(
    path: str, rates: dict[Meter, Decimal], tiers: tuple[TierTable, ...]
) -> dict[int, dict[Meter, Decimal]]:
    """Returns the rates that a table and its tiers set, by their `above` in ascending order."""
    named = {0: rates}
    for n, tier in sorted(enumerate(tiers), key=lambda numbered: numbered[1].above):
        if tier.above in named:
            raise InvalidInput(f"`{path}` has two tiers above {tier.above} tokens. Remove one.")
        named[tier.above] = _rates(f"{path}.tiers[{n}]", tier.given())
    return named


def _service_tier(
    path: str, name: str, table: ServiceTierTable, standard: list[Tier]
) -> list[Tier]:
    """Returns the tiers of a service tier. It inherits the standard rates that it does not set."""
    if not _SERVICE_TIER.fullmatch(name) or name in {AUTO, *STANDARD}:
        raise InvalidInput(
            f"`{path}` cannot price {name!r:.80}. Use the provider's name of the tier, such as "
            "`flex`, `priority` or `batch`. The enclosing table prices the standard tier."
        )
    path = f"{path}.{name}"
    rates = _rates(path, table.given())
    named = _named_rates(path, rates, table.tiers)
    tiers = []
    for above in sorted({*named, *(tier.above for tier in standard)}):
        around = [tier for tier in standard if tier.above <= above][-1]
        within = named[max(each for each in named if each <= above)]
        for meter in sorted(rates.keys() - within.keys()):
            if around.rates.get(meter) != standard[0].rates.get(meter):
                raise InvalidInput(
                    f"`{path}` has one rate for `{meter}`, but the enclosing table has another one "
                    f"above {around.above} tokens. Set the rate for long prompts in `{path}.tiers`."
                )
        _check_parts(path, around, rates.keys() | within.keys())
        tiers.append(Tier(above, {**around.rates, **rates, **within}, name))
    return tiers


def _check_parts(path: str, around: Tier, named: Collection[Meter]) -> None:
    """Rejects a new rate for a class whose parts would keep their standard rates by accident."""
    for part in sorted(around.rates.keys() - named):
        whole = next((each for each in containing_classes(part) if each in named), None)
        if whole is not None:
            raise InvalidInput(
                f"`{path}` has a rate for `{whole}` but none for `{part}`, which the enclosing "
                f"table prices separately. Add the rate for `{part}` at this service tier."
            )


def _instant(path: str, since: datetime) -> int:
    try:
        return parse_instant(since.isoformat())
    except InvalidInput as error:
        raise InvalidInput(f"`{path}`: {error}") from None


def _rates(path: str, texts: Mapping[Meter, str]) -> dict[Meter, Decimal]:
    rates = {}
    for meter, text in texts.items():
        try:
            rates[meter] = read_rate(text)
        except InvalidAmount as error:
            raise InvalidInput(f"`{path}.{meter}`: {error}") from None
    return rates
