import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from genai_prices.data import providers
from genai_prices.types import ModelInfo, TieredPrices

from modelgates_server.bootstrap.price_seeds import Seed, find_seed, seed_providers, seeds
from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.pricing.prices import Price, charge_for
from modelgates_server.core.pricing.usage import Meter, Usage
from tools import price_seeds as tool

FILE = Path(__file__).parents[1] / "core" / "pricing" / "golden_prices.json"
GOLDEN = json.loads(FILE.read_text(encoding="utf-8"))
RESEARCHED = "2026-11-25"
PER_MILLION = {key: meter for key, (meter, places) in tool.METERS.items() if places == 6}


def upstream(name: str) -> ModelInfo:
    """A model of genai-prices by its exact ID."""
    provider_id, _, model_id = name.partition("/")
    [provider] = [provider for provider in providers if provider.id == provider_id]
    [model] = [model for model in provider.models if model.id == model_id]
    return model


def rates_on(seed: Seed, day: str) -> dict[str, str]:
    """The rates for short prompts in force on a day."""
    row = [row for row in seed.rows if row.day is None or row.day <= day][-1]
    return {str(meter): rate for meter, rate in row.tiers[0].rates.items()}


def test_file_matches_the_pinned_package() -> None:
    assert tool.FILE.read_text(encoding="utf-8") == f"{tool.text()}\n", "run make prices"


def test_file_contains_the_license_of_its_data() -> None:
    assert "The MIT License" in seeds().notice
    assert "Copyright (c) Pydantic Services" in seeds().notice


def test_every_rate_is_the_figure_of_the_package_per_token() -> None:
    assert len(seeds().prices) > 1000
    for name, seed in seeds().prices.items():
        for row in tool.rows_of(upstream(name)):
            rates = rates_on(seed, tool.start(row) or "")
            for key, figure in tool.rates(row).items():
                if key in PER_MILLION:
                    base = figure.base if isinstance(figure, TieredPrices) else figure
                    assert Decimal(rates[PER_MILLION[key]]) * 10**6 == base, name


def test_future_prices_are_kept_with_their_dates() -> None:
    dated = {name: seed for name, seed in seeds().prices.items() if len(seed.rows) > 1}
    assert len(dated) > 100
    assert any((seed.rows[-1].day or "") > RESEARCHED for seed in dated.values())
    for seed in dated.values():
        days = [row.day or "" for row in seed.rows]
        assert days == sorted(set(days))
        assert days[0] == ""
    o3 = find_seed("openai/o3")
    assert [row.from_ms for row in o3.rows] == [0, 1_749_513_600_000]
    assert rates_on(o3, "2025-06-09")["input"] == "0.00001"
    assert rates_on(o3, "2025-06-10")["input"] == "0.000002"


@pytest.mark.parametrize(
    ("name", "read", "written"),
    [
        ("openai/gpt-4o-mini", "0.00000015", "0.0000006"),
        ("openai/o1", "0.000015", "0.00006"),
        ("groq/llama-3.1-8b-instant", "0.00000005", "0.00000008"),
        ("openai/text-embedding-3-small", "0.00000002", None),
    ],
)
def test_known_prices_are_dollars_per_token_and_not_per_million(
    name: str, read: str, written: str | None
) -> None:
    rates = rates_on(find_seed(name), RESEARCHED)
    assert (rates["input"], rates.get("output")) == (read, written)


def test_audio_has_separate_rates() -> None:
    rates = rates_on(find_seed("openai/gpt-audio"), RESEARCHED)
    assert (rates["input_audio"], rates["output_audio"]) == ("0.000032", "0.000064")


def test_tiers_start_above_their_number_and_inherit_missing_rates() -> None:
    [row] = find_seed("google/gemini-2.5-pro").rows
    price = Price("price_x", "google:gemini-2.5-pro", row.from_ms, "test", row.tiers_read())
    costs = [
        charge_for(price, Usage(input=read, output=1000), 0, 10**12).amount_pico
        for read in (200_000, 200_001)
    ]
    assert costs == [260_000_000_000, 515_002_500_000]


