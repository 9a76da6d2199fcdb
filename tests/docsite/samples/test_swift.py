import json
import re
from typing import Any

import tree_sitter_swift
from hypothesis import given

from modelgates_server.docsite.samples.swift import code, quote
from tests.docsite.samples import grammar
from tests.docsite.samples.values import bodies, posting, texts


@given(text=texts)
def test_a_text_is_what_swift_reads(text: str) -> None:
    # But for the numbers of characters, it is the spelling of JSON.
    numbered = re.sub(
        r"(\\\\)|\\u\{(\w+)\}",
        lambda found: found[1] or json.dumps(chr(int(found[2], 16)))[1:-1],
        quote(text),
    )
    assert json.loads(numbered) == text
    program = code(posting(headers={"X-A": text}))
    found = grammar.nodes(tree_sitter_swift.language, program)
    assert quote(text) in grammar.texts(found, "line_string_literal")
    assert not grammar.texts(found, "interpolated_expression")


@given(body=bodies)
def test_a_body_is_what_swift_reads(body: dict[str, Any]) -> None:
    program = code(posting(body))
    found = grammar.nodes(tree_sitter_swift.language, program)
    (literal,) = grammar.texts(found, "raw_string_literal")
    whole = re.fullmatch(r'(#+)"""\n(.+)\n"""\1', literal, re.DOTALL)
    assert whole
    assert f"\\{whole[1]}" not in whole[2]
    assert json.loads(whole[2]) == body
