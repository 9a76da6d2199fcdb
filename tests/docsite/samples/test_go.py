import ast
import json
import re
from typing import Any

from hypothesis import given

from modelgates_server.docsite.samples.go import code, quote
from tests.docsite.samples.values import bodies, posting, texts


@given(text=texts)
def test_string_has_its_value_in_go(text: str) -> None:
    # Go and Python spell these escapes alike.
    assert ast.literal_eval(quote(text)) == text
    assert "\\x" not in quote(text).replace("\\\\", ""), "a byte in Go, not a character"


@given(body=bodies)
def test_body_has_its_value_in_go(body: dict[str, Any]) -> None:
    match = re.search(r"NewReader\((.+)\)\n\n\treq", code(posting(body)), re.DOTALL)
    assert match
    literal = match.group(1)
    if literal.startswith("`"):
        assert "`" not in literal[1:-1]
        assert json.loads(literal[1:-1]) == body
    else:
        assert json.loads(ast.literal_eval(literal)) == body
