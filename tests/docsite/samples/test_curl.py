import json
import shlex
from typing import Any

from hypothesis import given

from modelgates_server.docsite.samples.curl import code
from tests.docsite.samples.values import bodies, posting, texts


@given(text=texts.filter(lambda text: "\0" not in text))
def test_header_is_one_word_of_the_shell(text: str) -> None:
    assert f"X-A: {text}" in shlex.split(code(posting(headers={"X-A": text})))


@given(body=bodies)
def test_body_has_its_value_in_the_shell(body: dict[str, Any]) -> None:
    words = shlex.split(code(posting(body)))
    assert json.loads(words[words.index("-d") + 1]) == body


def test_query_is_one_word_of_the_shell() -> None:
    words = shlex.split(code(posting(query={"a": "b c", "d": "it's"})))
    assert words[:2] == ["curl", "https://a.example/b?a=b+c&d=it%27s"]
