import re
from collections import Counter

from modelgates_server.core.metering.generations import CALL_LOST
from tests.support import error_classes


def test_every_error_class_has_a_unique_code() -> None:
    counts = Counter([CALL_LOST, *(error.code for error in error_classes())])
    assert [code for code, count in counts.items() if count > 1] == []


def test_codes_are_snake_case() -> None:
    for error in error_classes():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", error.code), error
