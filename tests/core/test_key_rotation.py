import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgates_server.core.errors import KeyNotFound, KeyReplaced
from modelgates_server.core.key_rotation import KeySecret, check_secret, rotate_key
from tests.support import T0_MS, new_account_id, new_key

_, KEY = new_key(new_account_id())
rotations = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), max_size=8)


def rotate(secrets: list[KeySecret], at_ms: int, grace_ms: int) -> list[KeySecret]:
    new = KeySecret(f"{len(secrets):064}", KEY.hash, at_ms)
    return rotate_key(KEY, secrets, new, "label", grace_ms).secrets


@given(rotations, st.integers(0, 2 * 10**6))
def test_at_most_two_secrets_work_when_the_clock_runs_on(
    steps: list[tuple[int, int]], later_ms: int
) -> None:
    secrets, now_ms = list[KeySecret](), T0_MS
    for wait_ms, grace_ms in steps:
        now_ms += wait_ms
        secrets = rotate(secrets, now_ms, grace_ms)
    live = [each for each in secrets if each.ends_at_ms is None or each.ends_at_ms > now_ms]
    assert len(live) <= 2
    assert len([each for each in secrets if each.ends_at_ms is None]) == min(1, len(steps))
    ended = [each.ends_at_ms for each in secrets if each not in live]
    assert all(end is not None and end <= now_ms + later_ms for end in ended)


@given(rotations)
def test_end_of_a_secret_never_moves_later(steps: list[tuple[int, int]]) -> None:
    secrets = list[KeySecret]()
    for at_ms, grace_ms in steps:
        after = {each.hash: each.ends_at_ms for each in rotate(secrets, T0_MS + at_ms, grace_ms)}
        for before in secrets:
            end = after[before.hash]
            assert end is not None
            assert before.ends_at_ms is None or end <= before.ends_at_ms
        secrets = rotate(secrets, T0_MS + at_ms, grace_ms)


def test_secret_works_until_the_millisecond_it_ends() -> None:
    check_secret(None, T0_MS)
    check_secret(T0_MS + 1, T0_MS)
    with pytest.raises(KeyReplaced):
        check_secret(T0_MS, T0_MS)


def test_deleted_key_is_not_rotated() -> None:
    deleted = msgspec.structs.replace(KEY, deleted_at_ms=T0_MS)
    for key in (None, deleted):
        with pytest.raises(KeyNotFound):
            rotate_key(key, [], KeySecret("0" * 64, KEY.hash, T0_MS), "label", 0)
