"""The form of a body is known from its first bytes, however they arrive."""

import pytest

from modelgates_server.dialects.body_form import BodyForm, body_form

JSON, EVENTS, OTHER = BodyForm.JSON, BodyForm.EVENTS, BodyForm.OTHER
BOM = b"\xef\xbb\xbf"


@pytest.mark.parametrize("start", [b"", BOM, b"\n\n", BOM + b" \r\n"])
@pytest.mark.parametrize(
    ("body", "form"),
    [
        (b"{}", JSON), (b'[{"error":1}]', JSON), (b"data: {}", EVENTS), (b"data:{}", EVENTS),
        (b": comment", EVENTS), (b"event: error", EVENTS), (b"id: 1", EVENTS),
        (b"retry: 1", EVENTS), (b"<html>", OTHER), (b"data of mine", OTHER), (b"\x1f\x8b", OTHER),
    ],
)  # fmt: skip
def test_form_is_known_as_soon_as_the_bytes_decide_it(
    start: bytes, body: bytes, form: BodyForm
) -> None:
    whole = start + body
    known = [body_form(whole[:size]) for size in range(len(whole) + 1)]
    assert known[-1] is form
    assert set(known) <= {None, form}


def test_endless_white_space_is_no_known_form() -> None:
    assert body_form(b" " * 1000) is None
    assert body_form(b" " * 100_000) is OTHER
