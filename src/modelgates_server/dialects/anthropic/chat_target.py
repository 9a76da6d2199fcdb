"""The parts of a conversation that only some providers of chat completions take."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from modelgates_server.core.pricing.catalog import Model
from modelgates_server.dialects.openai_chat.provider_profiles import BY_NAME


class ThinkingForm(StrEnum):
    """How a provider wants its own thinking of earlier turns back."""

    NONE = "none"
    TEXT = "reasoning_content"
    DETAILS = "reasoning_details"


_THINKING: Mapping[str, ThinkingForm] = {
    "openrouter": ThinkingForm.DETAILS,
    # Between tool calls of one turn, these reject a request without it.
    "deepseek": ThinkingForm.TEXT,
    "moonshot": ThinkingForm.TEXT,
    "zai": ThinkingForm.TEXT,
}
"""By the name of a provider's profile. Others ignore it, or reject a field that they do not know:
Groq and Mistral do."""

_HUB = "openai-chat"


class ChatTarget(msgspec.Struct, frozen=True):
    """The provider that reads the translated request.

    `keeps_caches` says that it reads `cache_control` in parts, and `links_files` that it opens the
    URL of a file.
    """

    thinking: ThinkingForm = ThinkingForm.NONE
    keeps_caches: bool = False
    links_files: bool = False


def target_of(model: Model | None) -> ChatTarget:
    """The target for an endpoint; a cautious one while that is unknown.

    If the endpoint speaks another dialect than the hub, its own translation decides.
    """
    if model is None:
        return ChatTarget()
    if model.endpoint.dialects[0] != _HUB:
        return ChatTarget(ThinkingForm.DETAILS)
    profile = BY_NAME[model.endpoint.profile]
    return ChatTarget(
        thinking=_THINKING.get(profile.name, ThinkingForm.NONE),
        keeps_caches=profile.is_openrouter,
        links_files=profile.is_openrouter,
    )
