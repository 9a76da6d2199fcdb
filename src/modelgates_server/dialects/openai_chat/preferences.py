"""Reads OpenRouter's `provider`: which endpoints may serve a request, and at which price.

No limit is dropped silently: an unknown field is rejected by name. Fields that only prefer one
endpoint over another (`sort`, `quantizations`, speeds) have no effect with a single endpoint.
"""

import difflib
import re
from decimal import Decimal

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.metering.preferences import MaxPrice, Preferences
from modelgates_server.dialects.json_object import (
    Grammar,
    JsonObject,
    misfit,
    read_object,
    says_nothing,
)

_AMOUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?", re.ASCII)


LIMITING = Preferences.__struct_fields__
"""The fields that limit a request. As top-level parameters they would have no effect."""

_PREFERRING = (
    "sort",
    "quantizations",
    "preferred_min_throughput",
    "preferred_max_latency",
    "min_throughput",
    "max_latency",
)
_REFUSED = {
    "enforce_distillable_text": (
        "this server does not know which models allow distillation. Leave it out."
    ),
    "options": "provider options are not forwarded. Send them as top-level parameters.",
}
_GRAMMAR = Grammar((*LIMITING, *_PREFERRING, *_REFUSED))
_PRICES = Grammar(MaxPrice.__struct_fields__)

_preferences = msgspec.json.Decoder(Preferences)


def read_preferences(raw: bytes) -> Preferences:
    """Read the parameter `provider`; raises `InvalidInput` that names the invalid field."""
    if raw == b"null":
        return Preferences()
    try:
        members = read_object(raw, "provider", _GRAMMAR)
        _refuse_unknown(members, "provider", _GRAMMAR)
        for name, reason in _REFUSED.items():
            if not says_nothing(bytes(members.pop(name, msgspec.Raw(b"null")))):
                raise InvalidInput(f"`provider.{name}` is not supported: {reason}")
        price = _max_price(bytes(members.pop("max_price", msgspec.Raw(b"null"))))
        preferences = _preferences.decode(msgspec.json.encode(members))
    except msgspec.DecodeError as error:
        raise misfit(error, "provider", raw, Preferences) from None
    return msgspec.structs.replace(preferences, max_price=price)


def _max_price(raw: bytes) -> MaxPrice:
    if raw == b"null":
        return MaxPrice()
    if not raw.startswith(b"{"):
        raise InvalidInput('`provider.max_price` must be an object, such as `{"prompt": 0.5}`.')
    members = read_object(raw, "provider.max_price", _PRICES)
    _refuse_unknown(members, "provider.max_price", _PRICES)
    return MaxPrice(**{name: _amount(name, bytes(price)) for name, price in members.items()})


def _amount(name: str, raw: bytes) -> Decimal | None:
    """An amount from a number or a string: OpenRouter's clients send either."""
    if raw == b"null":
        return None
    text = raw.decode().strip('"')
    if not _AMOUNT.fullmatch(text):
        raise InvalidInput(
            f"`provider.max_price.{name}` is not an amount: `{text:.40}`. "
            "Give US dollars, such as 0.5."
        )
    return Decimal(text)


def _refuse_unknown(members: JsonObject, path: str, grammar: Grammar) -> None:
    for name in members:
        if name not in grammar.names:
            near = difflib.get_close_matches(name[:80], grammar.names, n=1)
            hint = f"Did you mean `{near[0]}`?" if near else f"Known fields: {_listed(grammar)}."
            raise InvalidInput(f"Unknown field `{path}.{name:.80}`. {hint}")


def _listed(grammar: Grammar) -> str:
    return ", ".join(f"`{name}`" for name in sorted(grammar.names))
