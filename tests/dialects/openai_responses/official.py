"""The official packages as judges of events and responses: types, and an accumulator."""

from collections.abc import Iterable
from typing import Any

import openrouter.components
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

_event: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
_BEYOND_ERROR_CODES = ("insufficient_quota",)
"""Codes of failed responses that OpenAI sends, and that its types lack."""


def check_response(response: dict[str, Any]) -> None:
    """Fails unless both packages accept the response, and OpenAI's strictly."""
    Response.model_validate(_typed(response), strict=True)
    openrouter.components.OpenResponsesResult.model_validate(response)


def check_events(events: Iterable[dict[str, Any]]) -> None:
    """Fails unless the types of OpenAI's client accept each event, and the numbers have no gap."""
    for number, event in enumerate(events):
        assert event["sequence_number"] == number, event
        if "response" in event:
            check_response(event["response"])
        _event.validate_python(_typed_event(event), strict=True)


def accumulated(events: Iterable[dict[str, Any]]) -> Any:
    """The response that OpenAI's client shows at the end of the stream; None without a good end."""
    state: Any = ResponseStreamState(input_tools=omit, text_format=omit)
    for event in events:
        state.handle_event(_event.validate_python(_typed_event(event)))
    return state._completed_response  # the client returns exactly this


def _typed_event(event: dict[str, Any]) -> dict[str, Any]:
    return {**event, "response": _typed(event["response"])} if "response" in event else event


def _typed(response: dict[str, Any]) -> dict[str, Any]:
    error = response.get("error") or {}
    if error.get("code") in _BEYOND_ERROR_CODES:
        return {**response, "error": {**error, "code": "server_error"}}
    return response
