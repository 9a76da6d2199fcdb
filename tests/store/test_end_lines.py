"""Ends of calls as lines: whatever a log does to a line, its end is read exactly or named."""

import json
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from modelgates_server.core.errors import InvalidInput
from modelgates_server.service.calls.replays import WaitingEnd
from modelgates_server.store.end_lines import ends_in, from_line, to_line
from tests.store.test_spool import settlement

END = settlement()
LINE = to_line(END)


def test_line_is_json_with_the_figures_that_people_look_for() -> None:
    assert LINE.endswith(b"\n")
    assert LINE.count(b"\n") == 1
    fields = json.loads(LINE)
    assert fields.pop("record").startswith("mg-end-1.")
    assert fields == {
        "event": "end of a call not saved: run `modelgates spool replay` on this line",
        "level": "critical",
        "id": "gen-1",
        "account_id": "user_spooled",
        "state": "captured",
        "cost": "9007.199254740993",
    }


def test_end_is_read_from_its_line_unrounded() -> None:
    assert from_line(LINE) == END


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda line: b"Dec 01 12:00:00 host modelgates[17]: " + line,
        lambda line: b"\xff\x00" + line.replace(b"\n", b"\r\n"),
        lambda line: json.dumps({"log": line.decode(), "stream": "stderr"}).encode() + b"\n",
        lambda line: json.dumps(json.dumps({"MESSAGE": line.decode()})).encode() + b"\n",
        lambda line: line[line.index(b"mg-end-") :].partition(b'"')[0],
        lambda line: b'{"event": "cut o' + line,
    ],
    ids=["syslog", "bytes", "docker", "journal", "record", "after-a-cut-line"],
)
def test_record_is_found_whatever_surrounds_it(wrapped: Callable[[bytes], bytes]) -> None:
    lines = [b'{"event": "generation"}\n', wrapped(LINE), b"\n"]
    assert list(ends_in(lines)) == [WaitingEnd("line 2", "gen-1", END)]


def test_several_records_are_found_in_one_line() -> None:
    other = replace(END, generation=replace(END.generation, id="gen-2"))
    found = list(ends_in([LINE.rstrip(b"\n") + to_line(other)]))
    assert [end.generation_id for end in found] == ["gen-1", "gen-2"]


def test_damaged_record_is_named_by_its_line_and_the_others_are_read() -> None:
    start = LINE.index(b"mg-end-1.") + 40
    damaged = LINE[:start] + (b"A" if LINE[start : start + 1] != b"A" else b"B") + LINE[start + 1 :]
    newer = LINE.replace(b"mg-end-1.", b"mg-end-2.")
    ends = list(ends_in([LINE, damaged, LINE[: start + 9], LINE[: start - 20], newer, LINE]))
    assert [(end.source, end.generation_id) for end in ends if end.settlement] == [
        ("line 1", "gen-1"),
        ("line 6", "gen-1"),
    ]
    assert [(end.source, end.problem) for end in ends if not end.settlement] == [
        ("line 2", "The record is damaged or cut off: its checksum does not match."),
        ("line 3", "The record is damaged or cut off: its checksum does not match."),
        ("line 4", "The record is cut off."),
        ("line 5", "The record has version 2. Upgrade ModelGates."),
    ]


def test_every_changed_character_of_a_record_is_noticed() -> None:
    start = LINE.index(b"mg-end-1.") + len(b"mg-end-1.")
    for position in range(start, len(LINE) - 4):
        changed = bytes([LINE[position] ^ 1])
        with pytest.raises(InvalidInput):
            from_line(LINE[:position] + changed + LINE[position + 1 :])


def test_line_without_a_record_is_damaged() -> None:
    with pytest.raises(InvalidInput, match="no record"):
        from_line(b'{"event": "generation", "text": "mg-end-of-month"}\n')


def test_usual_line_fits_into_one_write_that_no_other_process_can_interrupt() -> None:
    assert len(to_line(replace(END, answer=None))) < 4096  # PIPE_BUF on Linux
