"""Hints about a text that was sent as a key and has not the form of one.

A hint depends on nothing that is stored, so it shows nothing to someone who guesses, and it repeats
no part of the text.
"""

import re
from collections.abc import Callable

from modelgates_server.core.ids import CHECKSUM_CHARS, checksum
from modelgates_server.core.keys import KEY_TEXT_CHARS, PREFIX, is_key_shaped

_SHAPE = f"A key has {KEY_TEXT_CHARS} characters and begins with `{PREFIX}`."
_COPY = "Copy the whole key again."

_QUOTES = "\"'`<>[]{}()"
_UNSET = frozenset({"none", "null", "undefined", "nil", "nan", "false", "true", "[object object]"})
_VARIABLE = re.compile(r"\$\{?\w+\}?|%\w+%|\$env:\w+|\{\{.*\}\}|process\.env\..*|os\.environ.*")
_PLACEHOLDER = re.compile(
    r"your|[_-]here|api[_-]?key|place.?holder|change.?me|replace|example|dummy|xxx|\.\.\.|…|\*\*\*"
    r"|^(?:test|fake|key|token|secret|empty|sk|no.?key|not.?needed|anything|local|lm-studio|ollama)$"
    r"|^sk-(?:test|fake|key|local|1234?|no)\b",
    re.IGNORECASE,
)
_OTHERS = {
    "sk-or-": "OpenRouter",
    "sk-ant-": "Anthropic",
    "gsk_": "Groq",
    "AIza": "Google",
    "xai-": "xAI",
    "pplx-": "Perplexity",
    "hf_": "Hugging Face",
    "r8_": "Replicate",
    "sk-proj-": "OpenAI",
    "sk-": "OpenAI or a similar provider",
}
"""Issuers of keys by the start of their keys, longer starts first."""


def key_hint(text: str) -> str | None:
    """Returns what is wrong with a text and what to do; None if it has the form of a key."""
    if is_key_shaped(text):
        body, sent = text[:-CHECKSUM_CHARS], text[-CHECKSUM_CHARS:]
        return None if checksum(body) == sent else f"The checksum of the key is wrong. {_COPY}"
    return next(hint for find in _FINDERS if (hint := find(text)) is not None)


def _empty(text: str) -> str | None:
    return None if text.strip() else f"The key is empty. {_SHAPE}"


def _variable(text: str) -> str | None:
    if _VARIABLE.fullmatch(text):
        return "The key is the name of a variable, not its value. Check how the variable is read."
    if text.lower() in _UNSET:
        return "The key is the text of an unset variable. Set the variable to the key."
    return None


def _quoted(text: str) -> str | None:
    if text[0] in _QUOTES or text[-1] in _QUOTES:
        return "The key is in quotes or brackets. Send it without them."
    return None


def _twice(text: str) -> str | None:
    if text.lower().startswith("bearer"):
        return (
            "The key begins with `Bearer`. Give the client the key alone; it adds `Bearer` itself."
        )
    return None


def _spaced(text: str) -> str | None:
    if any(each.isspace() for each in text):
        return "The key contains white space. Send the key alone, in one piece."
    return None


def _malformed(text: str) -> str | None:
    if not text.lower().startswith(PREFIX):
        return None
    if not text.startswith(PREFIX):
        return f"A key begins with `{PREFIX}`, in lower case. {_COPY}"
    if len(text) < KEY_TEXT_CHARS:
        missing = KEY_TEXT_CHARS - len(text)
        return (
            f"The key is cut off: {missing} of its {KEY_TEXT_CHARS} characters are missing. {_COPY}"
        )
    if len(text) > KEY_TEXT_CHARS:
        return f"The key is too long: it has {len(text)} characters, not {KEY_TEXT_CHARS}. {_COPY}"
    return f"The key contains a character other than letters and digits. {_COPY}"


def _placeholder(text: str) -> str | None:
    if _PLACEHOLDER.search(text[:KEY_TEXT_CHARS]):
        return f"The key is a placeholder. Replace it with a key of this server. {_SHAPE}"
    return None


def _foreign(text: str) -> str | None:
    for start, issuer in _OTHERS.items():
        if text.startswith(start):
            return f"This is a key of {issuer}. Use a key of this server. {_SHAPE}"
    return None


def _unlike(_: str) -> str | None:
    return f"This is not a key of this server. {_SHAPE}"


_FINDERS: tuple[Callable[[str], str | None], ...] = (
    *(_empty, _variable, _quoted, _twice, _spaced, _malformed, _placeholder, _foreign, _unlike),
)
