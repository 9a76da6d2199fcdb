"""Asks a provider of the Messages API to count the tokens of a request, which costs nothing."""

from typing import Any

import msgspec

from modelgates_server.core.metering.request import InferenceRequest
from modelgates_server.core.pricing.catalog import Endpoint

COUNT_PATH = "messages/count_tokens"

_COUNTED = (
    *("messages", "system", "tools", "tool_choice", "thinking", "output_config"),
    *("cache_control", "context_management"),
)
"""The parameters that the operation has; it rejects others, such as `max_tokens`."""


class _Count(msgspec.Struct):
    input_tokens: int


_count = msgspec.json.Decoder(_Count)


def count_body(request: InferenceRequest, endpoint: Endpoint) -> bytes:
    """The body of the request to count."""
    members: dict[str, Any] = {"model": endpoint.upstream_model}
    members |= {name: request.wire[name] for name in _COUNTED if name in request.wire}
    return msgspec.json.encode(members)


def read_count(answer: bytes) -> int | None:
    """The count in a response; None if it has none."""
    try:
        tokens = _count.decode(answer).input_tokens
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return tokens if tokens >= 0 else None
