"""The dialects by name."""

from collections.abc import Mapping

from modelgates_server.dialects.dialect import Dialect
from modelgates_server.dialects.openai_chat.dialect import OPENAI_CHAT
from modelgates_server.dialects.translation import Translation

HUB = OPENAI_CHAT
"""The dialect that all others are translated to and from."""

DIALECTS: Mapping[str, Dialect] = {OPENAI_CHAT.name: OPENAI_CHAT}

TRANSLATIONS: Mapping[str, Translation] = {}
"""The translation of each dialect but the hub."""
