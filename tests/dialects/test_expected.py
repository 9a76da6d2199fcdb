"""Messages about invalid values: where, which value, and what is allowed; no words of Python."""

from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
import pytest

from modelgates_server.dialects.json_object import misfit


class Color(StrEnum):
    RED = "red"
    BLUE = "blue"


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    size: Annotated[int, msgspec.Meta(ge=1)] = 1
    ratio: Annotated[float, msgspec.Meta(ge=0, le=2)] = 1


class Shape(msgspec.Struct):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=5)] = "a"
    note: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    kind: Literal["a", "b"] | None = None
    color: Color | msgspec.UnsetType | None = msgspec.UNSET
    flag: bool = False
    count: Annotated[int, msgspec.Meta(ge=1, le=2000)] | None = None
    most: Annotated[int, msgspec.Meta(le=7)] = 1
    tags: Annotated[list[str], msgspec.Meta(max_length=2)] = []
    inner: Inner | None = None
    inners: list[Inner] = []
    table: dict[str, int] = {}
    either: str | list[str] = ""


def message(body: bytes, shape: Any = Shape, *, is_shape_known: bool = True) -> str:
    with pytest.raises(msgspec.DecodeError) as raised:
        msgspec.json.decode(body, type=shape)
    return str(misfit(raised.value, body=body, shape=shape if is_shape_known else None))


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        ('"name":""', '`name` must be a string of 1 to 5 characters, not `""`.'),
        ('"name":7', "`name` must be a string of 1 to 5 characters, not `7`."),
        ('"note":""', '`note` must be a string of at least 1 character or `null`, not `""`.'),
        ('"kind":"c"', '`kind` must be `a`, `b` or `null`, not `"c"`.'),
        ('"kind":1', "`kind` must be `a`, `b` or `null`, not `1`."),
        ('"color":"green"', '`color` must be `red`, `blue` or `null`, not `"green"`.'),
        ('"flag":"true"', '`flag` must be `true` or `false`, not `"true"`.'),
        ('"flag":null', "`flag` must be `true` or `false`, not `null`."),
        ('"count":0', "`count` must be an integer from 1 to 2,000 or `null`, not `0`."),
        ('"count":true', "`count` must be an integer from 1 to 2,000 or `null`, not `true`."),
        ('"count":1.5', "`count` must be an integer from 1 to 2,000 or `null`, not `1.5`."),
        ('"most":8', "`most` must be an integer of at most 7, not `8`."),
        ('"tags":["a","b","c"]', "`tags` must be a list of at most 2 items, not a list."),
        ('"tags":["a",{}]', "`tags[1]` must be a string, not an object."),
        ('"inner":[]', "`inner` must be an object or `null`, not a list."),
        ('"inner":{"size":0}', "`inner.size` must be an integer of at least 1, not `0`."),
        ('"inner":{"ratio":"x"}', '`inner.ratio` must be a number from 0 to 2, not `"x"`.'),
        ('"inner":{"x":0}', "Unknown field `inner.x`."),
        ('"inners":[{},{"size":0}]', "`inners[1].size` must be an integer of at least 1, not `0`."),
        ('"either":5', "`either` must be a string or a list, not `5`."),
    ],
)  # fmt: skip
def test_message_names_place_allowed_values_and_the_value(member: str, expected: str) -> None:
    assert message(f"{{{member}}}".encode()) == expected


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        ('"flag":"true"', '`flag` must be `true` or `false`, not `"true"`.'),
        ('"count":"x"', '`count` must be an integer or `null`, not `"x"`.'),
        ('"count":0', "`count` must be an integer of at least 1, not `0`."),
        ('"name":"123456"', '`name` must be a string of at most 5 characters, not `"123456"`.'),
        ('"tags":["a","b","c"]', "`tags` must be a list of at most 2 items, not a list."),
        ('"kind":"c"', '`kind` has an invalid value: `"c"`.'),
    ],
)
def test_message_is_in_words_when_the_shape_is_not_known(member: str, expected: str) -> None:
    assert message(f"{{{member}}}".encode(), is_shape_known=False) == expected


def test_long_value_is_cut_and_its_length_is_named() -> None:
    shown = message(b'{"name":"%b"}' % (b"x" * 5000))
    assert len(shown) < 200
    assert shown.endswith("xxx…`, which has 5,000 characters.")
    assert len(message(b'{"kind":"%b"}' % ("\u00e9" * 60).encode())) < 500


def test_value_of_a_huge_body_is_named_by_its_type() -> None:
    body = b'{"flag":"x","name":"%b"}' % (b" " * 1024 * 1024)
    assert message(body) == "`flag` must be `true` or `false`, not a string."


def test_field_that_is_missing_is_named_with_its_place() -> None:
    class Needs(msgspec.Struct):
        name: str

    class Outer(msgspec.Struct):
        inner: Needs

    assert message(b"{}", Needs) == "`name` is missing."
    assert message(b'{"inner":{}}', Outer) == "`inner.name` is missing."


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"[]", "The request body must be an object, not a list."),
        (b"{", "The request body is not valid JSON: it ends too early."),
        (b'{"name":}', "The request body is not valid JSON: invalid character (byte 8)."),
    ],
)
def test_body_that_is_not_an_object_is_named(body: bytes, expected: str) -> None:
    assert message(body) == expected
