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


async def test_no_price_is_nothing_and_no_error(store: Store) -> None:
    await store.add_prices([])
    assert await store.prices() == []
    assert await store.price("price-1") is None


async def test_a_price_is_read_back_to_the_last_digit(store: Store) -> None:
    await store.add_prices([PICO_PRICE, TIERED])
    assert await store.price("price-1") == PICO_PRICE
    found = await store.price("price-2")
    assert found == TIERED
    for tier, other in zip(found.tiers, TIERED.tiers, strict=True):
        written = {meter: str(rate) for meter, rate in tier.rates.items()}
        assert written == {meter: str(rate) for meter, rate in other.rates.items()}


async def test_a_known_price_is_left_as_it_is_and_the_new_ones_beside_it_are_added(
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
