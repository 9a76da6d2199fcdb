"""The packed details of a reasoning item."""

from typing import Any

from modelgates_server.dialects.openai_responses.reasoning_items import unpack


def unpacked(item: dict[str, Any]) -> list[dict[str, Any]]:
    details = unpack(item["encrypted_content"])
    assert details is not None
    return details
