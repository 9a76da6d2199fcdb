"""The requirements of a request for the endpoint that serves it, such as a maximum price."""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec

NAMES_MAX = 100
_Names = Annotated[tuple[str, ...], msgspec.Meta(max_length=NAMES_MAX)]


class MaxPrice(msgspec.Struct, frozen=True, kw_only=True):
    """Maximum prices in dollars: per million prompt or completion tokens, request, image."""

    prompt: Decimal | None = None
    completion: Decimal | None = None
    request: Decimal | None = None
    image: Decimal | None = None
    audio: Decimal | None = None


class Preferences(msgspec.Struct, frozen=True, kw_only=True):
    """The requirements, under OpenRouter's names. An empty list requires nothing."""

    only: _Names | None = None
    ignore: _Names | None = None
    order: _Names | None = None
    allow_fallbacks: bool | None = None
    require_parameters: bool | None = None
    data_collection: Literal["allow", "deny"] | None = None
    zdr: bool | None = None
    max_price: MaxPrice = MaxPrice()
