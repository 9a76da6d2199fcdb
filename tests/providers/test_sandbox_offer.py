from decimal import Decimal

from modelgates_server.core.pricing.catalog import Api, Catalog
from modelgates_server.core.pricing.prices import charge_for
from modelgates_server.core.pricing.usage import Meter, Usage
from modelgates_server.providers.sandbox.models import NAMES
from modelgates_server.providers.sandbox.offer import sandbox_models, sandbox_prices

CATALOG = Catalog(sandbox_models(), sandbox_prices())
API_OF = {name: Api.EMBEDDINGS if name == "embed" else Api.CHAT for name in NAMES}


def test_every_sandbox_model_is_in_the_catalog_and_has_a_price() -> None:
    assert list(CATALOG.models) == sorted(f"sandbox/{name}" for name in NAMES)
    for name, api in API_OF.items():
        model = CATALOG.model(f"sandbox/{name}", api, at_ms=0)
        assert (model.endpoint.id, model.endpoint.upstream_model) == (f"sandbox:{name}", name)
        price = CATALOG.price(model.endpoint.id, at_ms=0)
        assert price.id == f"price_sandbox_{name}_1"
        assert not price.is_free


def test_call_is_charged_at_the_listed_price() -> None:
    def cost(name: str, usage: Usage) -> int:
        price = CATALOG.price(f"sandbox:{name}", at_ms=0)
        return charge_for(price, usage, markup_bp=0, held_pico=10**12).amount_pico

    assert cost("echo", Usage(input=10, output=5)) == 10 * 10**6 + 5 * 2 * 10**6
    assert cost("echo", Usage(cache_read=10, reasoning=5)) == 10 * 10**5 + 5 * 2 * 10**6
    assert cost("lorem", Usage(reasoning=5)) == cost("chaos", Usage(reasoning=5)) == 15 * 10**6
    assert cost("embed", Usage(input=10)) == 10 * 10**5
    (tier,) = CATALOG.price("sandbox:echo", at_ms=0).tiers
    assert tier.rate(Meter.REQUEST) == Decimal(0)
