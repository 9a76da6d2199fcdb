"""A batch has the same results as its commands one by one, whatever was assumed to be new."""

from collections import Counter
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelgates_server.core.errors import GatewayError, HoldNotFound, InvalidInput, ReferenceReused
from modelgates_server.core.keys import Key, WindowUsage
from modelgates_server.core.ledger import commands as c
from modelgates_server.core.ledger.commands import CommandResult
from modelgates_server.core.ledger.records import Account, Entry, EntryKind, Hold
from modelgates_server.core.metering.generations import Generation, StoredAnswer
from modelgates_server.core.pricing.usage import Usage
from modelgates_server.store.batching.apply import BatchState, Result
from modelgates_server.store.batching.plan import Rows, WriteRequest, load_each, rows_needed
from tests.core.pure import PureLedger
from tests.support import (
    HOLD_MS,
    T0_MS,
    adjust,
    capture,
    capture_late,
    closing,
    expire,
    extend,
    finished,
    grant,
    new_key,
    open_generation,
    opening,
    place,
    repair,
    void,
)

IDS = tuple(f"user_{letter * 22}" for letter in "AB")
HASHES = tuple(letter * 64 for letter in "ab")
KEYS = tuple(
    new_key(account_id, hash=key_hash)[1] for account_id, key_hash in zip(IDS, HASHES, strict=True)
)
FUNDED: list[c.Command] = [
    *(opening(account_id) for account_id in IDS),
    *(grant(account_id, 20, "first") for account_id in IDS),
]


BIG = (IDS[0], HASHES[0], "h2", 50)


class DuplicateError(Exception):
    """The error of a unique constraint of a database."""


