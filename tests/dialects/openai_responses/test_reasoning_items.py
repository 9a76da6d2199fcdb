from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgates_server.dialects.openai_responses.reasoning_items import (
    PREFIX,
    is_packed,
    pack,
    unpack,
)
from tests.dialects.openai_responses.responses import texts

_details = st.lists(
    st.dictionaries(texts, texts | st.none() | st.integers(-(2**53), 2**53), max_size=4), max_size=3
)


@given(_details)
def test_details_come_back_as_they_were(details: list[dict[str, Any]]) -> None:
    packed = pack(details)
    assert unpack(packed) == details
    assert is_packed(packed)
    assert packed.isascii()
    assert not {" ", '"', "\\", "\n"} & set(packed)


@pytest.mark.parametrize(
    "text",
    ["", "gAAAAAB-of-another-party", PREFIX + "é", PREFIX + "!!", PREFIX + "e30", PREFIX + "WzFd"],
)
def test_content_of_others_and_damaged_content_is_unknown(text: str) -> None:
    assert unpack(text) is None


def test_later_version_is_ours_but_unreadable() -> None:
    text = "modelgates.reasoning.2.AAAA"
    assert is_packed(text)
    assert unpack(text) is None
