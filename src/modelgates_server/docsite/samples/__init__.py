"""Code samples that call an operation, in nine languages, built from the OpenAPI document."""

from types import ModuleType
from typing import Any

import msgspec

from modelgates_server.docsite.samples import (
    csharp,
    curl,
    go,
    java,
    javascript,
    php,
    python,
    ruby,
    swift,
)
from modelgates_server.docsite.samples.request import request_of

_LANGUAGES: list[tuple[str, str, ModuleType]] = [
    ("curl", "cURL", curl),
    ("python", "Python", python),
    ("javascript", "JavaScript", javascript),
    ("go", "Go", go),
    ("ruby", "Ruby", ruby),
    ("java", "Java", java),
    ("php", "PHP", php),
    ("csharp", "C#", csharp),
    ("swift", "Swift", swift),
]

_LEXERS = {"curl": "bash"}


class Sample(msgspec.Struct, frozen=True):
    """A program that calls an operation and prints the response.

    `label` is the name of the language for people, `highlight` that of Pygments' lexer. `note` is a
    sentence of plain text that says what the program needs.
    """

    language: str
    label: str
    highlight: str
    code: str
    note: str


def samples_of(document: dict[str, Any], path: str, method: str) -> tuple[Sample, ...]:
    """The samples of an operation, always in the same order.

    The servers of `document` have absolute URLs, and `path` is a key of its `paths`.
    """
    request = request_of(document, path, method)
    return tuple(
        Sample(language, label, _LEXERS.get(language, language), module.code(request), module.NOTE)
        for language, label, module in _LANGUAGES
    )
