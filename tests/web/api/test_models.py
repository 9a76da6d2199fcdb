"""GET /models: every model with a price, with the filters that clients know, in pages."""

from contextlib import nullcontext
from dataclasses import replace
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest
from openrouter import components, operations

from modelgates_server.bootstrap.composition import http_app
from modelgates_server.core.pricing.catalog import Api as Inference
from modelgates_server.core.pricing.catalog import Catalog, Endpoint, Model
from modelgates_server.core.pricing.prices import Price, Tier
from modelgates_server.core.pricing.usage import Meter
from modelgates_server.web.api.models import PAGE, SORTS
from modelgates_server.web.routing import RouteTable
from tests.deadlines import async_http_client
from tests.server import Customer
from tests.support import HOUR_MS, T0_MS
from tests.web.document import check_answer, operations_of, our_document
from tests.web.harness import OPTIONS, Api

MODELS = "/api/v1/models"
DESCRIBED = {o["operationId"]: o for *_, o in operations_of(our_document())}
EVERYTHING = {"output_modalities": "all"}


def model(model_id: str, **members: Any) -> Model:
    endpoint = Endpoint(id=f"maker:{model_id}", provider="maker", upstream_model=model_id)
    defaults: dict[str, Any] = {
        "name": model_id.title(),
        "endpoint": endpoint,
        "context_tokens": 8000,
        "output_tokens": 1000,
        "created_at_s": 1_700_000_000,
    }
    return Model(id=model_id, **{**defaults, **members})


def price(
    model_id: str, rates: dict[Meter, str], *more: tuple[int, dict[Meter, str]], from_ms: int = 0
) -> Price:
    tiers = tuple(
        Tier(above, {meter: Decimal(rate) for meter, rate in stated.items()})
        for above, stated in ((0, rates), *more)
    )
    return Price(f"{model_id}@{from_ms}", f"maker:{model_id}", from_ms, "test", tiers)


def cheap(model_id: str) -> Price:
    return price(model_id, {Meter.INPUT: "0.000001", Meter.OUTPUT: "0.000002"})


class Shop:
    """A catalog over HTTP; checks every response against the OpenAPI document."""

    def __init__(self, api: Api, catalog: Catalog) -> None:
        services = replace(api.services, catalog=catalog)
        app = http_app(services, OPTIONS, nullcontext)
        self._paths = RouteTable(app.routes)
        self.client = async_http_client(
            transport=httpx.ASGITransport(app), base_url="http://gateway"
        )

    async def get(self, path: str, key: str | None = None, **query: Any) -> httpx.Response:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        answer = await self.client.get(path, params=query or None, headers=headers)
        methods, _ = self._paths.find(httpx.URL(path).path)
        check_answer(DESCRIBED[methods["GET"].id], answer)
        return answer

    async def ids(self, **query: Any) -> list[str]:
        answer = (await self.get(MODELS, **query)).json()
        ids = [row["id"] for row in answer["data"]]
        counted = await self.get(f"{MODELS}/count", **query)
        assert counted.json() == {"data": {"count": answer["total_count"]}}
        return ids


def shop(
    api: Api,
    *models: Model,
    prices: list[Price] | None = None,
    account_markup_bp: dict[str, int] | None = None,
) -> Shop:
    """Serve models, each with a cheap price unless prices are given."""
    chosen = [cheap(each.id) for each in models] if prices is None else prices
    return Shop(api, Catalog(models, chosen, account_markup_bp))


TALKS = model("maker/talks", parameters=("tools", "temperature"), created_at_s=3)
SEES = model("maker/sees", input_modalities=("text", "image"), parameters=("tools",))
DRAWS = model("maker/draws", output_modalities=("image",), name="The Painter")
BOTH = model("other/both", output_modalities=("text", "image"), name="Writes and draws")
EMBEDS = model(
    "other/embeds", output_modalities=("embeddings",), apis=frozenset({Inference.EMBEDDINGS})
)
ALL = (TALKS, SEES, DRAWS, BOTH, EMBEDS)


