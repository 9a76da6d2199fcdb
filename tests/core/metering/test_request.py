import ast
from pathlib import Path

import pytest

from modelgates_server import core
from tests.core import calls

CORE = Path(core.__file__).parent


def test_core_never_reads_the_wire_object() -> None:
    reads = [
        f"{path.name}:{node.lineno}"
        for path in CORE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Attribute) and node.attr == "wire"
    ]
    assert not reads


@pytest.mark.parametrize("texts", [1, 3])
def test_input_tokens_never_exceed_one_context_for_each_text(texts: int) -> None:
    long = calls.request(text_bytes=10**6, texts=texts)
    assert long.input_tokens(context_tokens=1000, media_tokens=None) == texts * 1000


def test_bounds_count_the_output_of_each_choice() -> None:
    request = calls.request(choices=3, media=1)
    bounds = request.bounds(context_tokens=1000, media_tokens=10, output_tokens=7)
    assert (bounds.input_tokens, bounds.output_tokens, bounds.media) == (910, 21, True)
