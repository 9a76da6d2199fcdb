"""Which model a request gets: the first of those it names that may serve it.

There is one endpoint for each model, so what a request demands of endpoints is obeyed by taking
that one or none. Nothing that limits price, privacy or scope is passed over.
"""

import re
from decimal import Context, Decimal, Inexact

import msgspec

from modelgates_server.core.errors import InvalidInput, NoEndpoint, UnknownModel
from modelgates_server.core.metering.contents import OTHER, TEXT
from modelgates_server.core.metering.members import says_nothing
from modelgates_server.core.metering.preferences import MaxPrice, Preferences
from modelgates_server.core.metering.request import Api, InferenceRequest
from modelgates_server.core.metering.sizing import refuse_unpriced
from modelgates_server.core.pricing.catalog import Catalog, Endpoint, Model
from modelgates_server.core.pricing.prices import Price, dearest_rate, plain
from modelgates_server.core.pricing.service_tiers import service_tiers_allowed
from modelgates_server.core.pricing.usage import Meter

_MILLION = 1_000_000
_EXACT = Context(prec=100, traps=[Inexact])

_CACHES = (Meter.CACHE_READ, Meter.CACHE_WRITE, Meter.CACHE_WRITE_1H)
_CACHE_CONTROL = re.compile(
    # Any letter of a name may be escaped in JSON.
    rb'"%b"\s*:(?!\s*null)'
    % b"".join(rb"(?:%c|\\u00(?i:%02x))" % (letter, letter) for letter in b"cache_control")
)

_NO_PARAMETERS = frozenset(
    (
        *("model", "models", "messages", "prompt", "input", "stream", "stream_options", "user"),
        *("metadata", "modalities"),
        # Addressed to the gateway.
        *("provider", "route", "transforms", "plugins", "usage", "session_id", "trace", "debug"),
        # The gateway sees to these itself: a cap goes out under the name that the endpoint reads.
        *("max_tokens", "max_completion_tokens", "service_tier"),
    )
)
"""Members of a request that no model lists among its parameters."""

_PARAMETER_OF = {
    "functions": "tools",
    "function_call": "tool_choice",
    "reasoning_effort": "reasoning",
    "include_reasoning": "reasoning",
}
"""A member that a model may list under the name of the newer one."""


class ModelChoice(msgspec.Struct, frozen=True):
    """The model that serves a request, and its price."""

    model: Model
    price: Price
    markup_bp: int


def choose_model(
    catalog: Catalog, demand: InferenceRequest, account_id: str, at_ms: int
) -> ModelChoice:
    """The first model of `model` and `models` that is here and may serve the request.

    Raises `UnknownModel` where none is here, `NoEndpoint` or `InvalidInput` where none may serve
    it, which says why the first may not, and `PriceNotFound`.
    """
    refusal: InvalidInput | NoEndpoint | None = None
    for model in _known(catalog, demand):
        price = catalog.price(model.endpoint.id, at_ms)
        route = ModelChoice(model, price, catalog.markup_bp(model, account_id))
        try:
            _check(route, demand)
        except (InvalidInput, NoEndpoint) as found:
            refusal = refusal or found
        else:
            return route
    assert refusal is not None, "there is a model, and it may not serve this"
    raise refusal


def _known(catalog: Catalog, demand: InferenceRequest) -> list[Model]:
    known: list[Model] = []
    unknown: UnknownModel | None = None
    for model_id in demand.models:
        try:
            known.append(catalog.model(model_id, demand.api))
        except UnknownModel as refusal:
            unknown = unknown or refusal
    if unknown is not None and not known:
        raise unknown
    return known


def _check(route: ModelChoice, demand: InferenceRequest) -> None:
    _check_modalities(route.model, demand)
    refuse_unpriced(route.model, route.price, demand)
    wishes = demand.preferences
    if wishes == Preferences():
        return
    _check_names(route.model, wishes)
    _check_privacy(route.model.endpoint, wishes)
    if wishes.require_parameters:
        _check_parameters(route.model, demand)
    _check_price(route, demand)


def _check_modalities(model: Model, demand: InferenceRequest) -> None:
    reads = model.input_modalities
    for kind, modality in demand.parts.items():
        # What the model itself drew or said in an earlier answer comes back to it.
        came_back = kind in ("audio", "images") and modality in model.output_modalities
        reads_more = modality == OTHER and reads != (TEXT,)
        if modality in (TEXT, *reads) or came_back or reads_more:
            continue
        what = f"{modality} input" if modality != OTHER else "this input"
        setting = f'"{modality}"' if modality != OTHER else "what it is"
        raise InvalidInput(
            f"No endpoints found that support {what}: {model.id} reads {', '.join(reads)}, and the "
            f"request has {kind:.80}. Choose another model; if this one reads it, its operator "
            f"adds {setting} to input_modalities of the model in modelgates.toml."
        )


