from decimal import Decimal
from typing import Any

import pytest

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.metering.preferences import MaxPrice, Preferences
from tests.dialects.openai_chat import chat


def test_each_preference_that_limits_is_read() -> None:
    provider = {
        "only": ["a"],
        "ignore": ["b"],
        "order": ["c"],
        "allow_fallbacks": False,
        "require_parameters": True,
        "data_collection": "deny",
        "zdr": True,
        "max_price": {"prompt": 1, "completion": "2.50", "request": 1e-2, "image": None},
    }
    assert chat.request(provider=provider).preferences == Preferences(
        only=("a",),
        ignore=("b",),
        order=("c",),
        allow_fallbacks=False,
        require_parameters=True,
        data_collection="deny",
        zdr=True,
        max_price=MaxPrice(prompt=Decimal(1), completion=Decimal("2.50"), request=Decimal("0.01")),
    )


@pytest.mark.parametrize(
    "provider",
    [
        None,
        {},
        {"only": None, "ignore": None, "order": None, "zdr": None, "max_price": None},
        {"sort": "price", "quantizations": ["int4"], "preferred_max_latency": {"p50": 1}},
        {"sort": {"by": "throughput", "partition": None}, "preferred_min_throughput": 50},
        {"options": {}, "enforce_distillable_text": False},
    ],
)
def test_preference_that_limits_nothing_is_none(provider: dict[str, Any] | None) -> None:
    assert chat.request(provider=provider).preferences == Preferences()


@pytest.mark.parametrize("text", ["0.99999999999999999999", "1e-2", "5"])
def test_max_price_is_read_to_the_last_digit(text: str) -> None:
    request = chat.request(provider={"max_price": {"prompt": text}})
    assert request.preferences.max_price.prompt == Decimal(text)


@pytest.mark.parametrize(
    ("provider", "says"),
    [
        ({"onli": ["a"]}, "provider.onli is not known, so it is not obeyed: did you mean only?"),
        ({"zzz": 1}, "provider.zzz is not known, so it is not obeyed: there are allow_fallbacks, "),
        ({"Only": ["a"]}, "write only instead of Only in provider"),
        ({"max_price": {"promt": 1}}, "provider.max_price.promt is not known, so it is not obeyed"),
        ({"max_price": {"prompt": -1}}, "provider.max_price.prompt of -1 is not an amount"),
        ({"max_price": {"prompt": "NaN"}}, "provider.max_price.prompt of NaN is not an amount"),
        ({"max_price": {"prompt": ""}}, "is not an amount"),
        ({"max_price": {"prompt": True}}, "is not an amount"),
        ({"max_price": {"prompt": {}}}, "is not an amount"),
        ({"max_price": 5}, "provider.max_price must be an object"),
        ({"only": "acme"}, "`provider.only`"),
        ({"only": [1]}, "`provider.only[0]`"),
        ({"zdr": "yes"}, "`provider.zdr`"),
        ({"data_collection": "none"}, "`provider.data_collection`"),
        ({"allow_fallbacks": 0}, "`provider.allow_fallbacks`"),
        ({"enforce_distillable_text": True}, "provider.enforce_distillable_text cannot be obeyed"),
        ({"options": {"acme": {"a": 1}}}, "provider.options cannot be obeyed"),
    ],
)
def test_preference_that_is_not_understood_is_refused_by_name(
    provider: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        chat.request(provider=provider)
    assert says in str(refusal.value)


@pytest.mark.parametrize("provider", ["acme", 1, ["acme"], True])
def test_provider_that_is_no_object_is_refused(provider: object) -> None:
    with pytest.raises(InvalidInput, match="provider does not fit"):
        chat.request(provider=provider)
