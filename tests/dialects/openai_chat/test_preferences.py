from decimal import Decimal
from typing import Any

import pytest

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.metering.preferences import MaxPrice, Preferences
from tests.dialects.openai_chat import chat


def test_limiting_preferences_are_read() -> None:
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
def test_preferences_that_limit_nothing_are_ignored(provider: dict[str, Any] | None) -> None:
    assert chat.request(provider=provider).preferences == Preferences()


@pytest.mark.parametrize("text", ["0.99999999999999999999", "1e-2", "5"])
def test_max_price_is_read_to_the_last_digit(text: str) -> None:
    request = chat.request(provider={"max_price": {"prompt": text}})
    assert request.preferences.max_price.prompt == Decimal(text)


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        ({"onli": ["a"]}, "Unknown field `provider.onli`. Did you mean `only`?"),
        ({"zzz": 1}, "Unknown field `provider.zzz`. Known fields: `allow_fallbacks`, "),
        ({"Only": ["a"]}, "Use `only` instead of `Only` in `provider`."),
        ({"max_price": {"promt": 1}}, "Unknown field `provider.max_price.promt`."),
        ({"max_price": {"prompt": -1}}, "`provider.max_price.prompt` is not an amount: `-1`."),
        ({"max_price": {"prompt": "NaN"}}, "`provider.max_price.prompt` is not an amount: `NaN`."),
        ({"max_price": {"prompt": ""}}, "is not an amount"),
        ({"max_price": {"prompt": True}}, "is not an amount"),
        ({"max_price": {"prompt": {}}}, "is not an amount"),
        ({"max_price": 5}, "`provider.max_price` must be an object"),
        ({"only": "acme"}, "`provider.only`"),
        ({"only": [1]}, "`provider.only[0]`"),
        ({"zdr": "yes"}, "`provider.zdr`"),
        ({"data_collection": "none"}, "`provider.data_collection`"),
        ({"allow_fallbacks": 0}, "`provider.allow_fallbacks`"),
        (
            {"enforce_distillable_text": True},
            "`provider.enforce_distillable_text` is not supported",
        ),
        ({"options": {"acme": {"a": 1}}}, "`provider.options` is not supported"),
    ],
)
def test_unsupported_preference_is_rejected_by_name(
    provider: dict[str, Any], expected: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        chat.request(provider=provider)
    assert expected in str(caught.value)


@pytest.mark.parametrize("provider", ["acme", 1, ["acme"], True])
def test_provider_that_is_not_an_object_is_rejected(provider: object) -> None:
    with pytest.raises(InvalidInput, match="`provider` must be an object"):
        chat.request(provider=provider)
