"""Finds the parameter that a provider's error rejects, among those that the gateway added."""

import re
from collections.abc import Iterable

import msgspec

from modelgates_server.dialects.json_object import JsonObject

_STATUSES = frozenset({400, 422})

_CODES = frozenset({"unsupported_parameter", "unknown_parameter"})

_KIND = r"(?:request |keyword |input )?(?:parameter|argument|field|property|name|key|option)s?"
_BEFORE = (
    # OpenAI, Azure: "Unrecognized request argument supplied: x" and "Unknown parameter: 'x'".
    rf"(?:unsupported|unknown|unrecogni[sz]ed|unexpected|extra) {_KIND}(?: supplied| was| is)?:?",
    # The same model of xAI says "does not support parameter reasoningEffort".
    r"does(?: not|n't) support (?:the )?(?:parameter |argument |field )?:?",
)
_NOT = r"not (?:supported|permitted|allowed|recogni[sz]ed)|unsupported|unknown|unexpected"
_AFTER = (
    # OpenAI: "'x' is not supported with this model". Groq, Cerebras: "property 'x' is unsupported".
    rf"(?: parameter| field)? (?:is|are|was) (?:{_NOT})",
    # Cohere: "parameter 'x' is not a valid field".
    rf" is not a (?:valid|known|supported) {_KIND}",
    # Gemini writes "Unknown name" in front as well.
    r": cannot find field",
    # Servers with pydantic, in one line: "x: Extra inputs are not permitted".
    r":? extra (?:inputs|fields) (?:are )?not permitted",
)
_EXTRA = re.compile(
    r"extra_forbidden|value_error\.extra|extra (?:inputs|fields) (?:are )?not", re.IGNORECASE
)
_OBJECT = re.compile(r"\{[^{}]*")
_TEXT_MAX_BYTES = 16 * 1024


def refused_parameter(wire: JsonObject, sent: bytes, status: int, error: bytes) -> str | None:
    """The parameter in `sent` that the error clearly rejects, unless the client sent it itself.

    An error about a value names no such parameter: "max_tokens is too large".
    """
    if status not in _STATUSES or not error:
        return None
    # Mistral and others quote JSON within a text.
    text = error[:_TEXT_MAX_BYTES].decode("utf-8", "replace").replace("\\", "")
    return next((name for name in _added(wire, sent) if _is_refused(name, text, error)), None)


def _added(wire: JsonObject, sent: bytes) -> Iterable[str]:
    """The names that the gateway chose. It may replace the client's word for a service tier."""
    members = msgspec.json.decode(sent, type=JsonObject)
    for name, raw in members.items():
        own = bytes(wire.get(name, b"null"))
        if own == b"null" or (name == "service_tier" and own != bytes(raw)):
            yield name


def _is_refused(name: str, text: str, error: bytes) -> bool:
    spelled = "_?".join(name.split("_"))
    # Only a parameter at the top: not `messages.2.reasoning`, but `stream_options.include_usage`.
    quoted = rf"[\"'`]?(?<![\w.]){spelled}(?:\.\w+){{0,4}}(?!\w|\.\w)[\"'`]?"
    if any(re.search(f"{phrase} ?{quoted}", text, re.IGNORECASE) for phrase in _BEFORE):
        return True
    if any(re.search(f"{quoted}{phrase}", text, re.IGNORECASE) for phrase in _AFTER):
        return True
    return _is_param(name, error) or _is_extra(spelled, text)


def _is_param(name: str, error: bytes) -> bool:
    """OpenAI's own form: the name in `param`, and a code that says that it is unknown."""
    try:
        body = msgspec.json.decode(error)
        inner = body["error"]
        return bool(inner["param"].partition(".")[0] == name and inner["code"] in _CODES)
    except (msgspec.DecodeError, RecursionError, KeyError, TypeError, AttributeError):
        return False


def _is_extra(spelled: str, text: str) -> bool:
    """Pydantic's form, as JSON or as Python's text of it: `{"type", "loc": ["body", name]}`."""
    place = re.compile(rf"loc[\"']: ?[\[(](?:[\"']body[\"'], ?)?[\"']{spelled}[\"'],?[\])]")
    return any(
        place.search(match[0]) and _EXTRA.search(match[0]) for match in _OBJECT.finditer(text)
    )
