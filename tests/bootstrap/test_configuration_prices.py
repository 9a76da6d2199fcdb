from decimal import Decimal
from pathlib import Path

import pytest

from modelgates_server.bootstrap.configuration_prices import price_row
from modelgates_server.bootstrap.price_seeds import seeds
from modelgates_server.core.pricing.prices import Price, Tier, read_rate
from modelgates_server.core.pricing.usage import Meter
from tests.bootstrap.files import FREE, LOCAL, MODEL, OPENAI, configured, problem

OWN = LOCAL + MODEL
CHAT = 'input = "0.001", output = "0.002"'
FIRST = f'[[models."acme/m1".prices]]\n{CHAT.replace(", ", chr(10))}\n'
DECEMBER_MS = 1_796_083_200_000


def prices(folder: Path, text: str) -> tuple[Price, ...]:
    return configured(folder, text).prices


def rates(**each: str) -> dict[Meter, Decimal]:
    return {Meter(meter): read_rate(rate) for meter, rate in each.items()}


def test_price_list_of_a_provider_applies_by_exact_model_name(tmp_path: Path) -> None:
    table = '[models."a/b"]\nprovider = "openai"\nmax_output_tokens = 5\nupstream_model = '
    [price] = prices(tmp_path, f'{OPENAI}{table}"gpt-4o-mini"\n')
    assert price.endpoint_id == "openai:gpt-4o-mini"
    assert price.source == f"{seeds().source} openai/gpt-4o-mini"
    assert price.tiers[0].rates == rates(
        input="0.00000015", cache_read="0.000000075", output="0.0000006"
    )
    message = problem(tmp_path, f'{OPENAI}{table}"gpt-4o-mini-2"\n')
    assert message.startswith(
        f'`models."a/b"` has no price. {seeds().source} has no price for exactly'
    )
    assert '[[models."a/b".prices]]' in message
    assert 'price_from = "openai/gpt-4o"' in message


def test_model_without_a_price_is_rejected(tmp_path: Path) -> None:
    message = problem(tmp_path, OWN)
    assert message.startswith('`models."acme/m1"` has no price. Its provider has no `price_list`.')


def test_model_can_use_the_price_of_another_model(tmp_path: Path) -> None:
    [price] = prices(tmp_path, OWN + 'price_from = "openai/gpt-4o"\n')
    assert price.endpoint_id == "local:m1"
    assert price.source == f"{seeds().source} openai/gpt-4o"
    message = problem(tmp_path, OWN + 'price_from = "openai/gpt-4"\nprices = [{ input = "0" }]\n')
    assert message.endswith("has both `price_from` and `prices`. Remove one of them.")


def test_all_dated_prices_of_a_seed_are_used(tmp_path: Path) -> None:
    table = '[models."a/o3"]\nprovider = "openai"\nmax_output_tokens = 5\n'
    assert [price.from_ms for price in prices(tmp_path, OPENAI + table)] == [0, 1_749_513_600_000]


def test_own_prices_are_exact_with_their_dates_and_tiers(tmp_path: Path) -> None:
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
def test_invalid_rate_is_rejected_with_its_path(rate: str, tmp_path: Path) -> None:
    message = problem(tmp_path, OWN + f'prices = [{{ input = "0", output = "{rate}" }}]\n')
    assert message.startswith(f'`models."acme/m1".prices[0].output`: {rate!r} is not a price')
    nested = f'{{ input = "0", output = "0", tiers = [{{ above = 5, input = "{rate}" }}] }}'
    message = problem(tmp_path, OWN + f"prices = [{nested}]\n")
    assert message.startswith('`models."acme/m1".prices[0].tiers[0].input`: ')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '{ output = "0" }',
            'prices[0].input` is missing. Example: `input = "0.00000015"`.',
        ),
        ('{ input = "0" }', "` has a price without a rate for `output`. "),
        (
            f"{{ {CHAT} }}, {{ {CHAT} }}",
            "` has two prices without `from`. Give the newer one a later",
        ),
        (
            f"{{ from = 2026-12-01T00:00:00Z, {CHAT} }}, {{ from = 2026-12-01T00:00:00Z, {CHAT} }}",
            "` has two prices from 2026-12-01T00:00:00.000Z. Give the newer one a later date.",
        ),
        (
            f"{{ from = 1969-12-31T00:00:00Z, {CHAT} }}",
            "prices[0].from`: '1969-12-31T00:00:00+00:00'",
        ),
        (
            f"{{ {CHAT}, tiers = [{{ above = 5 }}, {{ above = 5 }}] }}",
            "prices[0]` has two tiers above 5 tokens. Remove one.",
        ),
    ],
)
def test_ambiguous_price_is_rejected(text: str, expected: str, tmp_path: Path) -> None:
    message = problem(tmp_path, OWN + f"prices = [{text}]\n")
    assert message.removeprefix('`models."acme/m1"').removeprefix(".").startswith(expected)


