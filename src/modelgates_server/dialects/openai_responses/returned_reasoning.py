"""Returns a model's earlier reasoning in the form that the provider takes.

DeepSeek, Moonshot and Z.ai reject a conversation with tool calls without it, or lose track; Groq,
Cerebras and Mistral reject the field. Signed reasoning goes back whole, or not at all.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from modelgates_server.core.pricing.catalog import Model
from modelgates_server.dialects.openai_chat.provider_profiles import BY_NAME
from modelgates_server.dialects.openai_responses.items import Item
from modelgates_server.dialects.openai_responses.reasoning_items import unpack

_HUB = "openai-chat"
_OWN_ID = "rs_gen-"
"""The start of the ids that this server gives to reasoning items: `rs_` and a generation's id."""


class ReasoningForm(StrEnum):
    """The form in which earlier reasoning is returned."""

    NONE = "none"
    TEXT = "reasoning_content"
    DETAILS = "reasoning_details"
    SIGNED = "signed reasoning_details"
    """For a translation to a third dialect, which needs only what a provider has to get back."""


_FORMS: Mapping[str, ReasoningForm] = {
    "openrouter": ReasoningForm.DETAILS,
    "deepseek": ReasoningForm.TEXT,
    "moonshot": ReasoningForm.TEXT,
    "zai": ReasoningForm.TEXT,
}
"""By the name of a provider's profile."""


def form_for(model: Model | None) -> ReasoningForm:
    """The form for the endpoint of a model; None if it is not known."""
    if model is None or model.endpoint.dialects[0] != _HUB:
        return ReasoningForm.SIGNED
    return _FORMS.get(BY_NAME[model.endpoint.profile].name, ReasoningForm.NONE)


def details_of(item: Item) -> list[dict[str, Any]]:
    """The details of a reasoning item that this server wrote; empty for one of another party."""
    if item.encrypted_content:
        return unpack(item.encrypted_content) or []
    text = "".join(part.text for part in item.summary or ())
    is_own = text and (item.id or "").startswith(_OWN_ID)
    return [{"type": "reasoning.text", "text": text}] if is_own else []


def returnable(details: list[dict[str, Any]], form: ReasoningForm) -> list[dict[str, Any]]:
    """The details that can be returned in this form."""
    if form is ReasoningForm.NONE:
        return []
    if form is ReasoningForm.DETAILS:
        return details
    is_signed = form is ReasoningForm.SIGNED
    return [each for each in details if ("signature" in each or "data" in each) is is_signed]


def fields_of(details: list[dict[str, Any]], form: ReasoningForm) -> dict[str, Any]:
    """The fields of an assistant's message for returnable details."""
    texts = [each.get("text") for each in details]
    text = "".join(each for each in texts if isinstance(each, str))
    if form is ReasoningForm.TEXT:
        return {"reasoning_content": text} if text else {}
    written = {"reasoning": text} if text else {}
    return {**written, "reasoning_details": details} if details else {}
