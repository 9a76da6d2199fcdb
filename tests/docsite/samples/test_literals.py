import json
from typing import Any

from hypothesis import given

from modelgates_server.docsite.samples.literals import JSON, WIDTH
from tests.docsite.samples.values import values


@given(value=values)
def test_json_says_what_it_was_made_of(value: Any) -> None:
    assert json.loads(JSON.write(value)) == value


@given(value=values)
def test_json_cannot_end_a_text_it_stands_in(value: Any) -> None:
    text = JSON.write(value)
    assert '"""' not in text
    assert all(line.isprintable() for line in text.split("\n"))
    assert not any(line != line.rstrip() for line in text.split("\n"))


def test_a_value_has_a_line_where_it_fits_and_several_where_not() -> None:
    fits = {"a": ["b" * (WIDTH - len('{"a": [""]}'))]}
    assert JSON.write(fits) == json.dumps(fits)
    assert len(JSON.write(fits)) == WIDTH
    assert JSON.write(fits, used=1) == f'{{\n  "a": {json.dumps(fits["a"])}\n}}'
    assert JSON.write(fits, indent=" ").startswith("{\n   ")
    assert JSON.write({"long": {"a": "b" * WIDTH, "c": [1]}}).split("\n") == [
        "{",
        '  "long": {',
        f'    "a": "{"b" * WIDTH}",',
        '    "c": [1]',
        "  }",
        "}",
    ]
