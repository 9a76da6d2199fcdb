from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given

from modelgates_server.docsite.samples.php import NOTATION
from tests.docsite.samples.values import Evaluator, evaluator, values
from tests.e2e.samples.languages import LANGUAGES

EVALUATE = [
    "php",
    "-r",
    """
    while (($line = fgets(STDIN)) !== false) {
      $value = eval("return " . json_decode($line) . ";");
      echo json_encode($value, JSON_THROW_ON_ERROR), "\\n";
    }
    """,
]


@pytest.fixture(scope="module")
def language() -> Iterator[Evaluator]:
    LANGUAGES["php"].skip_without_tools()
    with evaluator(EVALUATE) as opened:
        yield opened


@given(value=values)
def test_value_is_unchanged_in_php(language: Evaluator, value: Any) -> None:
    code = NOTATION.write(value)
    assert language.value(code) == value
    assert all(line.isprintable() for line in code.split("\n"))
