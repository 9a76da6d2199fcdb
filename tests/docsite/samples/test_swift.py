import json
import re
from typing import Any

import tree_sitter_swift
from hypothesis import given

from modelgates_server.docsite.samples.swift import code, quote
from tests.docsite.samples import grammar
from tests.docsite.samples.values import bodies, posting, texts


@given(text=texts)
def test_string_has_its_value_in_swift(text: str) -> None:
    # Except for escapes with a code point, Swift spells strings like JSON.
    numbered = re.sub(
        r"(\\\\)|\\u\{(\w+)\}",
        lambda match: match[1] or json.dumps(chr(int(match[2], 16)))[1:-1],
        quote(text),
    )
    assert json.loads(numbered) == text
    program = code(posting(headers={"X-A": text}))
    syntax = grammar.nodes(tree_sitter_swift.language, program)
    assert quote(text) in grammar.texts(syntax, "line_string_literal")
    assert grammar.texts(syntax, "interpolated_expression") == ["status", "text"]


@given(body=bodies)
def test_body_has_its_value_in_swift(body: dict[str, Any]) -> None:
    program = code(posting(body))
    syntax = grammar.nodes(tree_sitter_swift.language, program)
    (literal,) = grammar.texts(syntax, "raw_string_literal")
    whole = re.fullmatch(r'(#+)"""\n(.+)\n"""\1', literal, re.DOTALL)
    assert whole
    assert f"\\{whole[1]}" not in whole[2]
    assert json.loads(whole[2]) == body
