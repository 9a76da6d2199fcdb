"""Service tiers: the classes of speed and price in which providers sell the same model.

These rules decide which tiers a client may request, what is sent to the provider, and which rates
are charged. OpenAI and Azure have auto, default, flex, priority and scale. Groq has auto,
on_demand, flex and performance. Gemini has standard, flex and priority. Anthropic accepts auto and
standard_only, and reports standard, priority or batch.
Reasons: docs/decisions/0018-the-served-tier-is-charged.md.
"""

from typing import Any

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.pricing.prices import Charge, Price, charge_for, used_pico
from modelgates_server.core.pricing.usage import Usage

STANDARD = frozenset({"default", "standard", "standard_only", "on_demand"})
"""The names of the standard tier, for which every price has rates."""

AUTO = "auto"
"""A request for the tier that the provider's project is set to. No call is served at `auto`."""

_TEXT_MAX_CHARS = 255


def service_tiers_allowed(price: Price, requested: str | None) -> tuple[str, ...]:
    """Returns the tiers that may serve a request in addition to the standard one.

    The hold covers them. The standard tier can always serve: providers fall back to it if a tier
    has no capacity. A request without a tier is served at the tier that the provider's project is
    set to, like `auto`. Raises `InvalidInput` for a tier without a price.
    """
    if requested is None or requested == AUTO:
        return price.service_tiers
    if requested in STANDARD:
        return ()
    if requested in price.service_tiers:
        return (requested,)
    known = ", ".join((AUTO, "default", *price.service_tiers))
    raise InvalidInput(
        f"`service_tier` {requested!r:.80} has no price here. Leave it out, or use one of {known}."
    )


def service_tier_to_send(price: Price, requested: str | None, standard: str) -> str | None:
    """Returns the tier to send in place of the client's word; None leaves it unchanged.

    The standard tier is sent as `standard`, the provider's own word, because providers reject each
    other's words. `auto` is sent as `standard` as well if no other tier has a price: otherwise the
    provider might choose a tier without a price.
    """
    is_standard = requested in STANDARD or (requested == AUTO and not price.service_tiers)
    return standard if is_standard else None


def reported_service_tier(*reported: Any) -> str | None:
    """Returns the first of some fields of a response that names the tier that served it."""
    for word in reported:
        if isinstance(word, str) and word and word != AUTO:
            return word[:_TEXT_MAX_CHARS]
    return None


def charge_as_served(
    price: Price,
    usage: Usage,
    markup_bp: int,
    held_pico: int,
    *,
    requested: str | None,
    served: str | None,
) -> tuple[Charge, str | None]:
    """Returns the charge of a call, and the service tier of its rates (None: the standard one).

    The tier that served the call is charged, or the requested one if the provider names none. A
    tier without a price is charged as standard. So is a more expensive one that was not requested.
    """
    service_tier = service_tier_named(requested if served is None else served)
    standard = charge_for(price, usage, markup_bp, held_pico)
    if service_tier not in price.service_tiers:
        return standard, None
    charge = charge_for(price, usage, markup_bp, held_pico, service_tier)
    allowed = service_tier in service_tiers_allowed(price, requested)
    if allowed or used_pico(charge) <= used_pico(standard):
        return charge, service_tier
    return standard, None


def service_tier_named(word: str | None) -> str | None:
    """Returns the name of a tier in prices; None for the standard one."""
    name = None if word is None else word.casefold()
    return None if name in STANDARD or name == AUTO else name
