from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given

from modelgates_server.docsite.samples.javascript import NOTATION
from tests.docsite.samples.values import Evaluator, evaluator, values
from tests.e2e.samples.languages import LANGUAGES

EVALUATE = [
    "node",
    "-e",
    """
    const lines = require("node:readline").createInterface({input: process.stdin});
    lines.on("line", (line) => console.log(JSON.stringify((0, eval)(`(${JSON.parse(line)})`))));
    """,
]


@pytest.fixture(scope="module")
def language() -> Iterator[Evaluator]:
    LANGUAGES["javascript"].skip_without_tools()
    with evaluator(EVALUATE) as opened:
        yield opened


@given(value=values)
def test_value_is_unchanged_in_javascript(language: Evaluator, value: Any) -> None:
    code = NOTATION.write(value)
    assert language.value(code) == value
    assert all(line.isprintable() for line in code.split("\n"))


def test_field_with_the_name_of_the_prototype_is_an_ordinary_field(language: Evaluator) -> None:
    value = {"__proto__": {"a": 1}}
    assert language.value(NOTATION.write(value)) == value
