"""The usage of a response for `openai_chat.usage`, which knows the names of this API as well.

There is no other reading of usage, so that a call costs the same whether it passes through or is
translated.
"""

from collections.abc import Mapping
from typing import Any

from modelgates_server.dialects.openai_chat.usage import read_count

_SEARCHES = "num_search_queries"
"""The name under which usage without a price is noticed."""


def usage_of(response: Mapping[str, Any]) -> dict[str, Any] | None:
    """The usage, with the searches that OpenAI counts next to it; None if there is none."""
    usage = response.get("usage")
    if not isinstance(usage, dict):
        return None
    searches = _inner(_inner(response, "tool_usage"), "web_search").get("num_requests")
    return {**usage, _SEARCHES: searches} if read_count(searches) else usage


def _inner(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inner = value.get(name)
    return inner if isinstance(inner, dict) else {}
