"""The sandbox's models for the catalog. They have prices, so that users see credits change."""

from decimal import Decimal

from modelgates_server.core.pricing.catalog import Api, Endpoint, Model
from modelgates_server.core.pricing.prices import Price, Tier
from modelgates_server.core.pricing.usage import Meter
from modelgates_server.providers.sandbox.request import CONTEXT_TOKENS, OUTPUT_TOKENS

PROVIDER = "sandbox"

_CREATED_AT_S = 1_767_225_600  # 2026-01-01T00:00:00Z

_SPEAKING = (
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "stop",
    "seed",
    "tools",
    "tool_choice",
    "response_format",
    "structured_outputs",
)
_ECHO = {
    Meter.INPUT: "0.000001",
    Meter.CACHE_READ: "0.0000001",
    Meter.OUTPUT: "0.000002",
    Meter.REQUEST: "0",
}
_LOREM = {**_ECHO, Meter.REASONING: "0.000003"}
_RATES = {
    "echo": _ECHO,
    "lorem": _LOREM,
    "chaos": _LOREM,
    "embed": {Meter.INPUT: "0.0000001", Meter.OUTPUT: "0"},
}


def sandbox_models() -> list[Model]:
    """`sandbox/echo` and its siblings."""
    return [
        _speaker("echo", "Echo", "Repeats the last user message."),
        _speaker("lorem", "Lorem", "Returns lorem ipsum of the requested length."),
        _speaker("chaos", "Chaos", "Misbehaves as the JSON object in the last user message says."),
        Model(
            id=f"{PROVIDER}/embed",
            name="Sandbox: Embed",
            endpoint=_endpoint("embed"),
            context_tokens=CONTEXT_TOKENS,
            output_tokens=0,
            created_at_s=_CREATED_AT_S,
            description="Returns a vector for each text that depends only on the text.",
            apis=frozenset({Api.EMBEDDINGS}),
            output_modalities=("embeddings",),
            parameters=("dimensions", "encoding_format"),
        ),
    ]


def sandbox_prices() -> list[Price]:
    """The only price of each model, always in force."""
    return [
        Price(
            id=f"price_{PROVIDER}_{name}_1",
            endpoint_id=_endpoint(name).id,
            from_ms=0,
            source=PROVIDER,
            tiers=(Tier(0, {meter: Decimal(rate) for meter, rate in rates.items()}),),
        )
        for name, rates in _RATES.items()
    ]


def _speaker(name: str, title: str, description: str) -> Model:
    return Model(
        id=f"{PROVIDER}/{name}",
        name=f"Sandbox: {title}",
        endpoint=_endpoint(name),
        context_tokens=CONTEXT_TOKENS,
        output_tokens=OUTPUT_TOKENS,
        created_at_s=_CREATED_AT_S,
        description=description,
        input_modalities=("text", "image"),  # images are accepted and ignored
        parameters=_SPEAKING,
    )


def _endpoint(name: str) -> Endpoint:
    return Endpoint(id=f"{PROVIDER}:{name}", provider=PROVIDER, upstream_model=name)
