"""`[models."ID"]`: what clients can call, and who serves it."""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal

from modelgates_server.bootstrap.configuration_file import (
    ModelTable,
    ProviderTable,
    RawTable,
    example,
    read_table,
)
from modelgates_server.bootstrap.configuration_prices import Priced, priced
from modelgates_server.bootstrap.configuration_providers import (
    standard_service_tier,
    usage_rules,
)
from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.metering.request import MODEL_MAX_CHARS
from modelgates_server.core.pricing.catalog import Api, Endpoint, Model
from modelgates_server.core.pricing.prices import Price, plain
from modelgates_server.core.pricing.usage import Meter
from modelgates_server.providers.sandbox.offer import PROVIDER as SANDBOX

_WORD = r"[A-Za-z0-9][A-Za-z0-9._~@-]*"
_ID = re.compile(rf"{_WORD}(/{_WORD})+(:{_WORD})?", re.ASCII)
_FREE = Decimal(0)
_UNLIKELY_RATE = Decimal("0.01")
"""Dollars: ten thousand for a million tokens."""
_APIS = {
    "chat": frozenset({Api.CHAT, Api.COMPLETIONS}),
    "embeddings": frozenset({Api.EMBEDDINGS}),
}


def read_model(
    path: str,
    model_id: str,
    members: RawTable,
    *,
    providers: Mapping[str, ProviderTable],
    file: str,
    markup_bp: int,
) -> tuple[Model, tuple[Price, ...]]:
    """A model with the prices of its endpoint; raises `InvalidInput` that names the member.

    `file` is the source of the prices in it, `markup_bp` that of models without their own.
    """
    _check_id(path, model_id)
    table = read_table(path, members, ModelTable)
    provider = providers.get(table.provider)
    if provider is None:
        raise InvalidInput(f"{path}.provider: {_unknown_provider(table.provider, providers)}")
    upstream_model = table.upstream_model or model_id.partition("/")[2]
    if not upstream_model.isprintable():
        raise InvalidInput(f"{path}.upstream_model has characters that cannot be printed")
    endpoint = Endpoint(
        id=f"{table.provider}:{upstream_model}",
        provider=table.provider,
        upstream_model=upstream_model,
        cap_parameter=provider.cap_parameter,
        usage_rules=usage_rules(provider),
        aliases=provider.aliases,
        zdr=provider.zdr,
        denies_data_collection=provider.data_collection == "deny",
        standard_service_tier=standard_service_tier(provider.base_url),
    )
    sourced = priced(path, file, table, provider, endpoint.id)
    embeds = table.kind == "embeddings"
    model = Model(
        id=model_id,
        name=table.name or model_id,
        endpoint=endpoint,
        context_tokens=_context_tokens(path, table, sourced),
        output_tokens=_output_tokens(path, table),
        created_at_s=0,  # unknown
        description=table.description,
        media_tokens=table.media_tokens,
        default_output_tokens=table.default_output_tokens or provider.default_output_tokens,
        apis=_APIS[table.kind],
        input_modalities=table.input_modalities,
        output_modalities=table.output_modalities or (("embeddings",) if embeds else ("text",)),
        parameters=table.parameters,
        markup_bp=markup_bp if table.markup_bp is None else table.markup_bp,
    )
    return model, sourced.prices


def unpriced_media(model: Model, prices: tuple[Price, ...]) -> list[str]:
    """What a model is listed to take or give, and calls cannot ask for: it has no rate.

    Images that are read are not among them: providers count those as text.
    """
    media = {
        "audio in": (Meter.INPUT_AUDIO, "audio" in model.input_modalities),
        "audio out": (Meter.OUTPUT_AUDIO, "audio" in model.output_modalities),
        "images out": (Meter.OUTPUT_IMAGE, "image" in model.output_modalities),
    }
    tiers = [tier for price in prices if not price.is_free for tier in price.tiers]
    return [
        medium
        for medium, (meter, is_listed) in media.items()
        if is_listed and not all(meter in tier.rates for tier in tiers)
    ]


def doubtful_figures(model: Model, prices: tuple[Price, ...]) -> Iterator[str]:
    """What is allowed of a model's figures, and perhaps not meant."""
    context, output = model.context_tokens, model.output_tokens
    if (model.media_tokens or 0) > context:
        yield f"has media_tokens of {model.media_tokens}, above its context of {context}"
    if output > context:
        yield (
            f"has max_output_tokens of {output}, above its context of {context}: no answer is "
            "longer than that"
        )
    # The model's own has been compared: this is its provider's.
    if 0 < output < (model.default_output_tokens or 0):
        yield (
            f"has max_output_tokens of {output}, below the default_output_tokens of "
            f"{model.endpoint.provider}, {model.default_output_tokens}: the lower one goes out"
        )
    tiers = [tier for price in prices for tier in price.tiers]
    for meter in Meter:
        rate = max((tier.rates.get(meter, _FREE) for tier in tiers), default=_FREE)
        if meter is not Meter.REQUEST and rate >= _UNLIKELY_RATE:
            yield (
                f"has a rate of {plain(rate)} dollars for one token of {meter}: rates are for one "
                "token, and not for a million"
            )
            break
    media = [each for each in ("image", "audio") if each in model.output_modalities]
    if media and model.media_tokens is None and not all(price.is_free for price in prices):
        yield (
            f"gives {' and '.join(media)} and has no media_tokens: where the provider reports no "
            "usage, such output counts as nothing"
        )


def _check_id(path: str, model_id: str) -> None:
    if not _ID.fullmatch(model_id) or len(model_id) > MODEL_MAX_CHARS:
        raise InvalidInput(
            f"{path}: a model's id is author/slug, in quotes: write, for example, "
            '[models."openai/gpt-4o-mini"]'
        )
    if model_id.partition("/")[0].lower() == SANDBOX:
        raise InvalidInput(f"{path}: the author {SANDBOX} is the gateway's own: choose another")


def _unknown_provider(name: str, providers: Collection[str]) -> str:
    near = difflib.get_close_matches(name, providers, n=1)
    hint = f"did you mean {near[0]}?" if near else f"write a table [providers.{name}]"
    return f"there is no provider {name!r}: {hint}"


def _context_tokens(path: str, table: ModelTable, sourced: Priced) -> int:
    tokens = table.context_length or sourced.context_tokens
    if tokens is None:
        raise InvalidInput(
            f"{path}.context_length is missing, and is not known from the price: "
            f"{example(ModelTable, 'context_length')}"
        )
    return tokens


def _output_tokens(path: str, table: ModelTable) -> int:
    if table.kind == "embeddings":
        for name in ("max_output_tokens", "default_output_tokens"):
            if getattr(table, name) is not None:
                raise InvalidInput(f"{path}.{name}: an embeddings model has no output: remove it")
        return 0
    if table.max_output_tokens is None:
        raise InvalidInput(
            f"{path}.max_output_tokens is missing, and holds are computed from it: "
            f"{example(ModelTable, 'max_output_tokens')}"
        )
    if (table.default_output_tokens or 0) > table.max_output_tokens:
        raise InvalidInput(
            f"{path}.default_output_tokens is above max_output_tokens, {table.max_output_tokens}"
        )
    return table.max_output_tokens