async def test_model_has_all_fields_that_old_and_new_clients_require(api: Api) -> None:
    rates = {Meter.INPUT: "0.00000015", Meter.OUTPUT: "0.0000006", Meter.CACHE_READ: "0.000000075"}
    served = shop(
        api, SEES, prices=[price(SEES.id, rates, (64_000, {Meter.INPUT: "1", Meter.OUTPUT: "2"}))]
    )
    answer = await served.get(MODELS)
    assert answer.json() == {
        "data": [
            {
                "id": "maker/sees",
                "canonical_slug": "maker/sees",
                "name": "Maker/Sees",
                "created": 1_700_000_000,
                "description": "",
                "context_length": 8000,
                "architecture": {
                    "input_modalities": ["text", "image"],
                    "output_modalities": ["text"],
                    "modality": "text+image->text",
                    "tokenizer": "Other",
                    "instruct_type": None,
                },
                "pricing": {
                    "prompt": "0.00000015",
                    "completion": "0.0000006",
                    "input_cache_read": "0.000000075",
                    "overrides": [
                        {
                            "min_prompt_tokens": 64_001,
                            "prompt": "1",
                            "completion": "2",
                            "input_cache_read": "1",
                        }
                    ],
                },
                "top_provider": {
                    "context_length": 8000,
                    "max_completion_tokens": 1000,
                    "is_moderated": False,
                },
                "supported_parameters": ["tools"],
                "links": {"details": "/api/v1/models/maker/sees/endpoints"},
                "per_request_limits": None,
                "default_parameters": None,
                "supported_voices": None,
                "hugging_face_id": None,
                "knowledge_cutoff": None,
                "expiration_date": None,
            }
        ],
        "total_count": 1,
        "links": {"next": None},
    }
    components.ModelsListResponse.model_validate(answer.json())


async def test_model_without_a_current_price_is_not_shown(api: Api) -> None:
    rates = {Meter.INPUT: "1", Meter.OUTPUT: "1"}
    later = price(TALKS.id, rates, from_ms=T0_MS + HOUR_MS)
    served = shop(api, TALKS, SEES, prices=[later, cheap(SEES.id)])
    assert await served.ids() == [SEES.id]
    details = f"{MODELS}/{TALKS.id}/endpoints"
    answer = await served.get(details)
    assert answer.status_code == 404
    message = "Model not found. `GET /api/v1/models` lists the models."
    assert answer.json() == {"error": {"message": message, "code": 404}}
    api.clock.forward(HOUR_MS)
    assert await served.ids() == [SEES.id, TALKS.id]
    assert (await served.get(details)).status_code == 200


async def test_new_price_is_shown_from_its_start(api: Api) -> None:
    higher = price(TALKS.id, {Meter.INPUT: "3", Meter.OUTPUT: "4"}, from_ms=T0_MS + HOUR_MS)
    served = shop(api, TALKS, prices=[higher, cheap(TALKS.id)])

    async def prompt() -> Any:
        return (await served.get(MODELS)).json()["data"][0]["pricing"]["prompt"]

    assert await prompt() == "0.000001"
    api.clock.forward(HOUR_MS - 1)
    assert await prompt() == "0.000001"
    api.clock.forward(1)
    assert await prompt() == "3"


