"""`[models."ID"]`: a model that clients can call, and the provider that serves it."""

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
from modelgates_server.bootstrap.configuration_requests import CHAT, request_rules
from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.metering.request import MODEL_MAX_CHARS
from modelgates_server.core.pricing.catalog import CONVERSATIONS, Api, Endpoint, Model
from modelgates_server.core.pricing.prices import Price, plain
from modelgates_server.core.pricing.usage import Meter
from modelgates_server.providers.sandbox.offer import PROVIDER as SANDBOX

_WORD = r"[A-Za-z0-9][A-Za-z0-9._~@-]*"
_ID = re.compile(rf"{_WORD}(/{_WORD})+(:{_WORD})?", re.ASCII)
_FREE = Decimal(0)
_UNLIKELY_RATE = Decimal("0.01")
"""Dollars per token, which is 10,000 dollars per million tokens."""


def read_model(
    path: str,
    model_id: str,
    members: RawTable,
    *,
    providers: Mapping[str, ProviderTable],
    file: str,
    markup_bp: int,
) -> tuple[Model, tuple[Price, ...]]:
    """Returns a model and the prices of its endpoint; raises `InvalidInput`, which names the field.

    `file` is the source of the prices in it. `markup_bp` applies to models that do not set one.
    """
    _check_id(path, model_id)
    table = read_table(path, members, ModelTable)
    provider = providers.get(table.provider)
    if provider is None:
        raise InvalidInput(_unknown_provider(path, table.provider, providers))
    upstream_model = table.upstream_model or model_id.partition("/")[2]
    if not upstream_model.isprintable():
        raise InvalidInput(
            f"`{path}.upstream_model` contains unprintable characters: {upstream_model!r}. "
            "Remove them."
        )
    endpoint = Endpoint(
        id=f"{table.provider}:{upstream_model}",
        provider=table.provider,
        upstream_model=upstream_model,
        **request_rules(provider),
        usage_rules=usage_rules(provider),
        aliases=provider.aliases,
        zdr=provider.zdr,
        denies_data_collection=provider.data_collection == "deny",
        standard_service_tier=standard_service_tier(provider),
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
        apis=_apis(path, table, provider),
        input_modalities=table.input_modalities,
        output_modalities=table.output_modalities or (("embeddings",) if embeds else ("text",)),
        parameters=table.parameters,
        markup_bp=markup_bp if table.markup_bp is None else table.markup_bp,
    )
    return model, sourced.prices


def _apis(path: str, table: ModelTable, provider: ProviderTable) -> frozenset[Api]:
    """The APIs of a model. Conversations are translated; nothing else is."""
    speaks_chat = CHAT in provider.dialect
    if table.kind == "embeddings":
        if not speaks_chat:
            raise InvalidInput(
                f"`{path}.kind` is `embeddings`, but the provider `{table.provider}` speaks "
                f"{' and '.join(f'`{each}`' for each in provider.dialect)}. Embeddings need the "
                f"dialect `{CHAT}`."
            )
        return frozenset({Api.EMBEDDINGS})
    return CONVERSATIONS | {Api.COMPLETIONS} if speaks_chat else CONVERSATIONS


def unpriced_media(model: Model, prices: tuple[Price, ...]) -> list[str]:
    """Returns the media among a model's modalities that calls cannot use, for lack of a rate.

    Image input is not checked: providers count it as text.
    """
    media = {
        "audio input": (Meter.INPUT_AUDIO, "audio" in model.input_modalities),
        "audio output": (Meter.OUTPUT_AUDIO, "audio" in model.output_modalities),
        "image output": (Meter.OUTPUT_IMAGE, "image" in model.output_modalities),
    }
    tiers = [tier for price in prices if not price.is_free for tier in price.tiers]
    return [
        f"{medium} (`{meter}`)"
        for medium, (meter, is_listed) in media.items()
        if is_listed and not all(meter in tier.rates for tier in tiers)
    ]


def doubtful_figures(model: Model, prices: tuple[Price, ...]) -> Iterator[str]:
    """Returns warnings about figures of a model that are valid but may be unintended.

    Each is a sentence without its subject, the model.
    """
    context, output = model.context_tokens, model.output_tokens
    if (model.media_tokens or 0) > context:
        yield f"has `media_tokens` of {model.media_tokens}, above its context of {context} tokens."
    if output > context:
        yield (
            f"has `max_output_tokens` of {output}, above its context of {context} tokens. "
            "No response can be longer than the context."
        )
    # A default of the model itself was checked before: this is the default of its provider.
    if 0 < output < (model.default_output_tokens or 0):
        yield (
            f"has `max_output_tokens` of {output}, below the `default_output_tokens` of "
            f"`{model.endpoint.provider}`, {model.default_output_tokens}. The lower limit is sent."
        )
    tiers = [tier for price in prices for tier in price.tiers]
    for meter in Meter:
        rate = max((tier.rates.get(meter, _FREE) for tier in tiers), default=_FREE)
        if meter is not Meter.REQUEST and rate >= _UNLIKELY_RATE:
            yield (
                f"has a rate of {plain(rate)} dollars per token of `{meter}`. "
                "Rates are per token, not per million tokens."
            )
            break
    media = [each for each in ("image", "audio") if each in model.output_modalities]
    if media and model.media_tokens is None and not all(price.is_free for price in prices):
        yield (
            f"generates {' and '.join(media)} output and has no `media_tokens`. Where the provider "
            "reports no usage, that output counts as zero tokens."
        )


def _check_id(path: str, model_id: str) -> None:
    if not _ID.fullmatch(model_id) or len(model_id) > MODEL_MAX_CHARS:
        raise InvalidInput(
            f"`{path}` is not a valid model ID. Write author/slug in quotes. "
            'Example: `[models."openai/gpt-4o-mini"]`.'
        )
    if model_id.partition("/")[0].lower() == SANDBOX:
        raise InvalidInput(
            f"`{path}` uses the author `{SANDBOX}`, which is taken by the built-in models. "
            "Choose another author."
        )


def _unknown_provider(path: str, name: str, providers: Collection[str]) -> str:
    near = difflib.get_close_matches(name, providers, n=1)
    hint = f"Did you mean `{near[0]}`?" if near else f"Add a table `[providers.{name}]`."
    return f"`{path}.provider` names a provider that does not exist: `{name}`. {hint}"


def _context_tokens(path: str, table: ModelTable, sourced: Priced) -> int:
    tokens = table.context_length or sourced.context_tokens
    if tokens is None:
        raise InvalidInput(
            f"`{path}.context_length` is missing, and the price list does not contain it. "
            f"{example(ModelTable, 'context_length')}"
        )
    return tokens


def _output_tokens(path: str, table: ModelTable) -> int:
    if table.kind == "embeddings":
        for name in ("max_output_tokens", "default_output_tokens"):
            if getattr(table, name) is not None:
                raise InvalidInput(
                    f"`{path}.{name}` does not apply: an embeddings model generates no output. "
                    "Remove it."
                )
        return 0
    if table.max_output_tokens is None:
        raise InvalidInput(
            f"`{path}.max_output_tokens` is missing, but holds are computed from it. "
            f"{example(ModelTable, 'max_output_tokens')}"
        )
    if (table.default_output_tokens or 0) > table.max_output_tokens:
        raise InvalidInput(
            f"`{path}.default_output_tokens` is {table.default_output_tokens}, above "
            f"`max_output_tokens`, which is {table.max_output_tokens}. Lower it."
        )
    return table.max_output_tokens
