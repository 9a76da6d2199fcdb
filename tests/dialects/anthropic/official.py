"""Validates requests with the types of the official packages."""

from typing import Any

from anthropic.types.message_create_params import MessageCreateParamsBase
from openai.types.chat.completion_create_params import CompletionCreateParamsBase
from pydantic import TypeAdapter

_MESSAGES = TypeAdapter[Any](MessageCreateParamsBase)
_CHAT = TypeAdapter[Any](CompletionCreateParamsBase)
_GATEWAYS = ("provider", "session_id", "trace", "reasoning", "stream", "top_k")


def _drain(value: Any) -> None:
    """Lists are validated when they are read."""
    if isinstance(value, dict):
        for each in value.values():
            _drain(each)
    elif hasattr(value, "__iter__") and not isinstance(value, str | bytes):
        for each in value:
            _drain(each)


def check_messages(body: dict[str, Any]) -> None:
    """Raises if Anthropic's package does not know this request."""
    _drain(_MESSAGES.validate_python(body))


def check_chat(body: dict[str, Any]) -> None:
    """Raises if OpenAI's package does not know this request."""
    _drain(_CHAT.validate_python({n: v for n, v in body.items() if n not in _GATEWAYS}))
