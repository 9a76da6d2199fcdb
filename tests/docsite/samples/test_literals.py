import json
from typing import Any

from hypothesis import given

from modelgates_server.docsite.samples.literals import JSON, WIDTH
from tests.docsite.samples.values import values


@given(value=values)
def test_json_has_the_value_that_it_was_written_from(value: Any) -> None:
    assert json.loads(JSON.write(value)) == value


@given(value=values)
def test_json_cannot_end_a_string_around_it(value: Any) -> None:
    text = JSON.write(value)
    assert '"""' not in text
    assert all(line.isprintable() for line in text.split("\n"))
    assert not any(line != line.rstrip() for line in text.split("\n"))


def test_value_has_one_line_if_it_fits_and_several_otherwise() -> None:
    fits = {"a": ["b" * (WIDTH - len('{"a": [""]}'))]}
    assert JSON.write(fits) == json.dumps(fits)
    assert len(JSON.write(fits)) == WIDTH
    assert JSON.write(fits, used=1) == f'{{\n  "a": {json.dumps(fits["a"])}\n}}'
    assert JSON.write(fits, indent=" ").startswith("{\n   ")
    assert JSON.write([], used=WIDTH) == "[]"
    assert JSON.write({"long": {"a": "b" * WIDTH, "c": [1]}}).split("\n") == [
        "{",
        '  "long": {',
        f'    "a": "{"b" * WIDTH}",',
        '    "c": [1]',
        "  }",
        "}",
    ]