async def test_prices_have_the_markup_of_the_caller(
    api: Api, acme: Customer, other: Customer
) -> None:
    marked_up = model("maker/talks", markup_bp=500)
    served = shop(api, marked_up, account_markup_bp={acme.account_id: 0})

    async def prompt(path: str, key: str | None = None) -> Any:
        return (await served.get(path, key)).json()["data"][0]["pricing"]["prompt"]

    user = f"{MODELS}/user"
    for key in (acme.inference, acme.management, acme.viewer):
        assert await prompt(user, key) == "0.000001"
    assert await prompt(user, other.inference) == "0.00000105"
    assert await prompt(MODELS) == await prompt(MODELS, acme.inference) == "0.00000105"
    assert (await served.get(user)).status_code == 401


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [SEES, TALKS, BOTH]),
        ({"output_modalities": "all"}, [DRAWS, SEES, TALKS, BOTH, EMBEDS]),
        ({"output_modalities": "image"}, [DRAWS, BOTH]),
        ({"output_modalities": "image, embeddings"}, [DRAWS, BOTH, EMBEDS]),
        ({"output_modalities": "rerank"}, []),
        ({"output_modalities": ""}, [SEES, TALKS, BOTH]),
        ({"input_modalities": "text,image"}, [SEES]),
        ({"input_modalities": "text"}, [SEES, TALKS, BOTH]),
        ({"supported_parameters": "tools"}, [SEES, TALKS]),
        ({"supported_parameters": "tools,temperature"}, [TALKS]),
        ({"q": "TALK"}, [TALKS]),
        ({"q": "the painter", "output_modalities": "all"}, [DRAWS]),
        ({"q": "maker/"}, [SEES, TALKS]),
        ({"q": "Other/b"}, [BOTH]),
        ({"q": "nothing"}, []),
        ({"category": "programming"}, []),
        ({"category": ""}, [SEES, TALKS, BOTH]),
    ],
)
async def test_filter_keeps_only_matching_models(
    query: dict[str, str], expected: list[Model], api: Api
) -> None:
    assert await shop(api, *ALL).ids(**query) == [each.id for each in expected]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("newest", ["b", "c", "a"]),
        ("context-high-to-low", ["c", "a", "b"]),
        ("pricing-low-to-high", ["a", "c", "b"]),
        ("pricing-high-to-low", ["b", "a", "c"]),
    ],
)
async def test_models_are_sorted_on_request(sort: str, expected: list[str], api: Api) -> None:
    a = model("a/a", created_at_s=1, markup_bp=10_000)
    b = model("b/b", created_at_s=3, context_tokens=10)
    c = model("c/c", created_at_s=2, context_tokens=9000)
    rates = {"a/a": ("1", "2"), "b/b": ("1", "6"), "c/c": ("5", "1")}
    prices = [price(k, {Meter.INPUT: i, Meter.OUTPUT: o}) for k, (i, o) in rates.items()]
    served = shop(api, a, b, c, prices=prices)
    assert await served.ids(sort=sort) == [f"{name}/{name}" for name in expected]


async def test_every_sort_order_that_clients_know_is_accepted(api: Api) -> None:
    served = shop(api, *ALL)
    for sort in SORTS:
        assert sorted(await served.ids(sort=sort)) == [SEES.id, TALKS.id, BOTH.id]


async def test_pages_have_every_model_once(api: Api) -> None:
    served = shop(api, *(model(f"maker/{number:02}") for number in range(23)))
    path: str | None = f"{MODELS}?limit=5&q=maker%2F&sort=newest"
    seen: list[str] = []
    sizes = []
    while path is not None:
        page = (await served.get(path)).json()
        assert page["total_count"] == 23
        sizes.append(len(page["data"]))
        seen += [row["id"] for row in page["data"]]
        path = page["links"]["next"]
        assert path is None or "q=maker%2F&sort=newest&" in path
    assert sizes == [5, 5, 5, 5, 3]
    assert seen == [f"maker/{number:02}" for number in range(23)]


async def test_next_page_of_an_account_has_its_prices(api: Api, acme: Customer) -> None:
    served = shop(api, *ALL)
    page = (await served.get(f"{MODELS}/user", acme.inference, limit=1)).json()
    assert page["links"]["next"].startswith("/api/v1/models/user?")


async def test_all_models_are_listed_without_offset_and_limit(api: Api) -> None:
    served = shop(api, *(model(f"maker/{number:04}") for number in range(PAGE + 2)))
    whole = (await served.get(MODELS)).json()
    assert (len(whole["data"]), whole["links"]["next"]) == (PAGE + 2, None)
    first = (await served.get(MODELS, offset=0)).json()
    assert len(first["data"]) == PAGE
    assert len((await served.get(first["links"]["next"])).json()["data"]) == 2
    beyond = (await served.get(MODELS, offset=PAGE + 2, limit=1000)).json()
    assert (beyond["data"], beyond["links"]["next"]) == ([], None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("limit", text) for text in ("0", "1001", "-1", "ten", "", "1.0", "٣", "9" * 5000)),
        *(("offset", text) for text in ("-1", "one", "1000000000")),
        *(("sort", text) for text in ("cheapest", "")),
    ],
)
async def test_invalid_query_parameter_is_refused_by_name(
    name: str, value: str, api: Api, acme: Customer
) -> None:
    served = shop(api, *ALL)
    for path, key in ((MODELS, None), (f"{MODELS}/user", acme.viewer)):
        answer = await served.get(path, key, **{name: value})
        assert answer.status_code == 400
        expected = "Unknown sort order" if name == "sort" else f"`{name}` must be an integer from "
        assert answer.json()["error"]["message"].startswith(expected)


