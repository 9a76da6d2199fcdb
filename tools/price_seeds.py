"""Write bootstrap/price_seeds.json from the pinned genai-prices: `python -m tools.price_seeds`.

Takes only exact model names and prices that apply to one plain call. All other data is refused with
a reason; docs/decisions/0010-prices-from-exact-ids.md explains the reasons.
"""

import json
import re
from collections.abc import Iterator
from decimal import Context, Decimal, Inexact
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

from genai_prices.data import providers
from genai_prices.types import (
    ClauseEquals,
    ClauseOr,
    ConditionalPrice,
    ModelInfo,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
)

from modelgates_server.bootstrap import price_seeds

FILE = Path(price_seeds.__file__).with_suffix(".json")

PROVIDERS = (
    "anthropic", "azure", "baseten", "cerebras", "cohere", "deepseek", "fireworks", "google",
    "groq", "minimax", "mistral", "moonshotai", "novita", "openai", "openrouter", "together",
    "voyageai", "x-ai", "zai",
)  # fmt: skip

# The meter for each key of genai-prices, and the power of ten of the units that its price is for.
METERS = {
    "input_mtok": ("input", 6),
    "cache_read_mtok": ("cache_read", 6),
    "cache_write_mtok": ("cache_write", 6),
    "cache_write_1h_mtok": ("cache_write_1h", 6),
    "input_audio_mtok": ("input_audio", 6),
    "input_image_mtok": ("input_image", 6),
    "output_mtok": ("output", 6),
    "output_reasoning_mtok": ("reasoning", 6),
    "output_audio_mtok": ("output_audio", 6),
    "output_image_mtok": ("output_image", 6),
    "requests_kcount": ("request", 3),
}
# Fees for searches that a request can add to a completion; the gateway rejects such requests.
BY_REQUEST = {"web_searches_kcount", "storage_searches_kcount"}
# No provider reports how many cached tokens are audio, so they are charged as text.
CACHED_AUDIO = "cache_audio_read_mtok"

SEARCHING = {"search", "sonar", "online", "research", "perplexity"}
_EXACT = Context(prec=60, traps=[Inexact])

Tier = tuple[int, dict[str, str]]
Row = tuple[str | None, list[Tier]]


def main() -> None:
    """Write the file."""
    FILE.write_text(f"{text()}\n", encoding="utf-8")


def text() -> str:
    """The whole file, with one model per line so that diffs of prices are readable."""
    prices: dict[str, Any] = {}
    refused: dict[str, list[str]] = {}
    for provider in sorted(providers, key=lambda provider: provider.id):
        if provider.id not in PROVIDERS:
            continue
        for model in sorted(provider.models, key=lambda model: model.id):
            name = f"{provider.id}/{model.id}"
            assert name not in prices, name
            if reason := refusal(provider.id, model):
                refused.setdefault(reason, []).append(name)
            else:
                prices[name] = seed(model)
    _check_names(prices)
    return _object(
        {
            "source": _json(f"genai-prices {version('genai-prices')}"),
            "notice": _json(notice()),
            "refused": _object({reason: _json(refused[reason]) for reason in sorted(refused)}),
            "prices": _object({name: _json(value) for name, value in prices.items()}),
        }
    )


def notice() -> str:
    """The license of the data, which has to be kept with it."""
    [path] = [path for path in distribution("genai-prices").files or () if path.name == "LICENSE"]
    return f"The prices are taken from genai-prices.\n\n{path.read_text(encoding='utf-8')}"


def refusal(provider_id: str, model: ModelInfo) -> str | None:
    """Why the data of a model is not a price of one plain call, as the end of a sentence."""
    rows = [rates(row) for row in rows_of(model)]
    keys = {key for row in rows for key in row}
    unknown = sorted(keys - METERS.keys() - BY_REQUEST - {CACHED_AUDIO})
    if not all(rows) or not all("input_mtok" in row for row in rows):
        return "without a price for its input"
    if any(isinstance(row.constraint, TimeOfDateConstraint) for row in rows_of(model)):
        return "with a price that depends on the time of day"
    if unknown:
        return f"with prices for units that usage does not report ({', '.join(unknown)})"
    if searches(model.id):
        return "without the fee for its web searches"
    if provider_id == "openrouter" and "/" not in model.id:
        return "under a name that OpenRouter does not know"
    if model.id.endswith(":batch"):
        return "at the price of batches, which does not apply to single calls"
    if any(writes_are_extra(row) for row in rows):
        return "with a price for cache writes that is added to another price"
    return None


