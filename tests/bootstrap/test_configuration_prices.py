from decimal import Decimal
from pathlib import Path

import pytest

from modelgates_server.bootstrap.configuration_prices import price_row
from modelgates_server.bootstrap.price_seeds import seeds
from modelgates_server.core.prices import Price, Tier, read_rate
from modelgates_server.core.usage import Meter
from tests.bootstrap.files import FREE, LOCAL, MODEL, OPENAI, configured, problem

OWN = LOCAL + MODEL
CHAT = 'input = "0.001", output = "0.002"'
FIRST = f'[[models."acme/m1".prices]]\n{CHAT.replace(", ", chr(10))}\n'
DECEMBER_MS = 1_796_083_200_000


def prices(folder: Path, text: str) -> tuple[Price, ...]:
    return configured(folder, text).prices


def rates(**each: str) -> dict[Meter, Decimal]:
    return {Meter(meter): read_rate(rate) for meter, rate in each.items()}


def test_a_provider_s_prices_apply_by_the_exact_name_of_the_model(tmp_path: Path) -> None:
    table = '[models."a/b"]\nprovider = "openai"\nmax_output_tokens = 5\nupstream_model = '
    [price] = prices(tmp_path, f'{OPENAI}{table}"gpt-4o-mini"\n')
    assert price.endpoint_id == "openai:gpt-4o-mini"
    assert price.source == f"{seeds().source} openai/gpt-4o-mini"
    assert price.tiers[0].rates == rates(
        input="0.00000015", cache_read="0.000000075", output="0.0000006"
    )
    told = problem(tmp_path, f'{OPENAI}{table}"gpt-4o-mini-2"\n')
    assert told.startswith(f'models."a/b" has no price: {seeds().source} has no price of exactly')
    assert '[[models."a/b".prices]]' in told
    assert 'price = "openai/gpt-4o"' in told


def test_a_model_that_has_no_price_is_refused_and_not_free(tmp_path: Path) -> None:
    told = problem(tmp_path, OWN)
    assert told.startswith('models."acme/m1" has no price: its provider does not say whose prices')


def test_a_model_may_have_the_price_of_another(tmp_path: Path) -> None:
    [price] = prices(tmp_path, OWN + 'price = "openai/gpt-4o"\n')
    assert price.endpoint_id == "local:m1"
    assert price.source == f"{seeds().source} openai/gpt-4o"
    told = problem(tmp_path, OWN + 'price = "openai/gpt-4"\nprices = [{ input = "0" }]\n')
    assert told.endswith("has both price and prices: leave one of them out")


def test_all_dated_prices_of_a_seed_are_taken(tmp_path: Path) -> None:
    table = '[models."a/o3"]\nprovider = "openai"\nmax_output_tokens = 5\n'
    assert [price.from_ms for price in prices(tmp_path, OPENAI + table)] == [0, 1_749_513_600_000]


def test_own_prices_are_read_exactly_with_their_dates_and_tiers(tmp_path: Path) -> None:
    second = """
    [[models."acme/m1".prices]]
    from = 2026-12-01T01:00:00+01:00
    input = "0.000000000000000000000001"
    cache_read = "0"
    output = "0.002"
    request = "0.005"
    tiers = [{ above = 2000, input = "0.003" }, { above = 1000, output = "0.004" }]
    """
    first, later = prices(tmp_path, OWN + second + FIRST)
    assert (first.from_ms, first.source) == (0, "modelgates.toml")
    assert first.tiers == (Tier(0, rates(input="0.001", output="0.002")),)
    base = {"cache_read": "0", "output": "0.002", "request": "0.005"}
    tiny = "0.000000000000000000000001"
    assert later.from_ms == DECEMBER_MS
    assert later.tiers == (
        Tier(0, rates(input=tiny, **base)),
        Tier(1000, rates(input=tiny, **{**base, "output": "0.004"})),
        Tier(2000, rates(input="0.003", **base)),
    )