def _check_names(model: Model, wishes: Preferences) -> None:
    endpoint = model.endpoint
    ours = {_slug(name) for name in (endpoint.provider, *endpoint.aliases)}
    bases = {slug.partition("/")[0] for slug in ours}  # deepinfra means all of its variants
    served = f"{model.id} is served by {endpoint.provider} alone"
    if endpoint.aliases:
        served += f" (also called {', '.join(endpoint.aliases)})"
    ordered = wishes.order if wishes.allow_fallbacks is False else None
    for member, names in (("only", wishes.only), ("order", ordered)):
        if names and (ours | bases).isdisjoint(map(_slug, names)):
            without = " and provider.allow_fallbacks is false" if member == "order" else ""
            raise NoEndpoint(
                f"No allowed providers are available for the selected model: {served}, which "
                f"provider.{member} does not name{without}. Name it, or choose another model."
            )
    for name in wishes.ignore or ():
        # A variant such as deepinfra/turbo may be the one that is behind our name.
        slug = _slug(name)
        if slug in ours | bases or slug.partition("/")[0] in ours:
            raise NoEndpoint(
                f"All providers have been ignored: {served}, and provider.ignore names "
                f"{name:.80}. Leave that out, or choose another model."
            )


def _slug(name: str) -> str:
    return "-".join(name.casefold().split())


def _check_privacy(endpoint: Endpoint, wishes: Preferences) -> None:
    for member, is_asked, is_kept, setting in (
        ("zdr", wishes.zdr, endpoint.zdr, "zdr = true"),
        (
            "data_collection",
            wishes.data_collection == "deny",
            endpoint.denies_data_collection,
            'data_collection = "deny"',
        ),
    ):
        if is_asked and not is_kept:
            raise InvalidInput(
                f"No endpoints found matching your data policy: provider.{member} cannot be "
                f"promised for {endpoint.provider}. Where its contract promises it, the operator "
                f"writes {setting} in [providers.{endpoint.provider}] of modelgates.toml."
            )


def _check_parameters(model: Model, demand: InferenceRequest) -> None:
    if model.parameters is None:
        return  # its operator has not said which it reads
    for name, raw in demand.members.items():
        known = name in model.parameters or _PARAMETER_OF.get(name) in model.parameters
        if name in _NO_PARAMETERS or known or says_nothing(bytes(raw)):
            continue
        listed = ", ".join(model.parameters) or "none"
        raise NoEndpoint(
            "No endpoints found that can handle the requested parameters: provider."
            f"require_parameters is true, and {model.id} does not list {name:.80} (its parameters: "
            f"{listed}). Leave one of the two out, or choose another model."
        )


def _check_price(route: ModelChoice, demand: InferenceRequest) -> None:
    most = demand.preferences.max_price
    for member, limit, found in _priced(route, demand, most):
        if limit is not None and found > limit:
            raise NoEndpoint(
                f"No endpoints found that satisfy provider.max_price.{member} of {plain(limit)} "
                f"dollars: {route.model.id} may cost {plain(found)}. Raise it, or choose another "
                "model."
            )
    if most.audio is not None and (demand.unlike_text & {Meter.INPUT_AUDIO, Meter.OUTPUT_AUDIO}):
        raise InvalidInput(
            "provider.max_price.audio cannot be obeyed: sound has its price by tokens here. Leave "
            "it out, and bound the whole call with the header X-ModelGates-Max-Cost."
        )


def _priced(
    route: ModelChoice, demand: InferenceRequest, most: MaxPrice
) -> tuple[tuple[str, Decimal | None, Decimal], ...]:
    """What a request limits, and the most that may be charged of it, in the dearest tier."""
    model = route.model
    bounds = demand.bounds(
        context_tokens=model.context_tokens, media_tokens=model.media_tokens, output_tokens=0
    )

    service_tiers = service_tiers_allowed(route.price, demand.service_tier)
    bounds = msgspec.structs.replace(bounds, service_tiers=service_tiers)

    def charged(quantity: int, *meters: Meter) -> Decimal:
        rate = dearest_rate(route.price, bounds, meters, route.markup_bp)
        return _EXACT.multiply(quantity, rate)

    prompt, cached = charged(_MILLION, Meter.INPUT), charged(_MILLION, Meter.INPUT, *_CACHES)
    # Looked for only where it decides: the request may be long.
    if most.prompt is not None and most.prompt < cached and _asks_for_caches(demand):
        prompt = cached
    writes = demand.api is not Api.EMBEDDINGS
    shows = "image" in demand.parts.values()
    image_tokens = model.media_tokens or model.context_tokens
    return (
        ("prompt", most.prompt, prompt),
        ("completion", most.completion, charged(_MILLION * writes, Meter.OUTPUT, Meter.REASONING)),
        ("request", most.request, charged(1, Meter.REQUEST)),
        ("image", most.image, charged(image_tokens * shows, Meter.INPUT_IMAGE)),
    )


def _asks_for_caches(demand: InferenceRequest) -> bool:
    """Whether a request has tokens of its prompt written to a cache."""
    whole = bytes(demand.members.get("cache_control", b"null"))
    return whole != b"null" or any(
        _CACHE_CONTROL.search(bytes(raw)) for raw in demand.members.values()
    )
