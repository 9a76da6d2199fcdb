"""Reads from a provider's error how long to wait, for errors without a `Retry-After` header.

Gemini sends `error.details[].retryDelay` ("39s"), others a field such as `retry_after`, OpenAI,
Groq and Azure only a sentence: "Please try again in 1m0.36s."
"""

import math
import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from typing import Any

from modelgates_server.core.errors import RETRY_AFTER_MAX_S

_SECONDS = frozenset(
    {
        *("retrydelay", "retryafter", "retryafterseconds", "retryafters", "retryafterinseconds"),
        *("retryaftersec", "retryin"),
    }
)
_MILLISECONDS = frozenset({"retryafterms", "retryaftermilliseconds", "retryaftermillis"})

_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,18})?"
_UNIT = r"(?:milliseconds?|msecs?|ms|minutes?|mins?|hours?|hrs?|seconds?|secs?|[hms])(?![a-z])"
_PART = re.compile(rf"({_NUMBER})\s*({_UNIT})", re.IGNORECASE)
_SENTENCE = re.compile(
    rf"\b(?:retry|again|wait)(?:\s+your\s+request)?(?:\s+(?:in|after|for|about|at\s+least)){{1,2}}\s+"
    rf"((?:{_NUMBER}\s*{_UNIT}[\s,]*(?:and\s+)?){{1,4}})",
    re.IGNORECASE,
)
_BARE = re.compile(_NUMBER)
_UNITS = {"h": Decimal(3600), "m": Decimal(60), "s": Decimal(1), "ms": Decimal("0.001")}

_DEPTH_MAX = 5
_VALUES_MAX = 64
_TEXT_MAX_CHARS = 2000


def wait_s(error: Any) -> int | None:
    """Seconds to wait, rounded up and at most an hour; None if the error does not say."""
    values = list(islice(_values(error, _DEPTH_MAX), _VALUES_MAX))
    for name, value in values:
        word = name.lower().replace("_", "").replace("-", "")
        if word in _SECONDS and (seconds := _duration(value, Decimal(1))) is not None:
            return _bounded(seconds)
        if word in _MILLISECONDS and ((seconds := _duration(value, Decimal("0.001"))) is not None):
            return _bounded(seconds)
    texts = [value for _, value in values if isinstance(value, str)]
    for text in texts:
        if (match := _SENTENCE.search(text[:_TEXT_MAX_CHARS])) is not None:
            return _bounded(_parts(match[1]) or Decimal(0))
    return None


def _values(value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    """The fields of all objects within a value, objects themselves included."""
    if isinstance(value, str):
        yield "", value
    elif isinstance(value, list) and depth:
        for inner in value[:_VALUES_MAX]:
            yield from _values(inner, depth - 1)
    elif isinstance(value, dict) and depth:
        for name, inner in list(value.items())[:_VALUES_MAX]:
            yield name, inner
            if isinstance(inner, dict | list):
                yield from _values(inner, depth - 1)


def _duration(value: Any, unit: Decimal) -> Decimal | None:
    if isinstance(value, dict):  # a duration of protobuf
        seconds, nanos = value.get("seconds", 0), value.get("nanos", 0)
        whole, rest = _duration(seconds, unit), _duration(nanos, Decimal(1))
        return None if whole is None else whole + (rest or Decimal(0)) / 10**9
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        is_sane = math.isfinite(value) and 0 <= value < 10**15
        return Decimal(value) * unit if is_sane else None
    if not isinstance(value, str):
        return None
    text = value.strip()[:_TEXT_MAX_CHARS]
    return Decimal(text) * unit if _BARE.fullmatch(text) else _parts(text)


def _parts(text: str) -> Decimal | None:
    """A duration such as `1m30.5s`, `20ms` or `26 seconds`."""
    parts = [Decimal(number) * _UNITS[_letter(unit)] for number, unit in _PART.findall(text)]
    return sum(parts, Decimal(0)) if parts else None


def _letter(unit: str) -> str:
    word = unit.lower()
    return "ms" if word.startswith(("ms", "mil")) else word[0]


def _bounded(seconds: Decimal) -> int:
    return min(math.ceil(seconds), RETRY_AFTER_MAX_S)
