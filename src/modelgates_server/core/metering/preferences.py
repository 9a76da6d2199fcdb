"""What a request demands of the endpoint that serves it: which it may be, and at which price."""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec

NAMES_MAX = 100
_Names = Annotated[tuple[str, ...], msgspec.Meta(max_length=NAMES_MAX)]


class MaxPrice(msgspec.Struct, frozen=True, kw_only=True):
    """Dollars: for a million tokens of prompt or completion, for a request, for an image."""

    prompt: Decimal | None = None
    completion: Decimal | None = None
    request: Decimal | None = None
    image: Decimal | None = None
    audio: Decimal | None = None


class Preferences(msgspec.Struct, frozen=True, kw_only=True):
    """The demands, under OpenRouter's names. An empty list demands nothing."""

    only: _Names | None = None
    ignore: _Names | None = None
    order: _Names | None = None
    allow_fallbacks: bool | None = None
    require_parameters: bool | None = None
    data_collection: Literal["allow", "deny"] | None = None
    zdr: bool | None = None
    max_price: MaxPrice = MaxPrice()