@pytest.mark.parametrize(
    "model_id", ["a/b", "a/b:free", "together/meta-llama/Llama-3", "a/über & more?", "a/endpoints"]
)
async def test_endpoints_are_found_for_any_characters_in_a_model_id(
    model_id: str, api: Api
) -> None:
    served = shop(api, model(model_id), model("a/c"))
    (details,) = [
        row["links"]["details"]
        for row in (await served.get(MODELS)).json()["data"]
        if row["id"] == model_id
    ]
    author, _, slug = model_id.partition("/")
    quoted = f"{MODELS}/{author}/{quote(slug, safe='')}/endpoints"
    for path in (details, quoted, f"{details}/"):
        assert (await served.get(path)).json()["data"]["id"] == model_id


async def test_endpoints_have_all_fields_that_old_and_new_clients_require(api: Api) -> None:
    chooses = model("maker/chooses", parameters=("tools", "tool_choice"))
    served = shop(api, chooses, EMBEDS)
    answer = await served.get(f"{MODELS}/maker/chooses/endpoints")
    shown = answer.json()["data"]
    (endpoint,) = shown["endpoints"]
    assert (endpoint["name"], endpoint["tag"]) == ("maker | maker/chooses", "maker")
    assert endpoint["pricing"] == {"prompt": "0.000001", "completion": "0.000002"}
    assert all(endpoint["supports_tool_choice"].values())
    assert endpoint["max_completion_tokens"] == 1000
    operations.ListEndpointsResponse.model_validate(answer.json())
    embeds = (await served.get(f"{MODELS}/{EMBEDS.id}/endpoints")).json()["data"]["endpoints"][0]
    assert embeds["max_completion_tokens"] is None
    assert not any(embeds["supports_tool_choice"].values())


async def test_each_priced_service_tier_is_an_endpoint_with_its_rates(api: Api) -> None:
    standard = cheap("maker/chooses")
    [tier] = standard.tiers
    half = {meter: rate / 2 for meter, rate in tier.rates.items()}
    flex = [Tier(above, half, "flex") for above in (0, 999)]
    tiered = msgspec.structs.replace(standard, tiers=(tier, *flex))
    served = shop(api, model("maker/chooses"), prices=[tiered])
    answer = await served.get(f"{MODELS}/maker/chooses/endpoints")
    operations.ListEndpointsResponse.model_validate(answer.json())
    rates = {"prompt": "0.0000005", "completion": "0.000001"}
    shown = answer.json()["data"]["endpoints"]
    assert [(row["tag"], row["service_tier"], row["pricing"]) for row in shown] == [
        ("maker", None, {"prompt": "0.000001", "completion": "0.000002"}),
        ("maker/flex", "flex", {**rates, "overrides": [{"min_prompt_tokens": 1000, **rates}]}),
    ]
    [row] = (await served.get(MODELS)).json()["data"]
    assert row["pricing"] == {"prompt": "0.000001", "completion": "0.000002"}


@pytest.mark.parametrize("model_id", ["maker/none", "none/talks", "maker/talks/more", "maker/"])
async def test_unknown_model_has_no_endpoints(model_id: str, api: Api) -> None:
    answer = await shop(api, TALKS).get(f"{MODELS}/{model_id}/endpoints")
    assert answer.status_code == 404


async def test_each_provider_is_listed_once(api: Api) -> None:
    elsewhere = Endpoint(id="acme:x", provider="acme", upstream_model="x")
    served = shop(api, *ALL, model("acme/x", endpoint=elsewhere))
    answer = await served.get("/api/v1/providers")
    assert [(row["name"], row["slug"]) for row in answer.json()["data"]] == [
        ("acme", "acme"),
        ("maker", "maker"),
    ]
    operations.ListProvidersResponse.model_validate(answer.json())
