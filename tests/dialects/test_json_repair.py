"""Repaired JSON is accepted by every strict parser; other JSON stays as it is."""

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelgates_server.core.metering.repairs import Repair
from modelgates_server.dialects.json_repair import DEPTH_MAX, repair_json

TEXT = {Repair.TEXT_REPLACED}
VALUE = {Repair.VALUE_REPLACED}
PARTS = [
    rb"\ud83d", rb"\ude00", rb"\uD83D", rb"\\", rb"\"", rb"\u0041", rb"\n", rb"\x", "é".encode(),
    b"\xff", b"\xc3", b"\xed\xa0\xbd", b"\x00", b"\n", b"\t", b"a", b"NaN", b"-Infinity", b"{[",
]  # fmt: skip


def strict(payload: bytes) -> Any:
    """The value that a parser of valid JSON and Unicode reads; fails if it rejects it."""

    def refuse(name: str) -> None:
        raise AssertionError(name)

    value = json.loads(payload.decode(), parse_constant=refuse)
    json.dumps(value, ensure_ascii=False).encode()
    return value


@settings(max_examples=1000)
@given(st.lists(st.sampled_from(PARTS), max_size=8).map(b"".join), st.booleans())
def test_repaired_text_is_accepted_by_strict_parsers(text: bytes, is_name: bool) -> None:
    payload = b'{"%b":1}' % text if is_name else b'{"a":["%b",NaN,{"b":-Infinity}]}' % text
    repaired, repairs = repair_json(payload)
    if repaired == payload:
        assert repairs == set()
        if is_name:
            # A backslash at the end of the text may have escaped the last quote.
            assert text.endswith(b"\\") or strict(payload) is not None
    else:
        assert repairs
        strict(repaired)


@pytest.mark.parametrize(
    ("payload", "value", "repairs"),
    [
        (rb'{"a":"x\ud83d"}', {"a": "x�"}, TEXT),
        (rb'{"a":"\ude00\ud83d\ude00\ud83d"}', {"a": "�😀�"}, TEXT),
        (rb'{"a":"\\ud83d"}', {"a": r"\ud83d"}, set()),
        (rb'{"a\ud83d":1}', {"a�": 1}, TEXT),
        (b'{"a":"\x85"}', {"a": "�"}, TEXT),
        (b'{"a":"x\ny\x00"}', {"a": "x\ny\x00"}, TEXT),
        (rb'{"a":"C:\dir"}', {"a": r"C:\dir"}, TEXT),
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}, TEXT),
        (b'{"a":[NaN,Infinity,-Infinity,"NaN"]}', {"a": [None, None, None, "NaN"]}, VALUE),
        (b'{"a":NaN,"b":"\xff"}', {"a": None, "b": "�"}, TEXT | VALUE),
    ],
)
def test_deviation_is_repaired(payload: bytes, value: Any, repairs: set[Repair]) -> None:
    repaired, made = repair_json(payload)
    assert (strict(repaired), made) == (value, repairs)


@pytest.mark.parametrize("levels", [DEPTH_MAX + 1, 2_000, 500_000])
@pytest.mark.parametrize(("begin", "end"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_value_that_is_nested_too_deeply_becomes_null(
    levels: int, begin: bytes, end: bytes
) -> None:
    payload = b'{"deep":%b1%b,"text":"}{","flat":[1]}' % (begin * levels, end * levels)
    repaired, repairs = repair_json(payload)
    value = strict(repaired)
    assert (value["text"], value["flat"]) == ("}{", [1])
    if levels > 1000:
        assert repairs == VALUE
        assert repaired.count(begin) <= DEPTH_MAX + 1


@pytest.mark.parametrize("payload", [b"", b": keepalive", b"{", b'{"a":}', b"[1,]", b"null x"])
def test_data_that_is_not_json_stays_unchanged(payload: bytes) -> None:
    assert repair_json(payload) == (payload, set())


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b'{"a":"' + rb"\"" * 100_000, id="string-without-end"),
        pytest.param(b'{"a":"' + rb"\"" * 100_000 + b"\\", id="escape-without-end"),
        pytest.param(rb'{"a":"\ud83d' + rb"\"" * 100_000 + b'"}', id="escapes"),
        pytest.param(b'{"a":' + b'"' * 100_000, id="quotes"),
        pytest.param(b'{"a":' + b"[{" * 100_000, id="brackets"),
    ],
)
def test_time_is_in_proportion_to_the_size_when_json_is_unreadable(payload: bytes) -> None:
    before = time.process_time()
    repair_json(payload)
    assert time.process_time() - before < 5  # it takes about 10 ms