def test_explicit_zero_rates_make_a_model_free(tmp_path: Path) -> None:
    [price] = prices(tmp_path, OWN + FREE)
    assert price.is_free


def test_embeddings_need_no_rate_for_output(tmp_path: Path) -> None:
    lines = MODEL.replace("max_output_tokens = 100", 'kind = "embeddings"')
    [price] = prices(tmp_path, LOCAL + lines + 'prices = [{ input = "0.001" }]\n')
    assert price.tiers[0].rates == rates(input="0.001", output="0")
    seeded = '[models."a/text-embedding-3-small"]\nprovider = "openai"\n'
    assert "has a price without a rate for `output`" in problem(tmp_path, OPENAI + seeded)
    [price] = prices(tmp_path, OPENAI + seeded + 'kind = "embeddings"\n')
    assert price.tiers[0].rates == rates(input="0.00000002", output="0")


def test_context_comes_from_a_seed_when_a_model_sets_its_price(tmp_path: Path) -> None:
    table = (
        f'[models."a/gpt-4o"]\nprovider = "openai"\nmax_output_tokens = 5\nprices = [{{{CHAT}}}]\n'
    )
    [model] = configured(tmp_path, OPENAI + table).models
    assert model.context_tokens == 128_000


def test_models_of_one_endpoint_share_one_price(tmp_path: Path) -> None:
    again = MODEL.replace("acme/m1", "acme/m2") + 'upstream_model = "m1"\n'
    assert len(prices(tmp_path, OWN + FREE + again + FREE)) == 1
    message = problem(tmp_path, OWN + FREE + again + f"prices = [{{ {CHAT} }}]\n")
    assert message.startswith(
        '`models."acme/m2"` and `models."acme/m1"` are the same model, `m1` of `local`, with '
        "different prices."
    )


def test_id_of_a_price_depends_on_its_content_only() -> None:
    def row(rate: str, from_ms: int = 0, endpoint: str = "a:b", after: str | None = None) -> str:
        tiers = (Tier(0, rates(input=rate, output="1")),)
        return price_row(endpoint, from_ms, "test", tiers, after=after).id

    # A literal, because another way to derive ids would add every price to every book once more.
    assert row("0.10") == row("0.1") == "price_80f1caffc804e7d0"
    ids = [
        row("0.1"), row("0.2"), row("0.1", 5), row("0.1", endpoint="a:c"),
        row("0.1", after="price_1"), row("0.1", after="price_2"),
    ]  # fmt: skip
    assert len(set(ids)) == len(ids)
    assert row("0.1", 5, after="price_1") == row("0.1", 6, after="price_1")


TIERED = """
[[models."acme/m1".prices]]
input = "0.001"
cache_read = "0.0001"
output = "0.002"
tiers = [{ above = 1000, input = "0.003" }]
"""
FLEX = '[models."acme/m1".prices.service_tier.flex]\n'


def service_tier(folder: Path, members: str) -> tuple[Tier, ...]:
    """The tiers of `flex`, whose table has these fields and follows that of the standard rates."""
    [price] = prices(folder, OWN + TIERED + FLEX + members)
    assert price.tiers[:2] == (
        Tier(0, rates(input="0.001", cache_read="0.0001", output="0.002")),
        Tier(1000, rates(input="0.003", cache_read="0.0001", output="0.002")),
    )
    assert {tier.service_tier for tier in price.tiers[2:]} == {"flex"}
    return price.tiers[2:]