def searches(name: str) -> bool:
    """Whether a model searches the web, at a fee that its usage does not show."""
    return not SEARCHING.isdisjoint(re.split(r"[^a-z0-9]+", name.lower()))


def writes_are_extra(row: dict[str, Any]) -> bool:
    """Whether cache writes cost less than input: then they are a fee on top of it, not a rate."""
    write = row.get("cache_write_mtok")
    return write is not None and at(write, 0) < at(row["input_mtok"], 0)


def seed(model: ModelInfo) -> dict[str, Any]:
    """The entry of one model in the file."""
    rows: list[Row] = []
    for row in rows_of(model):
        tiers = tiers_of(row)
        if not rows or rows[-1][1] != tiers:
            rows.append((start(row), tiers))
    also = sorted(aliases(model))
    context = {} if model.context_window is None else {"context": model.context_window}
    return {**context, **({"also": also} if also else {}), "rows": rows}


def rows_of(model: ModelInfo) -> list[ConditionalPrice]:
    """All dated prices of a model, oldest first."""
    if isinstance(model.prices, list):
        return model.prices
    return [ConditionalPrice(prices=model.prices)]


def rates(row: ConditionalPrice) -> dict[str, Any]:
    """The figures that a price has; everything else that could have one is None."""
    return {key: value for key, value in vars(row.prices).items() if value is not None}


def start(row: ConditionalPrice) -> str | None:
    """The day (UTC) from whose start a price applies; None if it has always applied."""
    if isinstance(row.constraint, StartDateConstraint):
        return row.constraint.start_date.isoformat()
    assert row.constraint is None
    return None


def tiers_of(row: ConditionalPrice) -> list[Tier]:
    """The rates by length of the prompt. A key without tiers has the same rate in all of them."""
    figures = {key: value for key, value in rates(row).items() if key in METERS}
    starts = {
        tier.start
        for value in figures.values()
        if isinstance(value, TieredPrices)
        for tier in value.tiers
    }
    return [
        (
            above,
            {
                meter: rate(at(figures[key], above), places)
                for key, (meter, places) in METERS.items()
                if key in figures
            },
        )
        for above in (0, *sorted(starts))
    ]


def at(value: Decimal | TieredPrices, above: int) -> Decimal:
    """The figure for prompts with more than `above` tokens."""
    if not isinstance(value, TieredPrices):
        return value
    return next((tier.price for tier in reversed(value.tiers) if tier.start <= above), value.base)


def rate(figure: Decimal, places: int) -> str:
    """Dollars per unit in plain digits, without rounding."""
    assert figure.is_finite()
    assert figure > 0
    plain = f"{figure.scaleb(-places, _EXACT):f}"
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def aliases(model: ModelInfo) -> Iterator[str]:
    """Other exact names of a model; similar names do not count.

    A variant (`:thinking`) and a model with audio or search differ from the plain model.
    """
    clauses = model.match.or_ if isinstance(model.match, ClauseOr) else [model.match]
    for clause in clauses:
        if isinstance(clause, ClauseEquals) and clause.equals != model.id:
            name = clause.equals
            other = {word for word in (":", "audio") if word in name and word not in model.id}
            if not other and not searches(name):
                yield name


def _check_names(prices: dict[str, Any]) -> None:
    names = list(prices)
    for name, value in prices.items():
        author = name.partition("/")[0]
        names += [f"{author}/{alias}" for alias in value.get("also", ())]
    assert len(names) == len(set(names)), "a name belongs to two models"


def _object(members: dict[str, str]) -> str:
    """An object whose values are JSON already, one per line."""
    return "{\n" + ",\n".join(f"{_json(name)}:{value}" for name, value in members.items()) + "\n}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


if __name__ == "__main__":
    main()
