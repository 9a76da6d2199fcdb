from typing import Any

import pytest

from modelgates_server.core.errors import PriceNotFound, UnknownModel
from modelgates_server.core.pricing.catalog import Api, Catalog, Endpoint, Model
from modelgates_server.core.pricing.prices import Price, Tier, read_rate
from modelgates_server.core.pricing.usage import Meter
from tests.support import T0_MS

ENDPOINT = Endpoint(id="acme:m1", provider="acme", upstream_model="m1")


def model(model_id: str = "acme/m1", **members: Any) -> Model:
    defaults = {
        "name": "M1",
        "endpoint": ENDPOINT,
        "context_tokens": 1000,
        "output_tokens": 100,
        "created_at_s": 0,
    }
    return Model(id=model_id, **{**defaults, **members})


def price(price_id: str, from_ms: int, endpoint_id: str = ENDPOINT.id) -> Price:
    rates = {Meter.INPUT: read_rate("0.001"), Meter.OUTPUT: read_rate("0.002")}
    return Price(price_id, endpoint_id, from_ms, "test", (Tier(0, rates),))


def test_models_are_listed_in_the_order_of_their_ids() -> None:
    catalog = Catalog([model("b/x"), model("a/z"), model("a/b")], [])
    assert list(catalog.models) == ["a/b", "a/z", "b/x"]


@pytest.mark.parametrize("name", ["acme/m2", "ACME/M1", "m1", "acme/m1 ", "", "acme/m1:free"])
def test_model_is_found_only_by_its_exact_id(name: str) -> None:
    catalog = Catalog([model()], [])
    assert catalog.model("acme/m1", Api.CHAT, 0).id == "acme/m1"
    with pytest.raises(UnknownModel, match="is not a valid model ID"):
        catalog.model(name, Api.CHAT, 0)


def test_model_cannot_be_called_through_an_api_that_it_lacks() -> None:
    catalog = Catalog([model(), model("acme/embed", apis=frozenset({Api.EMBEDDINGS}))], [])
    assert catalog.model("acme/embed", Api.EMBEDDINGS, 0)
    assert catalog.model("acme/m1", Api.COMPLETIONS, 0)
    for name, api in [("acme/m1", Api.EMBEDDINGS), ("acme/embed", Api.CHAT)]:
        with pytest.raises(UnknownModel, match=f"cannot be called at /{api}"):
            catalog.model(name, api, 0)


def test_newest_price_that_has_begun_is_in_force() -> None:
    catalog = Catalog(
        [model()], [price("new", T0_MS), price("old", 0), price("next", T0_MS + 1000)]
    )
    assert catalog.price(ENDPOINT.id, 0).id == "old"
    assert catalog.price(ENDPOINT.id, T0_MS - 1).id == "old"
    assert catalog.price(ENDPOINT.id, T0_MS).id == "new"
    assert catalog.price(ENDPOINT.id, T0_MS + 999).id == "new"
    assert catalog.price(ENDPOINT.id, T0_MS + 1000).id == "next"


def test_model_without_a_price_is_refused_and_not_free() -> None:
    catalog = Catalog([model()], [price("other", 0, "acme:m2"), price("later", T0_MS)])
    for endpoint_id, at_ms in [(ENDPOINT.id, T0_MS - 1), ("acme:m3", T0_MS)]:
        with pytest.raises(PriceNotFound, match="no price"):
            catalog.price(endpoint_id, at_ms)


def test_markup_of_an_account_overrides_that_of_a_model_even_when_it_is_zero() -> None:
    marked_up = model(markup_bp=500)
    catalog = Catalog([marked_up], [], {"user_a": 0, "user_b": -100})
    assert catalog.markup_bp(marked_up, "user_a") == 0
    assert catalog.markup_bp(marked_up, "user_b") == -100
    assert catalog.markup_bp(marked_up, "user_c") == 500
