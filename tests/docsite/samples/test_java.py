import ast
import json
import re
from textwrap import dedent
from typing import Any

from hypothesis import given

from modelgates_server.docsite.samples.java import code, quote
from tests.docsite.samples.values import bodies, posting, texts

# They are read as what they stand for before anything else is: a line may not end in a text.
TOO_EARLY = re.compile(r"\\u000a|\\u000d|\\u0022|\\u005c")


@given(text=texts)
def test_a_text_is_what_java_reads(text: str) -> None:
    # Java and JSON spell the escapes that are used alike.
    assert json.loads(quote(text)) == text
    assert not TOO_EARLY.search(quote(text).replace("\\\\", ""))


@given(body=bodies)
def test_a_body_is_what_java_reads(body: dict[str, Any]) -> None:
    found = re.search(r'\.body\("""\n(.+)"""\)', code(posting(body)), re.DOTALL)
    assert found
    inner = found.group(1)
    assert '"""' not in inner
    # All that is escaped is the backslash, as it is in Python.
    assert json.loads(ast.literal_eval(f'"""{dedent(inner)}"""')) == body
    assert "\\u" not in inner.replace("\\\\", "")
