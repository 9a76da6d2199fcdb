"""Commands and attachments are checked, and the rows they need are known before any is read."""

import pytest

from modelgates_server.core.keys import WindowUsage
from modelgates_server.core.ledger import commands as c
from modelgates_server.core.metering.generations import StoredAnswer
from modelgates_server.store.batching.plan import (
    LoadedRows,
    RowsNeeded,
    WriteRequest,
    rows_needed,
)
from tests.support import (
    T0_MS,
    capture,
    capture_late,
    closing,
    expire,
    extend,
    grant,
    new_key,
    open_generation,
    opening,
    place,
    repair,
    void,
)

A, B = (f"user_{letter * 22}" for letter in "AB")
KEY_A, KEY_B = "a" * 64, "b" * 64


@pytest.mark.parametrize(
    "command",
    [
        place(A, KEY_A, "h", 1),
        extend(A, KEY_A, "h", "1", 1),
        capture(A, KEY_A, "h", 1),
        void(A, KEY_A, "h"),
        expire(A, KEY_A, "h", T0_MS),
        capture_late(A, KEY_A, "h", 1),
    ],
    ids=lambda command: command.kind.value,
)
def test_command_on_a_hold_needs_its_account_key_hold_and_reference(command: c.Command) -> None:
    assert rows_needed([command]) == RowsNeeded(
        accounts=frozenset({A}),
        keys=frozenset({KEY_A}),
        holds=frozenset({(A, "h")}),
        references=frozenset({(A, command.reference)}),
    )


def test_repair_of_a_key_needs_its_account_key_and_reference() -> None:
    _, key = new_key(A, hash=KEY_A)
    needed = rows_needed([repair(key, T0_MS, WindowUsage(0, 0, 0))])
    assert needed == RowsNeeded(
        accounts=frozenset({A}),
        keys=frozenset({KEY_A}),
        holds=frozenset(),
        references=frozenset({(A, "repair")}),
    )


@pytest.mark.parametrize("command", [opening(A), grant(A, 1), closing(A)])
def test_command_on_an_account_needs_no_key_and_no_hold(command: c.Command) -> None:
    needed = rows_needed([command])
    assert needed.accounts == {A}
    assert not needed.keys | needed.holds
    assert needed.references == {(A, command.reference)}


def test_commands_of_one_batch_need_each_row_once() -> None:
    needed = rows_needed(
        [
            place(A, KEY_A, "h1", 1),
            capture(A, KEY_A, "h1", 1),
            place(A, KEY_A, "h2", 1),
            place(B, KEY_B, "h1", 1),
            grant(B, 1),
        ]
    )
    assert needed.accounts == {A, B}
    assert needed.keys == {KEY_A, KEY_B}
    assert needed.holds == {(A, "h1"), (A, "h2"), (B, "h1")}
    assert needed.references == {
        *((A, reference) for reference in ("hold:h1", "end:h1", "hold:h2")),
        *((B, reference) for reference in ("hold:h1", "grant")),
    }


def test_reference_is_needed_in_every_stored_spelling() -> None:
    composed, decomposed = "f\u00fcr", "fu\u0308r"
    assert rows_needed([grant(A, 1, composed)]).references == {(A, composed), (A, decomposed)}
    assert rows_needed([grant(A, 1, decomposed)]).references == {(A, decomposed)}


def test_row_that_was_not_planned_raises_instead_of_being_absent() -> None:
    rows = LoadedRows(accounts={A: None}, keys={}, holds={}, priors={})
    assert rows.account(A) is None
    for read in (
        lambda: rows.account(B),
        lambda: rows.key(KEY_A),
        lambda: rows.hold(A, "h"),
        lambda: rows.prior(A, "r"),
    ):
        with pytest.raises(KeyError):
            read()


def test_attachment_of_another_command_is_refused() -> None:
    hold, call = place(A, KEY_A, "h1", 5), open_generation(A, KEY_A, "h1", 5)
    answer = StoredAnswer(A, "h1", b"{}", T0_MS)
    assert WriteRequest(hold, (call, answer)).attachments == (call, answer)
    for stray in (
        open_generation(A, KEY_A, "h2", 5),
        open_generation(B, KEY_A, "h1", 5),
        open_generation(A, KEY_B, "h1", 5),
        StoredAnswer(A, "h2", b"", 0),
        StoredAnswer(B, "h1", b"", 0),
    ):
        with pytest.raises(AssertionError):
            WriteRequest(hold, (stray,))
    for attachment in (call, answer):
        with pytest.raises(AssertionError):
            WriteRequest(grant(A, 5), (attachment,))
