"""JSON values that are hard to write in some language, and processes that read them back."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hypothesis import strategies as st

from modelgates_server.docsite.samples.request import SampleRequest

# Each opens, ends, escapes or interpolates something in some language.
_SPECIAL = [
    *"'\"\\`$#{}()@%<>\n\r\t\0\x0b\x7f\x85\u2028\u2029\ufeff",
    *("${a}", "#{a}", "#$a", "#@a", "{$a}", "\\(a)", "\\#(a)", "\\##(a)", "\\u0041", "\\n", "?>"),
    *("'''", '"""', '"""#', "__proto__", "0", "1", "\U000e0001", "é漢😀"),
]
texts = st.lists(st.sampled_from(_SPECIAL) | st.characters(codec="utf-8"), max_size=8).map("".join)
_SAFE = 2**53 - 1  # JavaScript rounds some integers above it
_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-_SAFE, _SAFE)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
bodies = st.dictionaries(texts, values, min_size=1, max_size=2)


class Evaluator:
    """A process that reads an expression a line and writes its value as JSON."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def value(self, code: str) -> Any:
        """The value of an expression in the language."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(code) + "\n")
        self._process.stdin.flush()
        # Some languages write large numbers without a point.
        return json.loads(self._process.stdout.readline(), parse_int=float)


@contextmanager
def evaluator(command: Sequence[str]) -> Iterator[Evaluator]:
    """A process of a command that evaluates lines until its input ends."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        yield Evaluator(process)


def posting(body: Any = None, **parts: Any) -> SampleRequest:
    """A request with a body, or with other unusual parts."""
    plain = {"method": "POST", "url": "https://a.example/b", "query": {}, "headers": {}}
    return SampleRequest(**{**plain, **parts}, body=body, json_answer=True)
