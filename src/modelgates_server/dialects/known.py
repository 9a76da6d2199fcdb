"""The dialects by name."""

from collections.abc import Mapping

from modelgates_server.dialects.dialect import Dialect
from modelgates_server.dialects.openai_chat.dialect import OPENAI_CHAT

DIALECTS: Mapping[str, Dialect] = {OPENAI_CHAT.name: OPENAI_CHAT}
