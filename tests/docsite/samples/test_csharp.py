import ast
import json
from typing import Any

import tree_sitter_c_sharp
from hypothesis import given

from modelgates_server.docsite.samples.csharp import code, quote
from tests.docsite.samples import grammar
from tests.docsite.samples.values import bodies, posting, texts


@given(text=texts)
def test_a_text_is_what_csharp_reads(text: str) -> None:
    # C# and Python spell the escapes that are used alike.
    assert ast.literal_eval(quote(text)) == text
    assert "\\x" not in quote(text).replace("\\\\", ""), "of no fixed length in C#"
    program = code(posting(headers={"X-A": text}))
    assert quote(text) in grammar.texts(
        grammar.nodes(tree_sitter_c_sharp.language, program), "string_literal"
    )


@given(body=bodies)
def test_a_body_is_what_csharp_reads(body: dict[str, Any]) -> None:
    found = grammar.nodes(tree_sitter_c_sharp.language, code(posting(body)))
    (content,) = grammar.texts(found, "raw_string_content")
    assert json.loads(content) == body
