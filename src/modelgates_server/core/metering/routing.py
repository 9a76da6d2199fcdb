"""Routing: the first model that a request names and that may serve it.

Each model has one endpoint, which either meets the requirements of the request or rules the model
out. No requirement on price, privacy or scope is ignored.
"""

from decimal import Context, Decimal, Inexact

import msgspec

from modelgates_server.core.errors import InvalidInput, NoEndpoint
from modelgates_server.core.metering.preferences import MaxPrice, Preferences
from modelgates_server.core.metering.request import OTHER, TEXT, InferenceRequest
from modelgates_server.core.metering.sizing import refuse_unpriced
from modelgates_server.core.pricing.catalog import Catalog, Endpoint, Model
from modelgates_server.core.pricing.prices import Price, dearest_rate, plain
from modelgates_server.core.pricing.service_tiers import service_tiers_allowed
from modelgates_server.core.pricing.usage import Meter

_MILLION = 1_000_000
_EXACT = Context(prec=100, traps=[Inexact])

_PRICE_UNITS = {
    "prompt": "per million tokens",
    "completion": "per million tokens",
    "request": "per call",
    "image": "per image",
}

_CACHES = (Meter.CACHE_READ, Meter.CACHE_WRITE, Meter.CACHE_WRITE_1H)


class ModelChoice(msgspec.Struct, frozen=True):
    """The model that serves a request, with its price and markup."""

    model: Model
    price: Price
    markup_bp: int


def choose_model(
    catalog: Catalog, request: InferenceRequest, account_id: str, at_ms: int
) -> ModelChoice:
    """Returns the first model of `model` and `models` that exists and may serve the request.

    Raises `UnknownModel` if none exists and `PriceNotFound` if a model has no price. If none may
    serve the request, raises the `NoEndpoint` or `InvalidInput` that rules out the first.
    """
    refusal: InvalidInput | NoEndpoint | None = None
    for model in _known(catalog, request, at_ms):
        price = catalog.price(model.endpoint.id, at_ms)
        choice = ModelChoice(model, price, catalog.markup_bp(model, account_id))
        try:
            _check(choice, request)
        except (InvalidInput, NoEndpoint) as error:
            refusal = refusal or error
        else:
            return choice
    assert refusal is not None, "a model exists, and may not serve the request"
    raise refusal


def _known(catalog: Catalog, request: InferenceRequest, at_ms: int) -> list[Model]:
    known = [catalog.models[each] for each in request.models if catalog.offers(each, request.api)]
    # If there is none, the error is about the first.
    return known or [catalog.model(request.models[0], request.api, at_ms)]


def _check(choice: ModelChoice, request: InferenceRequest) -> None:
    _check_modalities(choice.model, request)
    refuse_unpriced(choice.model, choice.price, request)
    preferences = request.preferences
    if preferences == Preferences():
        return
    _check_names(choice.model, preferences)
    _check_privacy(choice.model.endpoint, preferences)
    if preferences.require_parameters:
        _check_parameters(choice.model, request)
    _check_price(choice, request)


def _check_modalities(model: Model, request: InferenceRequest) -> None:
    reads = model.input_modalities
    for kind, modality in request.parts.items():
        # Images and audio of the model's own earlier responses may return to it.
        came_back = kind in request.returned_parts and modality in model.output_modalities
        reads_more = modality == OTHER and reads != (TEXT,)
        if modality in (TEXT, *reads) or came_back or reads_more:
            continue
        input_name = f"{modality} input" if modality != OTHER else "this input"
        setting = f'"{modality}"' if modality != OTHER else "its modality"
        raise InvalidInput(
            f"No endpoints found that support {input_name}: {model.id} accepts {', '.join(reads)}, "
            f"and the request has `{kind:.80}`. Choose another model. If the model accepts "
            f"{input_name}, ask the operator to add {setting} to the model's `input_modalities` in "
            "modelgates.toml."
        )


