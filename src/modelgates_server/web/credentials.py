"""Finds the key of a request: `Authorization: Bearer` wins over `x-api-key` over `api-key`.

Clients of Anthropic's API send the second, clients of Azure's the third. A header
without a key does not hide one in another header.
"""

from collections.abc import Iterable

from modelgates_server.core.errors import InvalidInput, MissingKey
from modelgates_server.core.keys import is_key_shaped

_SCHEME = "bearer "
_PRECEDENCE = (b"authorization", b"x-api-key", b"api-key")

NAMES = frozenset(_PRECEDENCE)
"""The names of the headers, in lower case."""


def key_of(credentials: Iterable[tuple[bytes, bytes]]) -> str:
    """The key in these headers, in a form that may be wrong.

    Raises `MissingKey`, and `InvalidInput` for two different keys: a proxy may have obeyed the
    other one.
    """
    ordered = sorted(credentials, key=lambda header: _PRECEDENCE.index(header[0]))
    texts = [(name, _text_in(name, value)) for name, value in ordered]
    given = [each for each in texts if each[1]]
    if not given:
        raise MissingKey(_hint(ordered))
    name, key = given[0]
    if len(texts) > 1:
        _check_alike([text for _, text in texts], [text for each, text in texts if each == name])
    return key


def _check_alike(texts: list[str], of_one_header: list[str]) -> None:
    if len({text for text in texts if is_key_shaped(text)}) > 1:
        raise InvalidInput(
            "The request has two different keys. Send one of them, as `Authorization: Bearer`, "
            "`x-api-key` or `api-key`."
        )
    if len(set(of_one_header)) > 1:
        raise MissingKey("The header for the key is sent twice, with two values. Send it once.")


def _text_in(name: bytes, raw: bytes) -> str:
    value = raw.decode("latin-1")
    if name != _PRECEDENCE[0]:
        return value.strip(" \t")
    return value[len(_SCHEME) :].strip(" ") if value[: len(_SCHEME)].lower() == _SCHEME else ""


def _hint(headers: list[tuple[bytes, bytes]]) -> str | None:
    """Returns what is wrong with headers that have no key; None without such headers."""
    if not headers:
        return None
    value = headers[0][1].strip().lower()
    if headers[0][0] != _PRECEDENCE[0] or value in (b"", b"bearer"):
        return "The header for the key has no key. Check that the client's setting is not empty."
    return (
        "`Authorization` must be `Bearer`, one space, and the key. Another scheme, or none, is not "
        "read."
    )
