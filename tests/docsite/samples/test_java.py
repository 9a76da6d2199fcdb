import ast
import json
import re
from textwrap import dedent
from typing import Any

from hypothesis import given

from modelgates_server.docsite.samples.java import code, quote
from tests.docsite.samples.values import bodies, posting, texts

# Java reads these escapes before anything else, so that they would end the string or the line.
TOO_EARLY = re.compile(r"\\u000a|\\u000d|\\u0022|\\u005c")


@given(text=texts)
def test_string_has_its_value_in_java(text: str) -> None:
    # Java and JSON spell these escapes alike.
    assert json.loads(quote(text)) == text
    assert not TOO_EARLY.search(quote(text).replace("\\\\", ""))


@given(body=bodies)
def test_body_has_its_value_in_java(body: dict[str, Any]) -> None:
    match = re.search(r'\.body\("""\n(.+)"""\)', code(posting(body)), re.DOTALL)
    assert match
    inner = match.group(1)
    assert '"""' not in inner
    # Only the backslash is escaped, and Python escapes it alike.
    assert json.loads(ast.literal_eval(f'"""{dedent(inner)}"""')) == body
    assert "\\u" not in inner.replace("\\\\", "")