def _check_names(model: Model, preferences: Preferences) -> None:
    endpoint = model.endpoint
    slugs = {_slug(name) for name in (endpoint.provider, *endpoint.aliases)}
    bases = {slug.partition("/")[0] for slug in slugs}  # "deepinfra" includes all variants
    served = f"only {endpoint.provider} serves {model.id}"
    if endpoint.aliases:
        served += f" (also called {', '.join(endpoint.aliases)})"
    ordered = preferences.order if preferences.allow_fallbacks is False else None
    for member, names in (("only", preferences.only), ("order", ordered)):
        if names and (slugs | bases).isdisjoint(map(_slug, names)):
            without = " while `provider.allow_fallbacks` is false" if member == "order" else ""
            raise NoEndpoint(
                f"No allowed providers are available for the selected model: {served}, and "
                f"`provider.{member}` does not list it{without}. Add `{endpoint.provider}` to "
                f"`provider.{member}`, or choose another model."
            )
    for name in preferences.ignore or ():
        # A variant such as deepinfra/turbo may be what the configured name refers to.
        slug = _slug(name)
        if slug in slugs | bases or slug.partition("/")[0] in slugs:
            raise NoEndpoint(
                f"All providers have been ignored: {served}, and `provider.ignore` lists "
                f"`{name:.80}`. Remove it from the list, or choose another model."
            )


def _slug(name: str) -> str:
    return "-".join(name.casefold().split())


def _check_privacy(endpoint: Endpoint, preferences: Preferences) -> None:
    for member, is_required, is_promised, setting, promise in (
        ("zdr", preferences.zdr, endpoint.zdr, "zdr = true", "for zero data retention"),
        (
            "data_collection",
            preferences.data_collection == "deny",
            endpoint.denies_data_collection,
            'data_collection = "deny"',
            "to deny data collection",
        ),
    ):
        if is_required and not is_promised:
            raise InvalidInput(
                f"No endpoints found matching your data policy: {endpoint.provider} is not "
                f"configured {promise}, which `provider.{member}` requires. Choose another model. "
                f"If the operator's contract with {endpoint.provider} guarantees it, ask the "
                f"operator to set `{setting}` in `[providers.{endpoint.provider}]` of "
                "modelgates.toml."
            )


def _check_parameters(model: Model, request: InferenceRequest) -> None:
    if model.parameters is None:
        return  # the operator has not listed the parameters
    for name, parameter in request.parameters.items():
        if name in model.parameters or parameter in model.parameters:
            continue
        listed = ", ".join(model.parameters) or "none"
        raise NoEndpoint(
            "No endpoints found that can handle the requested parameters: "
            f"`provider.require_parameters` is true, and {model.id} does not list `{name:.80}` "
            f"(its parameters: {listed}). Remove `{name:.80}` or `provider.require_parameters`, "
            "or choose another model."
        )


def _check_price(choice: ModelChoice, request: InferenceRequest) -> None:
    limits = request.preferences.max_price
    for member, limit, price in _limited_prices(choice, request, limits):
        if limit is not None and price > limit:
            raise NoEndpoint(
                f"No endpoints found that satisfy `provider.max_price.{member}` of {plain(limit)} "
                f"US dollars {_PRICE_UNITS[member]}: {choice.model.id} can cost {plain(price)}. "
                f"Raise `provider.max_price.{member}`, or choose another model."
            )
    if limits.audio is not None and (request.unlike_text & {Meter.INPUT_AUDIO, Meter.OUTPUT_AUDIO}):
        raise InvalidInput(
            "`provider.max_price.audio` is not supported: audio is priced by tokens here. Leave it "
            "out, and limit the cost of the call with the `X-ModelGates-Max-Cost` header."
        )


def _limited_prices(
    choice: ModelChoice, request: InferenceRequest, limits: MaxPrice
) -> tuple[tuple[str, Decimal | None, Decimal], ...]:
    """Returns each limited price, its limit and the highest price in any tier that may apply."""
    model = choice.model
    bounds = request.bounds(
        context_tokens=model.context_tokens, media_tokens=model.media_tokens, output_tokens=0
    )
    image_tokens = model.media_tokens or model.context_tokens
    service_tiers = service_tiers_allowed(choice.price, request.service_tier)
    bounds = msgspec.structs.replace(bounds, service_tiers=service_tiers)

    def charged(quantity: int, *meters: Meter) -> Decimal:
        rate = dearest_rate(choice.price, bounds, meters, choice.markup_bp)
        return _EXACT.multiply(quantity, rate)

    reads = (Meter.INPUT, *_CACHES) if request.asks_for_caches else (Meter.INPUT,)
    written = _MILLION * request.has_output
    shown = image_tokens * ("image" in request.parts.values())
    return (
        ("prompt", limits.prompt, charged(_MILLION, *reads)),
        ("completion", limits.completion, charged(written, Meter.OUTPUT, Meter.REASONING)),
        ("request", limits.request, charged(1, Meter.REQUEST)),
        ("image", limits.image, charged(shown, Meter.INPUT_IMAGE)),
    )
