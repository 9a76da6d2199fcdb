import json
import subprocess
import sys
from typing import Any

import pytest
from structlog.testing import capture_logs

from modelgates_server.bootstrap.descriptors import connections_max, refused_max
from modelgates_server.core.errors import InvalidInput
from tests.deadlines import DEADLINE_S

PROGRAM = """
import json, os, resource
from modelgates_server.bootstrap.descriptors import has_room, raise_limit
{before}
result = {expression}
print(json.dumps(result))
"""


def in_process(soft: int, hard: int, expression: str, before: str = "") -> Any:
    """The value of an expression in a process with these limits."""
    before = f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n{before}"
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(before=before, expression=expression)],
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE_S,
    )
    return json.loads(ran.stdout)


def test_soft_limit_is_raised_to_the_hard_limit() -> None:
    result = "[raise_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE)]"
    assert in_process(64, 500, result) == [500, 500, 500]
    assert in_process(500, 500, result) == [500, 500, 500]


def test_limit_that_the_system_rejects_leaves_the_soft_limit() -> None:
    fails = "def fail(*_): raise ValueError('not allowed')\nresource.setrlimit = fail"
    assert in_process(64, 500, "raise_limit()", fails) == 64


@pytest.mark.parametrize(
    ("accepts", "expected"), [(2_000_000, 1_048_576), (10_240, 10_240), (100, 256)]
)
def test_infinite_hard_limit_is_raised_to_the_most_that_the_system_accepts(
    accepts: int, expected: int
) -> None:
    before = f"""
def get(_): return (256, resource.RLIM_INFINITY)
def put(_, limits):
    if limits[0] > {accepts}: raise ValueError
resource.getrlimit, resource.setrlimit = get, put
"""
    assert in_process(256, 256, "raise_limit()", before) == expected


def test_connections_leave_descriptors_for_providers_and_the_database() -> None:
    with capture_logs() as logged:
        assert connections_max(4096, 1024) == (1024 - 96 - 128) // 2
    [warning] = logged
    assert (warning["log_level"], warning["connections"]) == ("warning", 400)
    assert "8544" in warning["remedy"]


def test_number_of_connections_that_fits_is_the_setting() -> None:
    with capture_logs() as logged:
        assert connections_max(4096, 8544) == 4096
        assert connections_max(10, 1024) == 10
    assert logged == []


def test_refused_connections_have_a_share_of_the_descriptors() -> None:
    assert [refused_max(limit) for limit in (128, 1024, 100_000)] == [16, 128, 256]


def test_limit_that_is_too_low_is_rejected() -> None:
    with pytest.raises(InvalidInput, match=r"only 127 files\. Allow at least 128"):
        connections_max(4096, 127)


def test_room_ends_before_the_last_descriptors() -> None:
    fill = "held = [os.dup(1) for _ in range(200)]"
    assert in_process(512, 512, "[has_room(), has_room(300)]", fill) == [True, False]
    assert in_process(256, 256, "has_room()", fill) is False
    until_full = """
held = []
while True:
    try: held.append(os.dup(1))
    except OSError: break
"""
    assert in_process(256, 256, "has_room()", until_full) is False
