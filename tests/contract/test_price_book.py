from decimal import Decimal

from msgspec.structs import replace

from modelgates_server.core.pricing.prices import Price, Tier
from modelgates_server.core.pricing.usage import Meter
from modelgates_server.service.ports import Store
from tests.support import PICO_PRICE, T0_MS, open_database

TIERED = Price(
    id="price-2",
    endpoint_id="maker:Žofie 株式会社",
    from_ms=T0_MS,
    source="operator",
    tiers=(
        Tier(0, dict.fromkeys(Meter, Decimal(0))),
        Tier(
            200_000,
            {
                Meter.INPUT: Decimal("0.000000150000000000000001"),
                Meter.OUTPUT: Decimal("1e-24"),
                Meter.REQUEST: Decimal("999.9999"),
            },
        ),
        Tier(0, dict.fromkeys(Meter, Decimal("0.1")), "flex"),
        Tier(5, dict.fromkeys(Meter, Decimal("0.2")), "flex"),
        Tier(0, dict.fromkeys(Meter, Decimal("0.3")), "priority"),
    ),
)


async def test_unknown_price_is_none_and_list_is_empty(store: Store) -> None:
    await store.add_prices([])
    assert await store.prices() == []
    assert await store.price("price-1") is None


async def test_price_is_read_back_to_the_last_digit(store: Store) -> None:
    await store.add_prices([PICO_PRICE, TIERED])
    assert await store.price("price-1") == PICO_PRICE
    saved = await store.price("price-2")
    assert saved == TIERED
    for tier, other in zip(saved.tiers, TIERED.tiers, strict=True):
        written = {meter: str(rate) for meter, rate in tier.rates.items()}
        assert written == {meter: str(rate) for meter, rate in other.rates.items()}


async def test_known_price_is_kept_unchanged_when_new_ones_are_added(
    store: Store, database_url: str
) -> None:
    await store.add_prices([PICO_PRICE])
    other = open_database(database_url)
    changed = replace(PICO_PRICE, source="changed", from_ms=1)
    for again in (store, other):
        await again.add_prices([changed, TIERED, changed])
    await other.close()
    assert await store.prices() == [PICO_PRICE, TIERED]


async def test_all_prices_of_an_endpoint_are_kept(store: Store) -> None:
    later = [replace(PICO_PRICE, id=f"later-{n}", from_ms=n) for n in range(3)]
    await store.add_prices(later)
    await store.add_prices([PICO_PRICE])
    assert await store.prices() == [*later, PICO_PRICE]
