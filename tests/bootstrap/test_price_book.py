import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgates_server.bootstrap.configuration import Configuration
from modelgates_server.bootstrap.configuration_prices import price_row
from modelgates_server.bootstrap.price_book import open_catalog, plan_catalog
from modelgates_server.bootstrap.price_seeds import seeds
from modelgates_server.core.errors import PriceNotFound
from modelgates_server.core.pricing.catalog import Catalog
from modelgates_server.core.pricing.prices import Price, Tier, plain, read_rate
from modelgates_server.core.pricing.usage import Meter
from modelgates_server.core.times import format_instant
from modelgates_server.service.ports import Store
from tests.bootstrap.files import LOCAL, MODEL, configured
from tests.support import T0_MS, open_database

DAY_MS = 86_400_000
ENDPOINT = "local:m1"
A, B, C = "0.001", "0.002", "0.003"


class Gateway:
    """A price book that is kept across restarts."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder = folder
        self.store = store

    async def start(self, *rates: tuple[int | None, str], at_ms: int = T0_MS) -> Catalog:
        """Starts with a file of dated rates."""
        tables = [
            f"{{ {f'from = {format_instant(from_ms)}, ' if from_ms is not None else ''}"
            f'input = "{rate}", output = "0" }}'
            for from_ms, rate in rates
        ]
        return await self.open(f"{LOCAL}{MODEL}prices = [{', '.join(tables)}]\n", at_ms)

    async def open(self, text: str, at_ms: int = T0_MS) -> Catalog:
        return await open_catalog(self.store, configured(self.folder, text), at_ms)

    async def rows(self) -> list[tuple[int, str]]:
        """All prices of the endpoint in the book, oldest first: start and rate."""
        prices = [price for price in await self.store.prices() if price.endpoint_id == ENDPOINT]
        assert len({price.id for price in prices}) == len(prices)
        return sorted((price.from_ms, rate(price)) for price in prices)


def rate(price: Price) -> str:
    return plain(price.tiers[0].rates[Meter.INPUT])


def now(catalog: Catalog, at_ms: int = T0_MS) -> str:
    return rate(catalog.price(ENDPOINT, at_ms))


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    store = open_database(f"sqlite:///{tmp_path / 'modelgates.db'}")
    yield Gateway(tmp_path, store)
    await store.close()


async def test_first_start_fills_the_book_with_the_dates_of_the_file(gateway: Gateway) -> None:
    rates = [(None, A), (T0_MS - DAY_MS, B), (T0_MS + DAY_MS, C)]
    catalog = await gateway.start(*rates)
    assert await gateway.rows() == [(0, A), (T0_MS - DAY_MS, B), (T0_MS + DAY_MS, C)]
    assert now(catalog) == B
    assert now(catalog, T0_MS + DAY_MS) == C


async def test_restart_adds_nothing(gateway: Gateway) -> None:
    rates = [(None, A), (T0_MS + DAY_MS, B)]
    await gateway.start(*rates)
    before = await gateway.store.prices()
    for days in range(4):
        at_ms = T0_MS + days * DAY_MS
        catalog = await gateway.start(*rates, at_ms=at_ms)
        assert now(catalog, at_ms) == (A if days == 0 else B)
    assert await gateway.store.prices() == before


async def test_edited_price_takes_effect_now_and_not_in_the_past(gateway: Gateway) -> None:
    old = (await gateway.start((None, A))).price(ENDPOINT, T0_MS)
    catalog = await gateway.start((None, B), at_ms=T0_MS + 5)
    assert now(catalog, T0_MS + 5) == B
    assert await gateway.rows() == [(0, A), (T0_MS + 5, B)]
    assert await gateway.store.price(old.id) == old


async def test_book_gets_no_row_when_service_tiers_are_reordered(
    gateway: Gateway,
) -> None:
    flex, batch = 'flex = { input = "0.1" }', 'batch = { input = "0.2" }'
    for ms, (first, second) in enumerate([(flex, batch), (batch, flex)]):
        tables = f'input = "1", output = "0", service_tier = {{ {first}, {second} }}'
        await gateway.open(f"{LOCAL}{MODEL}prices = [{{ {tables} }}]\n", T0_MS + ms)
    assert await gateway.rows() == [(0, "1")]


async def test_edit_and_three_restarts_add_one_row(gateway: Gateway) -> None:
    await gateway.start((None, A))
    for ms in (1, 2, DAY_MS):
        await gateway.start((None, B), at_ms=T0_MS + ms)
    assert await gateway.rows() == [(0, A), (T0_MS + 1, B)]


async def test_reverted_edit_restores_the_old_rates_with_a_new_date(
    gateway: Gateway,
) -> None:
    ids = []
    for ms, each in [(0, A), (1, B), (2, A), (3, A), (4, B)]:
        catalog = await gateway.start((None, each), at_ms=T0_MS + ms)
        assert now(catalog, T0_MS + ms) == each
        ids.append(catalog.price(ENDPOINT, T0_MS + ms).id)
    assert await gateway.rows() == [(0, A), (T0_MS + 1, B), (T0_MS + 2, A), (T0_MS + 4, B)]
    assert ids[2] == ids[3]
    assert len(set(ids)) == 4


async def test_new_price_with_a_past_date_keeps_its_date(gateway: Gateway) -> None:
    await gateway.start((None, A))
    catalog = await gateway.start((None, A), (T0_MS - DAY_MS, B))
    assert now(catalog) == B
    assert await gateway.rows() == [(0, A), (T0_MS - DAY_MS, B)]


async def test_price_edited_after_its_date_takes_effect_now(
    gateway: Gateway,
) -> None:
    await gateway.start((None, A), (T0_MS - DAY_MS, B))
    for _ in range(2):
        catalog = await gateway.start((None, A), (T0_MS - DAY_MS, C))
        assert now(catalog) == C
    assert await gateway.rows() == [(0, A), (T0_MS - DAY_MS, B), (T0_MS, C)]


async def test_removed_price_is_never_in_force_again(gateway: Gateway) -> None:
    await gateway.start((None, A), (T0_MS + DAY_MS, B))
    catalog = await gateway.start((None, A), at_ms=T0_MS + 1)
    assert now(catalog, T0_MS + 2 * DAY_MS) == A
    for days in (2, 3):
        later_ms = T0_MS + days * DAY_MS
        assert now(await gateway.start((None, A), at_ms=later_ms), later_ms) == A
    rows = [(0, A), (T0_MS + DAY_MS, B), (T0_MS + 2 * DAY_MS, A)]
    assert await gateway.rows() == rows


async def test_removing_the_price_in_force_restores_the_one_before(
    gateway: Gateway,
) -> None:
    await gateway.start((None, A), (T0_MS - DAY_MS, B))
    assert now(await gateway.start((None, A))) == A
    assert await gateway.rows() == [(0, A), (T0_MS - DAY_MS, B), (T0_MS, A)]


async def test_edited_future_price_takes_effect_once_at_its_date(gateway: Gateway) -> None:
    await gateway.start((None, A), (T0_MS + DAY_MS, B))
    catalog = await gateway.start((None, A), (T0_MS + DAY_MS, C))
    assert (now(catalog), now(catalog, T0_MS + DAY_MS)) == (A, C)
    for days in (1, 2):
        at_ms = T0_MS + days * DAY_MS
        assert now(await gateway.start((None, A), (T0_MS + DAY_MS, C), at_ms=at_ms), at_ms) == C
    assert await gateway.rows() == [(0, A), (T0_MS + DAY_MS, B), (T0_MS + DAY_MS, C)]


async def test_model_without_a_current_price_has_none_even_if_it_had_one(
    gateway: Gateway,
) -> None:
    await gateway.start((None, A))
    catalog = await gateway.start((T0_MS + DAY_MS, B))
    with pytest.raises(PriceNotFound):
        now(catalog)
    assert now(catalog, T0_MS + DAY_MS) == B


async def test_price_is_found_when_the_clock_is_set_back(
    gateway: Gateway,
) -> None:
    await gateway.start((None, A))
    catalog = await gateway.start((None, B))
    assert now(catalog, T0_MS - DAY_MS) == B
    catalog = await gateway.start((None, B), at_ms=T0_MS - DAY_MS)
    assert now(catalog, T0_MS - DAY_MS) == B
    assert await gateway.rows() == [(0, A), (T0_MS, B)]


async def test_processes_that_start_together_add_each_price_once(
    gateway: Gateway, tmp_path: Path
) -> None:
    await gateway.start((None, A))
    stores = [open_database(f"sqlite:///{tmp_path / 'modelgates.db'}") for _ in range(4)]
    others = [Gateway(tmp_path, store) for store in stores]
    # The clocks differ slightly, and some processes read the book before others write to it.
    rates = [(None, B), (T0_MS + DAY_MS, C)]
    catalogs = await asyncio.gather(
        *(other.start(*rates, at_ms=T0_MS + ms) for ms, other in enumerate(others))
    )
    assert {now(catalog) for catalog in catalogs} == {B}
    assert len({catalog.price(ENDPOINT, T0_MS).id for catalog in catalogs}) == 1
    [first, second, third] = await gateway.rows()
    assert (first, second[1], third) == ((0, A), B, (T0_MS + DAY_MS, C))
    for store in stores:
        await store.close()


async def test_same_rates_from_another_source_are_the_same_price(gateway: Gateway) -> None:
    seeded = f'{LOCAL}{MODEL}price_from = "groq/llama-3.1-8b-instant"\n'
    own = f'{LOCAL}{MODEL}prices = [{{ input = "0.000000050", output = "0.00000008" }}]\n'
    first = (await gateway.open(seeded)).price(ENDPOINT, T0_MS)
    again = (await gateway.open(own)).price(ENDPOINT, T0_MS)
    assert (again.id, again.source) == (first.id, f"{seeds().source} groq/llama-3.1-8b-instant")


async def test_tiers_are_part_of_a_price(gateway: Gateway) -> None:
    plain_price = '{ input = "0.001", output = "0" }'
    tiered = '{ input = "0.001", output = "0", tiers = [{ above = 5, input = "0.002" }] }'
    await gateway.open(f"{LOCAL}{MODEL}prices = [{plain_price}]\n")
    catalog = await gateway.open(f"{LOCAL}{MODEL}prices = [{tiered}]\n", T0_MS + 1)
    assert [tier.above for tier in catalog.price(ENDPOINT, T0_MS).tiers] == [0, 5]


async def test_service_tiers_are_part_of_a_price(gateway: Gateway) -> None:
    own = '{ input = "0.001", output = "0" }'
    tiered = own.replace(" }", ', service_tier = { flex = { input = "0.0005" } } }')
    expensive = tiered.replace("0.0005", "0.0006")
    ids = set()
    for at_ms, price in enumerate((own, tiered, expensive, expensive)):
        catalog = await gateway.open(f"{LOCAL}{MODEL}prices = [{price}]\n", T0_MS + at_ms)
        ids.add(catalog.price(ENDPOINT, T0_MS + at_ms).id)
    assert catalog.price(ENDPOINT, T0_MS).tiers_of("flex")[0].rates == {
        Meter.INPUT: Decimal("0.0006"),
        Meter.OUTPUT: Decimal(0),
    }
    assert len(ids) == len(await gateway.store.prices()) == 3


async def test_sandbox_prices_are_in_the_book(gateway: Gateway) -> None:
    for _ in range(2):
        catalog = await gateway.open("sandbox = true\n")
        assert catalog.price("sandbox:echo", T0_MS).source == "sandbox"
    assert len(await gateway.store.prices()) == 4


def dated(rates: dict[int, str]) -> Configuration:
    """A configuration of one endpoint with the given rates by their dates."""
    prices = tuple(
        price_row(ENDPOINT, from_ms, "test", (Tier(0, _rates(each)),))
        for from_ms, each in rates.items()
    )
    return Configuration(
        path=None,
        markup_bp=0,
        sandbox=False,
        providers=(),
        models=(),
        prices=prices,
        account_markup_bp={},
        key_variables={},
        unset_keys={},
        old_names={},
        warnings=(),
    )


def _rates(each: str) -> dict[Meter, Decimal]:
    return {Meter.INPUT: read_rate(each), Meter.OUTPUT: read_rate("0")}


def grown(book: list[Price], rates: dict[int, str], at_ms: int) -> list[Price]:
    """The book after a start with a file of these rates."""
    added, catalog = plan_catalog(book, dated(rates), at_ms)
    assert now(catalog, at_ms) == rates[max(ms for ms in rates if ms <= at_ms)]
    known = {price.id for price in book}
    return [*book, *(price for price in added if price.id not in known)]


# If two prices start at the same time, their ids decide, which are effectively random: try many.
RATES = [f"0.{number}" for number in (11, 12, 13, 14, 15, 16, 17, 18, 19, 21, 22, 23, 24, 25)]


@pytest.mark.parametrize("other", RATES)
def test_edit_in_the_same_millisecond_replaces_the_price(other: str) -> None:
    book = grown([], {0: A, 5: other}, 5)
    book = grown(book, {0: B}, 5)
    assert [rate(price) for price in book] == [A, other, B]
    assert grown(book, {0: B}, 5) == grown(book, {0: B}, 9) == book


@pytest.mark.parametrize("other", RATES)
def test_price_of_the_file_is_in_force_when_two_start_together(other: str) -> None:
    book = grown(grown([], {0: A, 5: B}, 1), {0: A, 5: other}, 2)
    assert grown(book, {0: A, 5: other}, 9) == book


files = st.dictionaries(st.integers(0, 12), st.sampled_from([A, B, C]), min_size=1)


@given(st.lists(st.tuples(st.integers(0, 3), files), min_size=1, max_size=8))
def test_file_is_in_force_after_any_edits_and_restart_changes_nothing(
    starts: list[tuple[int, dict[int, str]]],
) -> None:
    book: dict[str, Price] = {}
    at_ms = 0
    for later_ms, rates in starts:
        at_ms += later_ms
        configuration = dated(rates)
        added, catalog = plan_catalog(book.values(), configuration, at_ms)
        for price in added:
            book.setdefault(price.id, price)
        again, _ = plan_catalog(book.values(), configuration, at_ms)
        assert not [price for price in again if price.id not in book]
        for ms in range(at_ms, at_ms + 12):
            due = [from_ms for from_ms in rates if from_ms <= ms]
            if due:
                assert now(catalog, ms) == rates[max(due)]
                assert catalog.price(ENDPOINT, ms).id in book
            else:
                with pytest.raises(PriceNotFound):
                    now(catalog, ms)