def test_service_tier_inherits_the_rates_of_the_enclosing_table(
    tmp_path: Path,
) -> None:
    assert service_tier(tmp_path, 'output = "0.001"\n') == (
        Tier(0, rates(input="0.001", cache_read="0.0001", output="0.001"), "flex"),
        Tier(1000, rates(input="0.003", cache_read="0.0001", output="0.001"), "flex"),
    )
    [first, second] = service_tier(tmp_path, "")
    assert (first.rates[Meter.INPUT], second.rates[Meter.INPUT]) == (
        Decimal("0.001"),
        Decimal("0.003"),
    )


def test_service_tier_can_have_separate_tiers(tmp_path: Path) -> None:
    own = """
    input = "0.0005"
    cache_read = "0.0001"
    tiers = [{ above = 2000, output = "0.009" }, { above = 1000, input = "0.0015" }]
    """
    message = problem(tmp_path, OWN + TIERED + FLEX + own)
    assert message == (
        '`models."acme/m1".prices[0].service_tier.flex` has one rate for `input`, but the '
        "enclosing table has another one above 1000 tokens. Set the rate for long prompts in "
        '`models."acme/m1".prices[0].service_tier.flex.tiers`.'
    )
    own = own.replace('"0.009"', '"0.009", input = "0.0016"')
    base = {"cache_read": "0.0001", "output": "0.002"}
    assert service_tier(tmp_path, own) == (
        Tier(0, rates(input="0.0005", **base), "flex"),
        Tier(1000, rates(input="0.0015", **base), "flex"),
        Tier(2000, rates(input="0.0016", **{**base, "output": "0.009"}), "flex"),
    )


def test_service_tier_belongs_to_the_price_above_it(tmp_path: Path) -> None:
    later = '[[models."acme/m1".prices]]\nfrom = 2026-12-01T00:00:00Z\ninput = "1"\noutput = "1"\n'
    first, second = prices(tmp_path, OWN + FIRST + FLEX + later)
    assert (first.service_tiers, second.service_tiers) == (("flex",), ())
    first, second = prices(tmp_path, OWN + FIRST + later + FLEX + 'input = "0.5"\n')
    assert (first.service_tiers, second.service_tiers) == ((), ("flex",))
    assert second.tiers[1].rates == rates(input="0.5", output="1")


def test_several_service_tiers_can_be_priced_by_any_name(tmp_path: Path) -> None:
    more = FLEX.replace("flex", "on_demand_2")
    [price] = prices(tmp_path, OWN + FIRST + FLEX + more + 'request = "0.1"\n')
    assert price.service_tiers == ("flex", "on_demand_2")


APART = f"""{FIRST}
cache_read = "0.0001"
cache_write = "0.00125"
cache_write_1h = "0.0015"
reasoning = "0.003"
"""


@pytest.mark.parametrize(
    ("members", "whole", "part"),
    [
        ('output = "0.004"', "output", "reasoning"),
        ('input = "0.002"', "input", "cache_read"),
        ('input = "0.002"\ncache_read = "0.0002"', "input", "cache_write"),
        ('cache_write = "0.0025"', "cache_write", "cache_write_1h"),
        ('input = "0.002"\ncache_read = "0"\ncache_write = "0"', "cache_write", "cache_write_1h"),
        ('tiers = [{ above = 9, output = "0.004" }]', "output", "reasoning"),
        (
            'output = "0.004"\ntiers = [{ above = 9, output = "0.004", reasoning = "0.004" }]',
            "output",
            "reasoning",
        ),
    ],
)
def test_service_tier_is_rejected_when_it_sets_a_rate_without_its_parts(
    members: str, whole: str, part: str, tmp_path: Path
) -> None:
    assert problem(tmp_path, f"{OWN}{APART}{FLEX}{members}\n") == (
        f'`models."acme/m1".prices[0].service_tier.flex` has a rate for `{whole}` but none for '
        f"`{part}`, which the enclosing table prices separately. Add the rate for `{part}` at this "
        "service tier."
    )


def test_service_tier_is_accepted_when_it_sets_a_rate_with_its_parts(tmp_path: Path) -> None:
    [price] = prices(tmp_path, f'{OWN}{APART}{FLEX}output = "0.004"\nreasoning = "0.006"\n')
    assert price.tiers[1].rates == {
        **price.tiers[0].rates,
        **rates(output="0.004", reasoning="0.006"),
    }
    # The rate of a part does not change the rate of the whole.
    [price] = prices(tmp_path, f'{OWN}{APART}{FLEX}reasoning = "0.006"\n')
    assert price.tiers[1].rates[Meter.OUTPUT] == Decimal("0.002")


