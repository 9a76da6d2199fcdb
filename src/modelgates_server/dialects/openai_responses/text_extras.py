"""Annotations and probabilities of a text, in the form of this API and in that of chat completions.

Sources: the types of OpenAI's client for both APIs.
"""

from collections.abc import Iterator
from typing import Any

_CITATION = "url_citation"
_CITED: dict[str, Any] = {"url": "", "title": "", "start_index": 0, "end_index": 0}


def response_annotations(given: Any) -> Iterator[dict[str, Any]]:
    """The citations among annotations of chat completions; others have no counterpart."""
    for each in given if isinstance(given, list) else ():
        inner = each.get(_CITATION) if isinstance(each, dict) else None
        if isinstance(inner, dict):
            yield {"type": _CITATION, **_citation(inner)}


def chat_annotations(given: Any) -> list[dict[str, Any]]:
    """The citations among annotations of this API."""
    return [
        {"type": _CITATION, _CITATION: _citation(each)}
        for each in (given if isinstance(given, list) else ())
        if isinstance(each, dict) and each.get("type") == _CITATION
    ]


def response_logprobs(given: Any) -> list[Any]:
    """Probabilities of tokens; chat completions have null where a token has no bytes."""
    return [
        {**_token(each), "top_logprobs": [_token(top) for top in each.get("top_logprobs") or ()]}
        for each in given or ()
    ]


def chat_logprobs(given: Any) -> dict[str, Any]:
    """`logprobs` of a choice; this API leaves bytes and alternatives out of deltas."""
    return {"content": [{"bytes": None, "top_logprobs": [], **each} for each in given]}


def _citation(given: dict[str, Any]) -> dict[str, Any]:
    return {name: given.get(name) or default for name, default in _CITED.items()}


def _token(given: dict[str, Any]) -> dict[str, Any]:
    return {**given, "bytes": given.get("bytes") or []}
