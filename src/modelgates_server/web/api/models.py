"""`/models` and `/providers`: what can be called, and what it costs now.

Rows are the union of what OpenRouter's old and new clients demand. Prices are what the reader pays:
with the model's markup, or the caller's own where the operation has a caller.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import msgspec
from starlette.datastructures import QueryParams

from modelgates_server.core.errors import InvalidInput, ModelNotFound, PriceNotFound
from modelgates_server.core.pricing.catalog import Catalog, Model
from modelgates_server.core.pricing.prices import Price
from modelgates_server.core.pricing.usage import Meter
from modelgates_server.service.ports import Clock
from modelgates_server.web.api.model_responses import (
    endpoints_response,
    model_response,
    provider_description,
)
from modelgates_server.web.body import query_integer
from modelgates_server.web.request import RequestContext
from modelgates_server.web.response import HttpResponse

PAGE = 500
PAGE_MAX = 1000
_OFFSET_MAX = 10**9 - 1


class PricedModel(NamedTuple):
    """A model with its price in force and what is added to it."""

    model: Model
    price: Price
    markup_bp: int


Offers = list[PricedModel]


def _average_price(offer: PricedModel) -> Decimal:
    tier = offer.price.tiers[0]
    return (tier.rate(Meter.INPUT) + tier.rate(Meter.OUTPUT)) * (10_000 + offer.markup_bp)


def _unscored(_: PricedModel) -> int:
    return 0


SORTS: dict[str, Callable[[PricedModel], Any]] = {
    "newest": lambda offer: -offer.model.created_at_s,
    "pricing-low-to-high": _average_price,
    "pricing-high-to-low": lambda offer: -_average_price(offer),
    "context-high-to-low": lambda offer: -offer.model.context_tokens,
    # OpenRouter has figures for these and puts models without one last. Here all are without.
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
"""OpenRouter's orders; where two models are equal, and without an order, ids decide."""


class ModelsApi:
    """The operations. A model without a price in force cannot be called, and is not shown."""

    def __init__(self, catalog: Catalog, clock: Clock) -> None:
        self._catalog = catalog
        self._clock = clock
        # Neither models nor prices change while we run, so a row is made once for each markup.
        self._rows: dict[tuple[str, str, int], msgspec.Raw] = {}

    async def list(self, context: RequestContext) -> HttpResponse:
        """GET /models."""
        return self._list(context, None)

    async def list_for_caller(self, context: RequestContext) -> HttpResponse:
        """GET /models/user: with the prices of the caller's account."""
        return self._list(context, context.caller.account_id)

    async def count(self, context: RequestContext) -> HttpResponse:
        """GET /models/count."""
        offers = self._offers(context.request.query_params, None)
        return _reply({"data": {"count": len(offers)}})

    async def endpoints(self, context: RequestContext) -> HttpResponse:
        """GET /models/{author}/{slug}/endpoints: the slug may hold slashes."""
        names = context.request.path_params
        model = self._catalog.models.get(f"{names['author']}/{names['slug']}")
        offer = model and self._offer(model, None)
        if not offer:
            raise ModelNotFound("Model not found")
        return _reply({"data": endpoints_response(*offer)})

    async def providers(self, _: RequestContext) -> HttpResponse:
        """GET /providers: those of the models there are."""
        names = {model.endpoint.provider for model in self._catalog.models.values()}
        return _reply({"data": [provider_description(name) for name in sorted(names)]})

    def _list(self, context: RequestContext, account_id: str | None) -> HttpResponse:
        query = context.request.query_params
        found = _sorted(self._offers(query, account_id), query.get("sort"))
        offset, limit = _page(query, len(found))
        rows = [self._row(offer) for offer in found[offset : offset + limit]]
        following = None
        if offset + limit < len(found):
            kept = [item for item in query.multi_items() if item[0] not in ("offset", "limit")]
            page = urlencode([*kept, ("offset", offset + limit), ("limit", limit)])
            following = f"{quote(context.request.url.path)}?{page}"
        return _reply({"data": rows, "total_count": len(found), "links": {"next": following}})

    def _offers(self, query: QueryParams, account_id: str | None) -> Offers:
        fits = _filter(query)
        return [
            offer
            for model in self._catalog.models.values()
            if fits(model) and (offer := self._offer(model, account_id))
        ]

    def _offer(self, model: Model, account_id: str | None) -> PricedModel | None:
        try:
            price = self._catalog.price(model.endpoint.id, self._clock())
        except PriceNotFound:
            return None
        if account_id is None:
            return PricedModel(model, price, model.markup_bp)
        return PricedModel(model, price, self._catalog.markup_bp(model, account_id))

    def _row(self, offer: PricedModel) -> msgspec.Raw:
        name = (offer.model.id, offer.price.id, offer.markup_bp)
        row = self._rows.get(name)
        if row is None:
            row = self._rows[name] = msgspec.Raw(msgspec.json.encode(model_response(*offer)))
        return row


def _reply(content: dict[str, object]) -> HttpResponse:
    return HttpResponse(200, msgspec.json.encode(content))


def _sorted(offers: Offers, sort: str | None) -> Offers:
    if sort is None:
        return offers
    if sort not in SORTS:
        raise InvalidInput(f"sort must be one of {', '.join(SORTS)}")
    return sorted(offers, key=SORTS[sort])


def _page(query: QueryParams, count: int) -> tuple[int, int]:
    """Offset and limit; everything where neither is given, as OpenRouter documents it."""
    offset = query_integer(query, "offset", default=0, most=_OFFSET_MAX)
    default = PAGE if "offset" in query else count
    return offset, query_integer(query, "limit", default=default, least=1, most=PAGE_MAX)


def _filter(query: QueryParams) -> Callable[[Model], bool]:
    """Whether a model is asked for.

    It must put out any of the output modalities (text, where none is named), take all of the input
    modalities and parameters, and have the text in its id or name. Models have no category here, so
    a category leaves none.
    """
    text = query.get("q", "").casefold()
    parameters = _words(query, "supported_parameters")
    inputs = _words(query, "input_modalities")
    outputs = _words(query, "output_modalities") or {"text"}
    no_category = not query.get("category")

    def fits(model: Model) -> bool:
        return (
            no_category
            and ("all" in outputs or not outputs.isdisjoint(model.output_modalities))
            and inputs.issubset(model.input_modalities)
            and parameters.issubset(model.parameters or ())
            and (text in model.id.casefold() or text in model.name.casefold())
        )

    return fits


def _words(query: QueryParams, name: str) -> set[str]:
    return {word.strip() for word in query.get(name, "").split(",")} - {""}