@pytest.mark.parametrize("rate", ["-1", "NaN", "1e-7", "Infinity", "", "1001", "0,1", "free"])
def test_a_rate_that_is_none_is_refused_by_its_place(rate: str, tmp_path: Path) -> None:
    told = problem(tmp_path, OWN + f'prices = [{{ input = "0", output = "{rate}" }}]\n')
    assert told.startswith(f'models."acme/m1".prices[0].output: {rate!r} is not a price')
    nested = f'{{ input = "0", output = "0", tiers = [{{ above = 5, input = "{rate}" }}] }}'
    told = problem(tmp_path, OWN + f"prices = [{nested}]\n")
    assert told.startswith('models."acme/m1".prices[0].tiers[0].input: ')


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            '{ output = "0" }',
            'prices[0].input is missing: write, for example, input = "0.00000015"',
        ),
        ('{ input = "0" }', " has a price without output: "),
        (f"{{ {CHAT} }}, {{ {CHAT} }}", " has two prices without from: give the newer one a later"),
        (
            f"{{ from = 2026-12-01T00:00:00Z, {CHAT} }}, {{ from = 2026-12-01T00:00:00Z, {CHAT} }}",
            " has two prices from 2026-12-01T00:00:00.000Z: give the newer one a later date",
        ),
        (
            f"{{ from = 1969-12-31T00:00:00Z, {CHAT} }}",
            "prices[0].from: '1969-12-31T00:00:00+00:00'",
        ),
        (
            f"{{ {CHAT}, tiers = [{{ above = 5 }}, {{ above = 5 }}] }}",
            "prices[0] has two tiers above 5: leave one of them out",
        ),
    ],
)
def test_a_price_that_leaves_a_doubt_is_refused(text: str, told: str, tmp_path: Path) -> None:
    found = problem(tmp_path, OWN + f"prices = [{text}]\n")
    assert found.removeprefix('models."acme/m1"').removeprefix(".").startswith(told)


def test_a_free_model_must_say_so(tmp_path: Path) -> None:
    [price] = prices(tmp_path, OWN + FREE)
    assert price.is_free


def test_embeddings_need_no_price_of_output(tmp_path: Path) -> None:
    lines = MODEL.replace("max_output_tokens = 100", 'kind = "embeddings"')
    [price] = prices(tmp_path, LOCAL + lines + 'prices = [{ input = "0.001" }]\n')
    assert price.tiers[0].rates == rates(input="0.001", output="0")
    seeded = '[models."a/text-embedding-3-small"]\nprovider = "openai"\n'
    assert "has a price without output" in problem(tmp_path, OPENAI + seeded)
    [price] = prices(tmp_path, OPENAI + seeded + 'kind = "embeddings"\n')
    assert price.tiers[0].rates == rates(input="0.00000002", output="0")


def test_the_context_is_known_from_a_seed_beside_an_own_price(tmp_path: Path) -> None:
    table = (
        f'[models."a/gpt-4o"]\nprovider = "openai"\nmax_output_tokens = 5\nprices = [{{{CHAT}}}]\n'
    )
    [model] = configured(tmp_path, OPENAI + table).models
    assert model.context_tokens == 128_000


def test_two_names_of_one_endpoint_have_one_price(tmp_path: Path) -> None:
    again = MODEL.replace("acme/m1", "acme/m2") + 'upstream_model = "m1"\n'
    assert len(prices(tmp_path, OWN + FREE + again + FREE)) == 1
    told = problem(tmp_path, OWN + FREE + again + f"prices = [{{ {CHAT} }}]\n")
    assert told.startswith(
        'models."acme/m2" and models."acme/m1" are one model of local, m1, at two'
    )


def test_an_id_follows_from_what_a_price_says() -> None:
    def row(rate: str, from_ms: int = 0, endpoint: str = "a:b", after: str | None = None) -> str:
        tiers = (Tier(0, rates(input=rate, output="1")),)
        return price_row(endpoint, from_ms, "test", tiers, after=after).id

    # Written out, because another way to make ids would add all prices of all books once more.
    assert row("0.10") == row("0.1") == "price_80f1caffc804e7d0"
    ids = [
        row("0.1"), row("0.2"), row("0.1", 5), row("0.1", endpoint="a:c"),
        row("0.1", after="price_1"), row("0.1", after="price_2"),
    ]  # fmt: skip
    assert len(set(ids)) == len(ids)
    assert row("0.1", 5, after="price_1") == row("0.1", 6, after="price_1")
