import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgates_server.core.ids import REFERENCE_MAX_CHARS
from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import (
    CALL_LOST,
    ID_BYTES,
    ActivityRow,
    Attempt,
    Generation,
    activity_of,
    generation_id,
    repeat_number_of,
    repeatable_id,
    with_error_codes,
)
from modelgates_server.core.pricing.usage import Usage
from modelgates_server.core.times import MS_PER_DAY
from tests.core import calls
from tests.support import T0_MS, error_classes

STORED_UP_TO_0_3 = (
    *("GatewayError", "Stopping", "lost with its process"),
    *("ProviderRateLimited", "ProviderRefused", "ProviderTimedOut", "ProviderUnavailable"),
)
"""Every error that could end a call, as versions 0.2 and 0.3 stored it."""

USAGE = Usage(input=1, cache_read=2, input_audio=4, output=8, reasoning=16)


def ended(state: HoldState, cost_pico: int = 0, **members: object) -> Generation:
    started = calls.held(calls.priced(calls.flat(input="0.001"), calls.request()))
    return calls.replace(
        started, **{"state": state, "cost_pico": cost_pico, "ended_at_ms": T0_MS, **members}
    )


def test_generation_id_has_the_form_of_openrouter_and_its_second() -> None:
    made = generation_id(b"\xff" * ID_BYTES, T0_MS + 999)
    assert made == "gen-1795439520-" + made[-21:]
    assert generation_id(bytes(ID_BYTES), 0) == "gen-0-" + "0" * 21


@given(
    st.binary(min_size=ID_BYTES, max_size=ID_BYTES), st.binary(min_size=ID_BYTES, max_size=ID_BYTES)
)
def test_generation_ids_differ_when_their_random_bytes_differ(one: bytes, other: bytes) -> None:
    assert (generation_id(one, T0_MS) == generation_id(other, T0_MS)) == (one == other)
    # References of the ledger have a prefix such as `capture:` before the id.
    assert len(generation_id(one, 10**15)) + 20 < REFERENCE_MAX_CHARS


def test_repeatable_id_depends_only_on_digest_and_repeat() -> None:
    digest = hashlib.sha256(b"key").digest()
    assert repeatable_id(digest, 0) == repeatable_id(digest, 0)
    assert [repeat_number_of(repeatable_id(digest, repeat)) for repeat in range(20)] == [*range(20)]
    assert repeatable_id(digest, 0) != repeatable_id(hashlib.sha256(b"other").digest(), 0)


def test_repeatable_id_differs_from_every_random_id() -> None:
    digest = hashlib.sha256(b"key").digest()
    assert repeatable_id(digest, 0) != generation_id(digest[:ID_BYTES], T0_MS)


def test_activity_counts_a_call_in_the_quarter_hour_of_its_charge() -> None:
    late = ended(HoldState.CAPTURED, 5, usage=USAGE, ended_at_ms=T0_MS + MS_PER_DAY)
    assert activity_of(late) == ActivityRow(
        quarter_hour=T0_MS // 900_000 + 96,
        key_hash=late.key_hash,
        model=calls.MODEL,
        endpoint_id="acme:m1-large",
        provider="acme",
        requests=1,
        usage_pico=5,
        prompt_tokens=7,
        completion_tokens=24,
        reasoning_tokens=16,
        cached_tokens=2,
    )


@pytest.mark.parametrize(
    ("state", "cost_pico", "counts"),
    [
        (HoldState.CAPTURED, 5, True),
        (HoldState.CAPTURED, 0, True),
        (HoldState.EXPIRED, 5, True),
        (HoldState.EXPIRED, 0, False),
        (HoldState.VOIDED, 0, False),
    ],
)
def test_activity_counts_charged_and_free_calls_but_not_failed_ones(
    state: HoldState, cost_pico: int, counts: bool
) -> None:
    row = activity_of(ended(state, cost_pico))
    assert (row is not None) == counts
    if row is not None:
        assert (row.usage_pico, row.prompt_tokens) == (cost_pico, 0)


def test_activity_does_not_count_a_running_call_with_a_checkpoint() -> None:
    assert activity_of(ended(HoldState.OPEN, 5, usage=USAGE, ended_at_ms=None)) is None


def failed(error: str | None, *of_attempts: str | None) -> Generation:
    attempts = tuple(
        Attempt(provider="acme", upstream_model="large", started_at_ms=T0_MS, error=of_attempt)
        for of_attempt in of_attempts
    )
    return ended(HoldState.VOIDED, error=error, attempts=attempts)


@pytest.mark.parametrize("stored", STORED_UP_TO_0_3)
def test_stored_error_of_an_old_version_is_read_as_a_code(stored: str) -> None:
    read = with_error_codes(failed(stored, stored))
    assert read.error in {CALL_LOST, *(error.code for error in error_classes())}
    assert read == failed(read.error, read.error)


def test_stored_class_name_is_read_as_the_current_code_of_the_class() -> None:
    assert with_error_codes(failed("Stopping")).error == "server_stopping"
    assert with_error_codes(failed("lost with its process")).error == "call_lost"


def test_stored_error_of_an_attempt_is_read_as_a_code_when_another_succeeded() -> None:
    read = with_error_codes(failed(None, "ProviderTimedOut", None))
    assert read == failed(None, "provider_timed_out", None)


@pytest.mark.parametrize("error", [None, CALL_LOST, "provider_unavailable", "one_of_later"])
def test_stored_generation_is_read_unchanged_when_it_has_codes(error: str | None) -> None:
    assert with_error_codes(failed(error, error)) == failed(error, error)