def test_price_does_not_depend_on_the_order_of_service_tiers(tmp_path: Path) -> None:
    flex, batch = FLEX + 'request = "1"\n', FLEX.replace("flex", "batch") + 'request = "2"\n'
    first, second = (prices(tmp_path, OWN + FIRST + text) for text in (flex + batch, batch + flex))
    assert first == second
    assert first[0].service_tiers == ("batch", "flex")


def test_embeddings_need_no_rate_for_output_at_a_service_tier(tmp_path: Path) -> None:
    lines = MODEL.replace("max_output_tokens = 100", 'kind = "embeddings"')
    own = 'prices = [{ input = "0.001", service_tier = { batch = { input = "0.0005" } } }]\n'
    [price] = prices(tmp_path, LOCAL + lines + own)
    assert price.tiers[1] == Tier(0, rates(input="0.0005", output="0"), "batch")


@pytest.mark.parametrize(
    ("name", "members", "expected"),
    [
        (
            "flex",
            'inptu = "1"',
            ".service_tier.flex.inptu` is not a known field. Did you mean `input`?",
        ),
        ("flex", 'input = "-1"', ".service_tier.flex.input`: '-1' is not a price in dollars"),
        (
            "flex",
            "input = 1",
            ".service_tier.flex.input` must be text in quotes, not a whole number. Example: ",
        ),
        (
            "flex",
            "above = 1",
            ".service_tier.flex.above` is not a known field. Known fields are `input`, ",
        ),
        ("flex", 'from = "x"', ".service_tier.flex.from` is not a known field."),
        (
            "flex",
            "tiers = [{ above = 5 }, { above = 5 }]",
            ".service_tier.flex` has two tiers above 5 tokens. Remove one.",
        ),
        *(
            (name, 'input = "1"', f".service_tier` cannot price '{name}'. Use the provider's name")
            for name in ("default", "standard", "auto", "on_demand", "standard_only", "Flex", "a b")
        ),
    ],
)
def test_invalid_service_tier_is_rejected_with_its_path(
    name: str, members: str, expected: str, tmp_path: Path
) -> None:
    table = FLEX.replace("flex", f'"{name}"')
    message = problem(tmp_path, f"{OWN}{FIRST}{table}{members}\n")
    assert message.removeprefix('`models."acme/m1".prices[0]').startswith(expected)


def test_service_tier_without_an_enclosing_price_is_rejected_with_the_remedy(
    tmp_path: Path,
) -> None:
    table = '[models."openai/gpt-4o"]\nprovider = "openai"\nmax_output_tokens = 5\n'
    flex = FLEX.replace("acme/m1", "openai/gpt-4o")
    assert problem(tmp_path, OPENAI + table + flex + 'input = "1"\n') == (
        '`models."openai/gpt-4o".prices` must be a list of tables, not a table. Write the standard '
        'rates in `[[models."openai/gpt-4o".prices]]` above it.'
    )


def test_price_with_a_service_tier_has_a_different_id() -> None:
    standard = Tier(0, rates(input="0.10", output="1"))
    others = [
        Tier(0, rates(input=rate, output="1"), name)
        for name, rate in (("flex", "0.1"), ("flex", "0.2"), ("batch", "0.1"))
    ]
    ids = {price_row("a:b", 0, "test", (standard, other)).id for other in others}
    assert len(ids | {price_row("a:b", 0, "test", (standard,)).id}) == 4


def test_standard_service_tier_has_the_name_of_the_provider(tmp_path: Path) -> None:
    def word(base_url: str) -> str:
        provider = f'[providers.local]\nbase_url = "{base_url}"\n'
        [model] = configured(tmp_path, provider + MODEL + FREE).models
        return model.endpoint.standard_service_tier

    assert word("https://api.groq.com/openai/v1") == "on_demand"
    assert word("https://generativelanguage.googleapis.com/v1beta/openai") == "standard"
    assert word("https://api.openai.com/v1") == word("https://a.test/api.groq.com/") == "default"