@pytest.mark.parametrize(
    "vector",
    [
        pytest.param(each, id=each["name"])
        for each in GOLDEN
        if each["price_source"].startswith("genai-prices")
    ],
)
def test_golden_vectors_are_charged_at_the_seeded_prices(vector: dict[str, Any]) -> None:
    name = re.match(r"genai-prices \S+ (\S+)", vector["price_source"])
    assert name
    seeded = rates_on(find_seed(name[1]), RESEARCHED)
    assert {meter: seeded[meter] for meter in vector["prices"]} == vector["prices"]


@pytest.mark.parametrize(
    "name",
    [
        "openai/gpt-4o-min",
        "openai/gpt-4o-mini-2024-07-18-custom",
        "openai/GPT-4o",
        "openai/gpt-4o-mini-search-preview",
        "openai/gpt-4o-mini-search-preview-2025-03-11",
        "openrouter/openai/gpt-4o-audio-preview",
        "google/gemini-2.5-flash-preview:thinking",
        "gpt-4o",
        "/gpt-4o",
        "",
    ],
)
def test_similar_name_has_no_price(name: str) -> None:
    with pytest.raises(InvalidInput, match="no price for exactly"):
        find_seed(name)


def test_other_exact_names_of_a_model_have_its_price() -> None:
    assert find_seed("openai/gpt-4o-2024-08-06") is find_seed("openai/gpt-4o")
    api_name = "fireworks/accounts/fireworks/models/llama-v3p1-8b-instruct"
    assert find_seed(api_name) is find_seed("fireworks/llama-v3p1-8b-instruct")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("openai/moderation", "without a price for its input"),
        ("deepseek/deepseek-chat", "with a price that depends on the time of day"),
        ("openai/gpt-image-1", "with prices for units that usage does not report"),
        ("openai/o3-deep-research", "without the fee for its web searches"),
        ("openrouter/perplexity/sonar", "without the fee for its web searches"),
        ("openrouter/openai/gpt-4o-mini:batch", "at the price of batches"),
        ("openrouter/google/gemini-2.5-pro", "with a price for cache writes that is added"),
    ],
)
def test_data_that_does_not_price_one_call_is_rejected_with_its_reason(
    name: str, reason: str
) -> None:
    assert name not in seeds().prices
    with pytest.raises(InvalidInput, match=f"has `{name}` only {reason}"):
        find_seed(name)


def test_no_seed_is_free_or_cheaper_to_write_than_to_read() -> None:
    for name, seed in seeds().prices.items():
        for tier in (tier for row in seed.rows for tier in row.tiers_read()):
            assert all(rate > 0 for rate in tier.rates.values()), name
            read = tier.rates[Meter.INPUT]
            assert tier.rates.get(Meter.CACHE_WRITE, read) >= read, name


def test_figures_with_float_tails_are_moved_exactly() -> None:
    assert tool.rate(Decimal("0.08333333333333334"), 6) == "0.00000008333333333333334"
    assert tool.rate(Decimal(12), 3) == "0.012"
    with pytest.raises(AssertionError):
        tool.rate(Decimal(-1), 6)
    with pytest.raises(AssertionError):
        tool.rate(Decimal("NaN"), 6)


def test_providers_whose_figures_are_estimates_are_left_out() -> None:
    assert set(seed_providers()) <= set(tool.PROVIDERS)
    assert not {"zhipuai", "github-copilot", "cursor", "databricks", "perplexity"} & set(
        seed_providers()
    )


def test_start_of_a_price_is_midnight_utc() -> None:
    row = find_seed("mistral/mistral-large-4").rows[-1]
    assert (
        datetime.fromtimestamp(row.from_ms / 1000, UTC).isoformat() == "2026-10-29T00:00:00+00:00"
    )
