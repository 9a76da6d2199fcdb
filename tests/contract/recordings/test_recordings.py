"""Every recording, cut into pieces at any byte, comes to what its file expects."""

import random
import re
from collections.abc import AsyncIterator

import msgspec
import pytest

from tests.contract.recordings.checks import check_generation, check_repairs, check_response
from tests.contract.recordings.gateway import Outcome, RecordingGateway, open_gateway
from tests.contract.recordings.received import read_stream
from tests.contract.recordings.recording import Recording, all_recordings
from tests.ledger_checks import check_ledger
from tests.support import open_database

RECORDINGS = all_recordings()
STREAMS = [
    recording
    for recording in RECORDINGS
    if b"data: {" in recording.body and b"\r" not in recording.body
]
LINES = [
    {b"\n": b"\r\n"},
    {b"\n": b"\r"},
    {b"data: ": b"data:"},
    {b"\n\n": b"\n\n: PROCESSING\n\n"},
    {b"data: {": b"id: 1\nevent: message\ndata: {"},
]
"""Changes that mean nothing to a reader of events."""
CUTS = 5
PROVIDERS_MIN = 20
ID = re.compile(rb'"id":"([^"]+)"')


@pytest.fixture(scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RecordingGateway]:
    folder = tmp_path_factory.mktemp("recordings")
    store = open_database(f"sqlite:///{folder}/modelgates.db")
    async with open_gateway(store, folder, RECORDINGS) as opened:
        yield opened
    await check_ledger(store)
    await store.close()


def cuts_of(recording: Recording) -> list[list[int]]:
    """Places to cut a body: at every byte, and at a few random ones, the same in every run."""
    drawn = random.Random(recording.name)
    size = len(recording.body)
    some = [sorted(drawn.choices(range(size + 1), k=drawn.randint(1, 4))) for _ in range(CUTS)]
    return [list(range(1, size)), *some]


def shown(recording: Recording, outcome: Outcome) -> tuple[int, bytes, int]:
    """Everything that must not depend on the cuts: all but the ids that the gateway makes."""

    def without_new_id(id_: re.Match[bytes]) -> bytes:
        return id_[0] if id_[1] in recording.body else b'"id":"new"'

    body = ID.sub(without_new_id, outcome.body)
    return outcome.status, body, outcome.generation.cost_pico


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.name)
async def test_recording_comes_to_what_its_file_expects(
    recording: Recording, gateway: RecordingGateway
) -> None:
    outcome = await gateway.call(recording)
    check_response(recording, outcome.status, outcome.headers, outcome.body)
    check_generation(recording, outcome.generation)
    check_repairs(recording, set(gateway.repairs))


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.name)
async def test_recording_comes_to_the_same_when_it_is_cut_anywhere(
    recording: Recording, gateway: RecordingGateway
) -> None:
    whole = shown(recording, await gateway.call(recording))
    repairs = gateway.repairs
    for places in cuts_of(recording):
        assert shown(recording, await gateway.call(recording, places)) == whole, places
        assert gateway.repairs == repairs, places


@pytest.mark.parametrize("recording", STREAMS, ids=lambda recording: recording.name)
async def test_stream_comes_to_the_same_with_other_lines(
    recording: Recording, gateway: RecordingGateway
) -> None:
    whole = shown(recording, await gateway.call(recording))
    repairs = gateway.repairs
    for change in LINES:
        body = recording.body
        for old, new in change.items():
            body = body.replace(old, new)
        changed = msgspec.structs.replace(recording, body=body)
        assert shown(recording, await gateway.call(changed)) == whole, change
        assert gateway.repairs == repairs, change


@pytest.mark.parametrize("recording", STREAMS, ids=lambda recording: recording.name)
async def test_stream_that_breaks_off_is_complete_or_an_error(
    recording: Recording, gateway: RecordingGateway
) -> None:
    texts = recording.expected.texts
    for end in cuts_of(recording)[-1]:
        cut = msgspec.structs.replace(recording, body=recording.body[:end], ends="truncated")
        outcome = await gateway.call(cut)
        if outcome.status != 200 or not recording.streams:
            continue
        received = read_stream(recording, outcome.body)
        for index, text in received.texts.items():
            assert texts[index].startswith(text), end
        if received.error is None:
            assert [received.texts[index] for index in range(len(texts))] == texts, end
        assert (received.error is None) == (outcome.generation.error is None), end


def test_recordings_are_of_many_providers_and_name_their_sources() -> None:
    assert len({recording.provider for recording in RECORDINGS}) >= PROVIDERS_MIN
    assert all(recording.source.startswith("https://") for recording in RECORDINGS)
