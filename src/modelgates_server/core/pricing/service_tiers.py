"""Service tiers: the classes of speed and price in which providers sell the same model.

What may be asked for, what leaves for the provider, and which rates a served call is charged at.
Words: OpenAI and Azure know auto, default, flex, priority and scale; Groq auto, on_demand, flex and
performance; Anthropic asks for auto or standard_only and serves standard, priority or batch; Gemini
knows standard, flex and priority. Reasons: docs/decisions/0018-the-served-tier-is-charged.md.
"""

from typing import Any

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.pricing.prices import Charge, Price, charge_for, used_pico
from modelgates_server.core.pricing.usage import Usage

STANDARD = frozenset({"default", "standard", "standard_only", "on_demand"})
"""Other words for the tier that every price has rates for."""

AUTO = "auto"
"""A wish, never what was served: whatever the project is set to at the provider."""

_TEXT_MAX_CHARS = 255


def service_tiers_allowed(price: Price, requested: str | None) -> tuple[str, ...]:
    """The service tiers other than the standard one that may serve a request; the hold covers them.

    The standard one always may: a tier without room left hands over to it. A request that names
    none gets what the project is set to, which is what `auto` means. Raises `InvalidInput` for a
    tier without a price.
    """
    if requested is None or requested == AUTO:
        return price.service_tiers
    if requested in STANDARD:
        return ()
    if requested in price.service_tiers:
        return (requested,)
    known = ", ".join((AUTO, "default", *price.service_tiers))
    raise InvalidInput(
        f"service_tier {requested!r:.80} has no price here: leave it out, or use one of {known}"
    )


def service_tier_to_send(price: Price, requested: str | None, standard: str) -> str | None:
    """What replaces the client's word on the way to the provider; None: it stays as it is.

    The standard tier leaves under the provider's word `standard`, as each refuses those of others.
    So does `auto` where no other tier has a price: the provider would choose one without.
    """
    is_standard = requested in STANDARD or (requested == AUTO and not price.service_tiers)
    return standard if is_standard else None


def reported_service_tier(*reported: Any) -> str | None:
    """The first of some members of an answer that says which tier served it."""
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
    """What a call costs, and the service tier whose rates those are (None: the standard one).

    The tier that served is charged, and the requested one where the provider does not say. One
    without a price is charged as standard, and so is a dearer one that was not asked for.
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
    """A tier by its name in prices; None: the standard one."""
    name = None if word is None else word.casefold()
    return None if name in STANDARD or name == AUTO else name