class DictRows:
    """Rows in dictionaries, with the unique constraints of the tables. Counts what is read."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.holds: dict[tuple[str, str], Hold] = {}
        self.keys: dict[str, Key] = {}
        self.entries: list[Entry] = []
        self.read: Counter[tuple[str, ...]] = Counter()
        for account_id, key_hash in zip(IDS, HASHES, strict=True):
            _, self.keys[key_hash] = new_key(account_id, hash=key_hash, limit_pico=15)

    def account(self, account_id: str) -> Account | None:
        self.read["account", account_id] += 1
        return self.accounts.get(account_id)

    def key(self, key_hash: str) -> Key | None:
        self.read["key", key_hash] += 1
        return self.keys.get(key_hash)

    def hold(self, account_id: str, hold_id: str) -> Hold | None:
        self.read["hold", account_id, hold_id] += 1
        return self.holds.get((account_id, hold_id))

    def prior(self, account_id: str, reference: str) -> Entry | None:
        found = (e for e in self.entries if (e.account_id, e.reference) == (account_id, reference))
        return next(found, None)

    def save(self, state: BatchState) -> None:
        references = [(e.account_id, e.reference) for e in (*self.entries, *state.entries)]
        if len(set(references)) < len(references) or state.new_holds.keys() & self.holds.keys():
            raise DuplicateError
        assert not state.new_accounts.keys() & self.accounts.keys()
        assert state.changed_accounts.keys() <= self.accounts.keys()
        assert state.changed_holds.keys() <= self.holds.keys()
        self.accounts |= state.new_accounts | state.changed_accounts
        self.holds |= state.new_holds | state.changed_holds
        self.keys |= state.changed_keys
        self.entries += state.entries

    def run(self, commands: list[c.Command]) -> list[Result]:
        for check_references in (False, True):
            rows: Rows = load_each(self, rows_needed(commands)) if check_references else self
            state = BatchState(rows, None, check_references=check_references)
            results = state.apply(requests(*commands))
            try:
                self.save(state)
            except DuplicateError:
                assert not check_references
            else:
                return results
        raise AssertionError("a careful batch saves")


def requests(*commands: c.Command) -> list[WriteRequest]:
    return [WriteRequest(command) for command in commands]


def some_command(kind: EntryKind, which: int, hold_id: str, amount_pico: int) -> c.Command:
    id_ = IDS[which]
    build: dict[EntryKind, Callable[[], c.Command]] = {
        EntryKind.OPEN: lambda: opening(id_),
        EntryKind.CLOSE: lambda: closing(id_),
        EntryKind.GRANT: lambda: grant(id_, amount_pico + 1, hold_id),
        EntryKind.ADJUSTMENT: lambda: adjust(id_, -amount_pico - 1, hold_id),
        EntryKind.HOLD: lambda: place(id_, HASHES[which], hold_id, amount_pico),
        EntryKind.EXTEND: lambda: extend(id_, HASHES[which], hold_id, "1", amount_pico),
        EntryKind.USAGE: lambda: capture(id_, HASHES[which], hold_id, amount_pico),
        EntryKind.VOID: lambda: void(id_, HASHES[which], hold_id),
        EntryKind.EXPIRE: lambda: expire(id_, HASHES[which], hold_id, T0_MS + HOLD_MS, amount_pico),
        EntryKind.KEY_REPAIR: lambda: repair(KEYS[which], T0_MS, WindowUsage(0, 0, 0), hold_id),
        EntryKind.LATE_USAGE: lambda: capture_late(id_, HASHES[which], hold_id, amount_pico),
    }
    return build[kind]()


commands = st.builds(
    some_command,
    st.sampled_from([EntryKind.HOLD, *EntryKind]),
    st.sampled_from([0, 0, 0, 1]),
    st.sampled_from(["h1", "h2", "h3"]),
    st.integers(0, 8),
)
of_another_key = st.builds(
    lambda command: (
        msgspec.structs.replace(command, key_hash=HASHES[1])
        if isinstance(command, c.HoldCommand) and not isinstance(command, c.PlaceHold)
        else command
    ),
    commands,
)
renamed = st.builds(
    lambda command, name: (
        command
        if isinstance(command, c.CaptureLate)  # its reference is that of its hold
        else msgspec.structs.replace(command, reference=name)
    ),
    commands,
    st.sampled_from(["hold:h1", "end:h2", "other", "first"]),
)


def told(result: Result) -> object:
    return result if isinstance(result, CommandResult) else (type(result), str(result))


@settings(max_examples=200)
@given(
    st.lists(
        st.lists(st.one_of(commands, renamed, of_another_key), min_size=1, max_size=9), max_size=5
    )
)
def test_batch_has_the_same_results_as_its_commands_one_by_one(
    batches: list[list[c.Command]],
) -> None:
    rows, single = DictRows(), PureLedger()
    single.keys = dict(rows.keys)
    for batch in [FUNDED, *batches]:
        expected: list[Result] = []
        for command in batch:
            try:
                expected.append(single.run(command))
            except GatewayError as refusal:
                expected.append(refusal)
        assert [told(result) for result in rows.run(batch)] == [told(e) for e in expected]
        assert (rows.accounts, rows.holds, rows.keys, rows.entries) == (
            single.accounts,
            single.holds,
            single.keys,
            single.journal,
        )


def test_row_is_read_once_and_written_once_however_often_it_changes() -> None:
    rows = DictRows()
    rows.run(FUNDED)
    for hold_id in ("h1", "h2", "h3"):
        rows.run([place(IDS[0], HASHES[0], hold_id, 1)])
    rows.read.clear()
    state = BatchState(rows, None, check_references=False)
    state.apply(
        requests(*(capture(IDS[0], HASHES[0], hold_id, 1) for hold_id in ("h1", "h2", "h3")))
    )
    assert set(rows.read.values()) == {1}
    assert len(rows.read) == len(("account", "key", "h1", "h2", "h3"))
    assert list(state.changed_accounts) == [IDS[0]]
    assert state.changed_accounts[IDS[0]].usage_pico == 3
    assert not state.new_accounts


def test_new_commands_need_no_lookup_of_their_reference() -> None:
    rows = DictRows()
    rows.run(FUNDED)
    rows.read.clear()
    state = BatchState(rows, None, check_references=False)
    state.apply(requests(place(IDS[0], HASHES[0], "h1", 1), capture(IDS[0], HASHES[0], "h1", 1)))
    assert set(rows.read) == {("account", IDS[0]), ("key", HASHES[0])}


@pytest.mark.parametrize("check_references", [False, True])
def test_reference_stored_before_nfc_was_required_replays_in_both_spellings(
    *, check_references: bool
) -> None:
    rows = DictRows()
    composed, decomposed = "f\u00fcr", "fu\u0308r"
    rows.run([*FUNDED, grant(IDS[0], 7, "old")])
    old = msgspec.structs.replace(rows.entries[-1], reference=decomposed)
    rows.entries[-1] = old
    state = BatchState(rows, None, check_references=check_references)
    results = state.apply(
        requests(
            grant(IDS[0], 7, decomposed),
            grant(IDS[0], 7, composed),
            grant(IDS[0], 8, composed),
            grant(IDS[1], 7, decomposed),
            grant(IDS[1], 7, composed),
        )
    )
    assert results[:2] == [CommandResult(old, replayed=True)] * 2
    assert [type(result) for result in results[2:4]] == [ReferenceReused, InvalidInput]
    assert isinstance(results[4], CommandResult)
    assert [entry.reference for entry in state.entries] == [composed]


@pytest.mark.parametrize("check_references", [False, True])
def test_bug_in_one_command_does_not_affect_the_others(*, check_references: bool) -> None:
    rows = DictRows()
    rows.run(FUNDED)
    rows.run([place(IDS[0], HASHES[0], "h1", 5)])
    account = rows.accounts[IDS[0]]
    rows.accounts[IDS[0]] = msgspec.structs.replace(account, held_pico=4)
    state = BatchState(rows, None, check_references=check_references)
    results = state.apply(
        requests(
            grant(IDS[0], 1, "a"),
            void(IDS[0], HASHES[0], "h1"),
            void(IDS[0], HASHES[0], "none"),
            grant(IDS[1], 1, "b"),
        )
    )
    assert isinstance(results[1], AssertionError)
    assert isinstance(results[2], HoldNotFound)
    assert [entry.reference for entry in state.entries] == ["a", "b"]


def test_batch_on_rows_loaded_in_one_step_has_the_same_results() -> None:
    """Nothing is read that `rows_needed` does not name: that would raise `KeyError`."""
    for batch in every_kind_of_batch():
        single, planned = DictRows(), DictRows()
        for rows in (single, planned):
            rows.run(FUNDED)
            rows.run([place(IDS[0], HASHES[0], "open", 5)])
        loaded = load_each(planned, rows_needed(batch))
        state = BatchState(loaded, None, check_references=True)
        results = state.apply(requests(*batch))
        assert [told(result) for result in results] == [told(r) for r in single.run(batch)]


def every_kind_of_batch() -> list[list[c.Command]]:
    kinds = [some_command(kind, 0, "open", 1) for kind in EntryKind]
    return [
        *([command] for command in kinds),
        [grant(IDS[1], 1, "fu\u0308r"), grant(IDS[1], 1, "f\u00fcr")],
        [grant(IDS[0], 20, "first"), grant(IDS[0], 21, "first")],
        [void(IDS[0], HASHES[1], "open"), void(IDS[1], HASHES[0], "open")],
    ]


def test_attachments_of_accepted_commands_are_collected_by_kind_in_order() -> None:
    rows = DictRows()
    rows.run(FUNDED)
    begun = open_generation(IDS[0], HASHES[0], "h1", 5)
    ended = finished(begun, Usage(input=1))
    answer = StoredAnswer(IDS[0], "h1", b"{}", T0_MS)
    state = BatchState(rows, None, check_references=False)
    state.apply(
        [
            WriteRequest(place(IDS[0], HASHES[0], "h1", 5), (begun,)),
            WriteRequest(place(IDS[0], HASHES[0], "h1", 5), (begun,)),
            WriteRequest(capture(IDS[0], HASHES[0], "h1", 1), (ended, answer)),
            WriteRequest(void(IDS[0], HASHES[0], "none"), ()),
            WriteRequest(place(IDS[0], HASHES[0], "h2", 50), (open_generation(*BIG),)),
        ]
    )
    assert state.attachments.keys() == {Generation, StoredAnswer}
    assert list(state.attachments.values()) == [[begun, ended], [answer]]
