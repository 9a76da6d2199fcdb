from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given

from modelgates_server.docsite.samples.ruby import NOTATION
from tests.docsite.samples.values import Evaluator, evaluator, values
from tests.e2e.samples.languages import LANGUAGES

EVALUATE = [
    "ruby",
    "-rjson",
    "-e",
    """
    $stdout.sync = true
    $stdin.set_encoding("UTF-8")
    while line = gets
      puts JSON.generate(eval(JSON.parse(line)))
    end
    """,
]


@pytest.fixture(scope="module")
def language() -> Iterator[Evaluator]:
    LANGUAGES["ruby"].skip_without_tools()
    with evaluator(EVALUATE) as opened:
        yield opened


@given(value=values)
def test_value_is_unchanged_in_ruby(language: Evaluator, value: Any) -> None:
    code = NOTATION.write(value)
    assert language.value(code) == value
    assert all(line.isprintable() for line in code.split("\n"))
