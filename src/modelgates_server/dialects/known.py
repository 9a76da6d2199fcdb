"""The dialects by name."""

from collections.abc import Mapping

from modelgates_server.dialects.anthropic.dialect import ANTHROPIC, ANTHROPIC_TRANSLATION
from modelgates_server.dialects.dialect import Dialect
from modelgates_server.dialects.openai_chat.dialect import OPENAI_CHAT
from modelgates_server.dialects.openai_responses.dialect import (
    OPENAI_RESPONSES,
    OPENAI_RESPONSES_TRANSLATION,
)
from modelgates_server.dialects.translation import Translation

HUB = OPENAI_CHAT
"""The dialect that all others are translated to and from."""

DIALECTS: Mapping[str, Dialect] = {
    each.name: each for each in (OPENAI_CHAT, OPENAI_RESPONSES, ANTHROPIC)
}

TRANSLATIONS: Mapping[str, Translation] = {
    OPENAI_RESPONSES.name: OPENAI_RESPONSES_TRANSLATION,
    ANTHROPIC.name: ANTHROPIC_TRANSLATION,
}
"""The translation of each dialect but the hub."""
