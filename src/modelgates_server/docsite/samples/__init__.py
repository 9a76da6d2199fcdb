"""Samples of code that call an operation, in eight languages, out of the OpenAPI document."""

from types import ModuleType
from typing import Any

import msgspec

from modelgates_server.docsite.samples import (
    csharp,
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
    ("python", "Python", python),
    ("javascript", "JavaScript", javascript),
    ("go", "Go", go),
    ("ruby", "Ruby", ruby),
    ("java", "Java", java),
    ("php", "PHP", php),
    ("csharp", "C#", csharp),
    ("swift", "Swift", swift),
]


class Sample(msgspec.Struct, frozen=True):
    """A program that calls an operation and prints the answer.

    `label` names the language for people, `highlight` the lexer of Pygments. `note` is a sentence
    of plain text, about what the program needs.
    """

    language: str
    label: str
    highlight: str
    code: str
    note: str


def samples_of(document: dict[str, Any], path: str, method: str) -> tuple[Sample, ...]:
    """The samples of an operation, always in the same order.

    `document` has whole addresses in its servers; `path` is a key of its `paths`.
    """
    request = request_of(document, path, method)
    return tuple(
        Sample(language, label, language, module.code(request), module.NOTE)
        for language, label, module in _LANGUAGES
    )
