import ast
from typing import Any

from hypothesis import given

from modelgates_server.docsite.samples.python import NOTATION
from tests.docsite.samples.values import values


@given(value=values)
def test_value_is_unchanged_in_python(value: Any) -> None:
    code = NOTATION.write(value)
    assert ast.literal_eval(code) == value
    assert all(line.isprintable() for line in code.split("\n"))
