import ast
import json
from typing import Any

import tree_sitter_c_sharp
from hypothesis import given

from modelgates_server.docsite.samples.csharp import code, quote
from tests.docsite.samples import grammar
from tests.docsite.samples.values import bodies, posting, texts


@given(text=texts)
def test_string_has_its_value_in_csharp(text: str) -> None:
    # C# and Python spell these escapes alike.
    assert ast.literal_eval(quote(text)) == text
    assert "\\x" not in quote(text).replace("\\\\", ""), "an escape without a fixed length in C#"
    program = code(posting(headers={"X-A": text}))
    assert quote(text) in grammar.texts(
        grammar.nodes(tree_sitter_c_sharp.language, program), "string_literal"
    )


@given(body=bodies)
def test_body_has_its_value_in_csharp(body: dict[str, Any]) -> None:
    syntax = grammar.nodes(tree_sitter_c_sharp.language, code(posting(body)))
    (content,) = grammar.texts(syntax, "raw_string_content")
    assert json.loads(content) == body
