"""`/models` and `/providers`: the models that can be called, and their current prices.

Responses have all fields that OpenRouter's old and new clients require. Prices are those that the
reader pays: with the model's markup, or that of the caller's account if there is a caller.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import msgspec
from starlette.datastructures import QueryParams

from modelgates_server.core.errors import InvalidInput, ModelNotFound, PriceNotFound
from modelgates_server.core.pricing.catalog import Api, Catalog, Model
from modelgates_server.core.pricing.model_names import did_you_mean
from modelgates_server.core.pricing.prices import Price
from modelgates_server.core.pricing.usage import Meter
from modelgates_server.service.ports import Clock
from modelgates_server.web.api.anthropic_models import (
    VERSION_HEADER,
    anthropic_model,
    anthropic_page,
)
from modelgates_server.web.api.model_responses import (
    endpoints_response,
    model_answer,
    model_response,
    provider_description,
)
from modelgates_server.web.body import query_integer
from modelgates_server.web.members import check_filters, quoted
from modelgates_server.web.request import RequestContext
from modelgates_server.web.response import HttpResponse

_NO_QUERY = QueryParams()

PAGE = 500
PAGE_MAX = 1000
_OFFSET_MAX = 10**9 - 1


class PricedModel(NamedTuple):
    """A model with its current price and its markup."""

    model: Model
    price: Price
    markup_bp: int


PricedModels = list[PricedModel]

_FILTERS = (
    *("q", "category", "supported_parameters", "input_modalities", "output_modalities"),
    *("sort", "offset", "limit"),
)
_UNAVAILABLE = frozenset(
    (
        *("context", "min_price", "max_price", "min_output_price", "max_output_price", "arch"),
        *("model_authors", "providers", "distillable", "zdr", "region", "use_rss"),
        *("min_age_days", "max_age_days", "min_intelligence_index", "max_intelligence_index"),
        *("min_coding_index", "max_coding_index", "min_agentic_index", "max_agentic_index"),
        *("min_tool_success_rate", "max_tool_success_rate"),
    )
)
"""OpenRouter's other filters. Without them, the list would have models that the client excluded."""


def _average_price(priced: PricedModel) -> Decimal:
    tier = priced.price.tiers[0]
    return (tier.rate(Meter.INPUT) + tier.rate(Meter.OUTPUT)) * (10_000 + priced.markup_bp)


def _unscored(_: PricedModel) -> int:
    return 0


SORTS: dict[str, Callable[[PricedModel], Any]] = {
    "newest": lambda priced: -priced.model.created_at_s,
    "pricing-low-to-high": _average_price,
    "pricing-high-to-low": lambda priced: -_average_price(priced),
    "context-high-to-low": lambda priced: -priced.model.context_tokens,
    # OpenRouter has scores for these and lists models without one last. Here, no model has one.
    **dict.fromkeys(
        (
            "most-popular",
            "top-weekly",
            "throughput-high-to-low",
            "latency-low-to-high",
            "intelligence-high-to-low",
            "coding-high-to-low",
            "agentic-high-to-low",
            "design-arena-elo-high-to-low",
        ),
        _unscored,
    ),
}
"""OpenRouter's sort orders. Equal models, and all models without an order, are sorted by id."""


class ModelsApi:
    """The operations on models. A model without a current price cannot be called or listed."""

    def __init__(self, catalog: Catalog, clock: Clock) -> None:
        self._catalog = catalog
        self._clock = clock
        # Models and prices do not change while the server runs: each is encoded once per markup.
        self._encoded: dict[tuple[str, str, int], msgspec.Raw] = {}

    async def list(self, context: RequestContext) -> HttpResponse:
        """GET /models; in Anthropic's form if the request has `anthropic-version`."""
        if VERSION_HEADER in context.headers:
            models = [priced.model for priced in self._priced_models(_NO_QUERY, None)]
            return _json_response(anthropic_page(models, context.request.query_params))
        return self._list(context, None)

    async def list_for_caller(self, context: RequestContext) -> HttpResponse:
        """GET /models/user: the models with the prices of the caller's account."""
        return self._list(context, context.caller.account_id)

    async def count(self, context: RequestContext) -> HttpResponse:
        """GET /models/count."""
        priced_models = self._priced_models(context.request.query_params, None)
        return _json_response({"data": {"count": len(priced_models)}})

    async def list_embedding(self, context: RequestContext) -> HttpResponse:
        """GET /embeddings/models: the models that `POST /embeddings` accepts."""
        return self._list(context, None, Api.EMBEDDINGS)

    async def get(self, context: RequestContext) -> HttpResponse:
        """GET /models/{author}/{slug}, and `/model/…`, which OpenRouter's clients use."""
        priced = self._named(context)
        if VERSION_HEADER in context.headers:
            return HttpResponse(200, msgspec.json.encode(anthropic_model(priced.model)))
        answer = model_answer(priced.model, self._encoded_model(priced))
        return HttpResponse(200, msgspec.json.encode(answer))

    async def endpoints(self, context: RequestContext) -> HttpResponse:
        """GET /models/{author}/{slug}/endpoints."""
        return _json_response({"data": endpoints_response(*self._named(context))})

    async def providers(self, _: RequestContext) -> HttpResponse:
        """GET /providers: the providers of the models."""
        names = {model.endpoint.provider for model in self._catalog.models.values()}
        return _json_response({"data": [provider_description(name) for name in sorted(names)]})

    def _named(self, context: RequestContext) -> PricedModel:
        """The model in the path, whose slug may contain slashes; raises `ModelNotFound`."""
        names = context.request.path_params
        model_id = f"{names['author']}/{names['slug']}"
        model = self._catalog.models.get(model_id)
        priced = model and self._priced_model(model, None)
        if not priced:
            question = did_you_mean(model_id, self._catalog.callable_ids(self._clock()))
            raise ModelNotFound(
                f"Model not found. {question and f'{question} '}"
                "`GET /api/v1/models` lists the models."
            )
        return priced

    def _list(
        self, context: RequestContext, account_id: str | None, api: Api | None = None
    ) -> HttpResponse:
        query = context.request.query_params
        matches = _sorted(self._priced_models(query, account_id, api), query.get("sort"))
        offset, limit = _page(query, len(matches))
        models = [self._encoded_model(priced) for priced in matches[offset : offset + limit]]
        following = None
        if offset + limit < len(matches):
            filters = [item for item in query.multi_items() if item[0] not in ("offset", "limit")]
            page = urlencode([*filters, ("offset", offset + limit), ("limit", limit)])
            following = f"{quote(context.request.url.path)}?{page}"
        return _json_response(
            {"data": models, "total_count": len(matches), "links": {"next": following}}
        )

    def _priced_models(
        self, query: QueryParams, account_id: str | None, api: Api | None = None
    ) -> PricedModels:
        fits = _filter(query, api)
        return [
            priced
            for model in self._catalog.models.values()
            if fits(model) and (priced := self._priced_model(model, account_id))
        ]

    def _priced_model(self, model: Model, account_id: str | None) -> PricedModel | None:
        try:
            price = self._catalog.price(model.endpoint.id, self._clock())
        except PriceNotFound:
            return None
        if account_id is None:
            return PricedModel(model, price, model.markup_bp)
        return PricedModel(model, price, self._catalog.markup_bp(model, account_id))

    def _encoded_model(self, priced: PricedModel) -> msgspec.Raw:
        key = (priced.model.id, priced.price.id, priced.markup_bp)
        encoded = self._encoded.get(key)
        if encoded is None:
            encoded = msgspec.Raw(msgspec.json.encode(model_response(*priced)))
            self._encoded[key] = encoded
        return encoded


def _json_response(content: dict[str, object]) -> HttpResponse:
    return HttpResponse(200, msgspec.json.encode(content))


def _sorted(priced_models: PricedModels, sort: str | None) -> PricedModels:
    if sort is None:
        return priced_models
    if sort not in SORTS:
        raise InvalidInput(f"Unknown sort order {quoted(sort)}. Use one of: {', '.join(SORTS)}.")
    return sorted(priced_models, key=SORTS[sort])


def _page(query: QueryParams, count: int) -> tuple[int, int]:
    """Offset and limit; all models if the query has neither, as OpenRouter documents it."""
    offset = query_integer(query, "offset", default=0, most=_OFFSET_MAX)
    default = PAGE if "offset" in query else count
    return offset, query_integer(query, "limit", default=default, least=1, most=PAGE_MAX)


def _filter(query: QueryParams, api: Api | None) -> Callable[[Model], bool]:
    """A function that returns whether a model matches the query, and has the API if one is given.

    A model must have any of the output modalities (text, if the query names none), accept all of
    the input modalities and parameters, and have the text in its id or name. Models have no
    category here, so a query for a category matches none. Raises `InvalidInput` for a filter that
    does not exist here.
    """
    check_filters(query, _FILTERS, _UNAVAILABLE)
    text = query.get("q", "").casefold()
    parameters = _words(query, "supported_parameters")
    inputs = _words(query, "input_modalities")
    outputs = _words(query, "output_modalities") or {"all" if api else "text"}
    no_category = not query.get("category")

    def fits(model: Model) -> bool:
        return (
            no_category
            and (api is None or api in model.apis)
            and ("all" in outputs or not outputs.isdisjoint(model.output_modalities))
            and inputs.issubset(model.input_modalities)
            and parameters.issubset(model.parameters or ())
            and (text in model.id.casefold() or text in model.name.casefold())
        )

    return fits


def _words(query: QueryParams, name: str) -> set[str]:
    return {word.strip() for word in query.get(name, "").split(",")} - {""}
