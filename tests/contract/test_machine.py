"""Random histories of the pure core and of every store, compared with an independent model."""

import asyncio
import copy
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Literal, NamedTuple

import msgspec
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from modelgates_server.core.errors import GatewayError
from modelgates_server.core.keys import KeyChange, KeyKind, WindowUsage, windows_at
from modelgates_server.core.ledger import commands as c
from modelgates_server.core.ledger.records import ENDS_AS, Entry, EntryKind
from modelgates_server.core.times import LimitReset
from tests.contract.model import DONE, KeyUse, Model, dollars, same_window, utc_day
from tests.contract.subjects import PureSubject, Result, StoreSubject, Subject
from tests.support import (
    DOLLAR,
    HOLD_MS,
    HOUR_MS,
    adjust,
    capture,
    capture_late,
    closing,
    expire,
    extend,
    grant,
    new_account_id,
    new_key,
    opening,
    place,
    void,
)

CHARGES = {EntryKind.USAGE, EntryKind.EXPIRE, EntryKind.LATE_USAGE}
"""The kinds of entries whose amounts add up to an account's usage."""

# Sunday, 2026-11-29T23:50Z: the day and the week end in ten minutes, the month a day later.
START_MS = 1_795_996_200_000
DAY_MS = 24 * HOUR_MS
FLOORS = (0, -2 * DOLLAR)
LIMITED = {"limit_pico": 3 * DOLLAR, "limit_reset": LimitReset.DAILY}
KEYS: tuple[tuple[int, dict[str, object]], ...] = (
    (0, {}),
    (0, LIMITED),
    (1, {}),
    (1, {"kind": KeyKind.MANAGEMENT}),
)
# Sometimes a key of the other account or of the wrong kind is tried.
KEYS_OF = ((0, 1, 1, 2), (2, 2, 3, 0))
# Explaining a failure takes minutes; the shrunken history speaks for itself.
PHASES = (Phase.generate, Phase.shrink)

Kind = Literal[
    "grant", "adjust", "hold", "extend", "capture", "void", "expire", "late", "close", "empty",
    "open", "repair",
]  # fmt: skip
KINDS: tuple[Kind, ...] = (
    *("hold",) * 5, *("capture",) * 3, "grant", "adjust", "extend", "void", "expire", "expire",
    "late", "late", "repair", "repair", "empty", "close", "open",
)  # fmt: skip

amounts = st.one_of(st.sampled_from([0, 1, DOLLAR, 3 * DOLLAR]), st.integers(0, 2 * DOLLAR))

Sent = tuple[c.Command, Result]


class Request(NamedTuple):
    """A command to send; `which` selects a hold and `key` a key, mostly matching ones."""

    kind: Kind
    account: int
    key: int
    which: int
    amount_pico: int


requests = st.builds(
    Request,
    kind=st.sampled_from(KINDS),
    account=st.integers(0, 1),
    key=st.integers(0, 3),
    which=st.integers(0, 9),
    amount_pico=amounts,
)
changes = st.builds(
    KeyChange,
    disabled=st.sampled_from([False, False, False, True]),
    limit_pico=st.one_of(st.sampled_from([msgspec.UNSET, None]), amounts),
    limit_reset=st.sampled_from([msgspec.UNSET, None, *LimitReset]),
    deleted=st.sampled_from([False] * 9 + [True]),
)


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self.subject = subject
        self.model = Model()
        self.now_ms = START_MS
        self.ids = [new_account_id() for _ in FLOORS]
        self.hashes: list[str] = []
        self.sent: list[c.Command] = []
        self.first: dict[tuple[str, str], Entry] = {}
        self.seen: dict[str, list[Entry]] = {account_id: [] for account_id in self.ids}

    @initialize()
    def open_accounts(self) -> None:
        for account_id, floor in zip(self.ids, FLOORS, strict=True):
            self.send(opening(account_id, floor))
            self.send(grant(account_id, 5 * DOLLAR))
        for index, members in KEYS:
            _, key = new_key(self.ids[index], **members)
            self.subject.create_key(key)
            self.model.keys[key.hash] = KeyUse(key)
            self.hashes.append(key.hash)
            for number in range(3 if key.kind is KeyKind.INFERENCE else 0):
                hold_id = f"{key.hash[:4]} {number}"
                self.send(place(self.ids[index], key.hash, hold_id, number * 10**11, START_MS))

    @rule(request=requests)
    def ask(self, request: Request) -> None:
        self.send(self.command(request))

    @rule(request=requests, used_pico=amounts)
    def call(self, request: Request, used_pico: int) -> None:
        self.ask(request._replace(kind="hold"))
        self.ask(request._replace(kind="capture", amount_pico=used_pico))

    @rule(request=requests)
    def end_twice_at_once(self, request: Request) -> None:
        ends = [self.command(request._replace(kind=k)) for k in ("capture", "void", "expire")]
        self.send(ends[request.key % 3], ends[request.which % 3])

    @rule(one=requests, other=requests)
    def ask_two_at_once(self, one: Request, other: Request) -> None:
        self.send(self.command(one), self.command(other))

    @rule(which=st.integers(0, 9))
    def repeat(self, which: int) -> None:
        again = msgspec.structs.replace(self.sent[-1 - which % len(self.sent)], at_ms=self.now_ms)
        self.send(again)

    @rule(which=st.integers(0, 9))
    def repeat_twice_at_once(self, which: int) -> None:
        again = self.sent[-1 - which % len(self.sent)]
        self.send(again, again)

    @rule(which=st.integers(0, 9), request=requests)
    def reuse_a_reference(self, which: int, request: Request) -> None:
        reference = self.sent[-1 - which % len(self.sent)].reference
        command = self.command(request)
        if not isinstance(command, c.CaptureLate):  # its reference is that of its hold
            self.send(msgspec.structs.replace(command, reference=reference))

    @rule(request=requests)
    def outlive_a_hold(self, request: Request) -> None:
        self.now_ms += HOLD_MS
        self.ask(request._replace(kind="expire"))

    @rule(request=requests, between=requests, used_pico=amounts)
    def capture_an_expired_hold(self, request: Request, between: Request, used_pico: int) -> None:
        """Something may spend the credits in between. Late usage may come twice."""
        self.outlive_a_hold(request)
        expired = self.sent[-1]
        self.ask(between)
        assert isinstance(expired, c.HoldCommand)
        late = capture_late(
            expired.account_id, expired.key_hash, expired.hold_id, used_pico, self.now_ms
        )
        self.send(late, late)

    @precondition(lambda self: len(self.sent) > 40)
    @rule(request=requests)
    def wind_up(self, request: Request) -> None:
        account_id = self.ids[request.account]
        holds = self.model.accounts[account_id].holds
        open_holds = {name: hold for name, hold in holds.items() if hold.is_open and hold.amount}
        for hold_id, hold in open_holds.items():
            self.send(void(account_id, hold.key_hash, hold_id, self.now_ms))
        self.ask(request._replace(kind="empty"))
        self.ask(request._replace(kind="close"))

    @rule(
        step_ms=st.sampled_from(
            [HOLD_MS, HOUR_MS, DAY_MS, 5 * DAY_MS, 31 * DAY_MS, -HOLD_MS, -DAY_MS, -8 * DAY_MS]
        )
    )
    def let_time_pass(self, step_ms: int) -> None:
        self.now_ms += step_ms

    @rule(which=st.integers(0, 3), change=changes)
    def change_key(self, which: int, change: KeyChange) -> None:
        key_hash = self.hashes[which]
        if self.model.keys[key_hash].row.deleted_at_ms is None:
            expected = self.model.change_key(key_hash, change, self.now_ms)
            try:
                self.subject.change_key(key_hash, change, self.now_ms)
            except GatewayError as refusal:
                assert type(refusal).__name__ in expected  # noqa: PT017 - a refusal is one outcome
            else:
                assert expected == DONE

    @rule()
    def reopen(self) -> None:
        self.subject.reopen()

    def command(self, request: Request) -> c.Command:
        account_id = self.ids[request.account]
        hold_id = self.hold_id(account_id, request.which)
        amount, now_ms = request.amount_pico, self.now_ms
        number = f"{request.kind}:{len(self.sent)}"
        new_id = f"h{len(self.sent)}" if request.which else hold_id
        key_hash = self.hashes[KEYS_OF[request.account][request.key]]
        owner = self.owner(account_id, hold_id, request) or key_hash
        left = int(self.model.accounts[account_id].available * DOLLAR)
        build: dict[Kind, Callable[[], c.Command]] = {
            "grant": lambda: grant(account_id, amount + 1),
            "adjust": lambda: adjust(account_id, (amount + 1) * (-1) ** request.which),
            "empty": lambda: adjust(account_id, -left or 1),
            "hold": lambda: place(account_id, key_hash, new_id, amount, now_ms),
            "extend": lambda: extend(account_id, owner, hold_id, number, amount, now_ms),
            "capture": lambda: capture(account_id, owner, hold_id, amount, now_ms),
            "void": lambda: void(account_id, owner, hold_id, now_ms),
            "expire": lambda: expire(
                account_id, owner, hold_id, now_ms, amount * (request.which % 2)
            ),
            "late": lambda: capture_late(account_id, owner, hold_id, amount, now_ms),
            "repair": lambda: self.repair(account_id, key_hash),
            "close": lambda: closing(account_id),
            "open": lambda: opening(account_id),
        }
        command = build[request.kind]()
        if isinstance(command, c.CaptureLate):
            return command
        return msgspec.structs.replace(command, reference=number)

    def repair(self, account_id: str, key_hash: str) -> c.RepairKey:
        """Sums the entries of a key up in its windows of today."""
        use, today = self.model.keys[key_hash], utc_day(self.now_ms)
        windows = [
            sum(int(amount * DOLLAR) for day, amount in use.dated(self.now_ms) if is_in(day))
            for is_in in (partial(same_window, reset, today) for reset in LimitReset)
        ]
        return c.RepairKey(
            account_id=account_id,
            reference="repair",
            at_ms=self.now_ms,
            key_hash=key_hash,
            reason="test",
            windows=WindowUsage(*windows),
            usage_pico=int(use.usage * DOLLAR),
        )

    def hold_id(self, account_id: str, which: int) -> str:
        holds = self.model.accounts[account_id].holds
        matching = [name for name, hold in holds.items() if hold.is_open == (which < 8)]
        return matching[which % len(matching)] if matching else "never placed"

    def owner(self, account_id: str, hold_id: str, request: Request) -> str | None:
        """The key of a hold; sometimes None, so that a wrong key is sent."""
        hold = self.model.accounts[account_id].holds.get(hold_id)
        wrong = request.key == 3 and request.which % 2
        return None if hold is None or wrong else hold.key_hash

    def send(self, *commands: c.Command) -> None:
        """Sends commands at once; their outcome must be that of one order of them."""
        results = self.subject.run(commands)
        self.sent.extend(commands)
        sent = list(zip(commands, results, strict=True))
        if not any(self.explained_by(order) for order in orders(sent)):
            outcomes = [(command, outcome(result)) for command, result in sent]
            pytest.fail(f"no order explains {outcomes}")
        for command, result in sent:
            if not isinstance(result, Exception):
                name = (command.account_id, command.reference)
                assert self.first.setdefault(name, result.entry) == result.entry

    def explained_by(self, order: Sequence[Sent]) -> bool:
        """Whether the model allows these outcomes; if so, it continues from there."""
        model = copy.deepcopy(self.model) if len(order) > 1 else self.model
        if not all(outcome(result) in model.ask(command) for command, result in order):
            return False
        self.model = model
        return True

    @invariant()
    def figures_are_those_of_the_model(self) -> None:
        for account_id, expected in self.model.accounts.items():
            account = self.subject.account(account_id)
            assert account is not None
            assert dollars(account.credits_pico) == expected.credits
            assert dollars(account.usage_pico) == expected.usage
            assert dollars(account.held_pico) == expected.held
            assert (account.closed_at_ms is not None) == expected.closed
            assert account.available_pico >= account.min_balance_pico

    @invariant()
    def keys_are_those_of_the_model(self) -> None:
        for key_hash, expected in self.model.keys.items():
            key = self.subject.key(key_hash)
            if expected.row.deleted_at_ms is not None:
                assert key is None
                continue
            assert key is not None
            assert dollars(key.usage_pico) == expected.usage
            assert dollars(key.held_pico) == self.model.held_by(key_hash)
            windows = windows_at(key, self.now_ms)
            assert dollars(windows.daily_pico) == expected.spent("daily", self.now_ms)
            assert dollars(windows.weekly_pico) == expected.spent("weekly", self.now_ms)
            assert dollars(windows.monthly_pico) == expected.spent("monthly", self.now_ms)

    @invariant()
    def entries_fold_to_the_account(self) -> None:
        for account_id in self.model.accounts:
            account, entries = self.subject.account(account_id), self.subject.entries(account_id)
            assert account is not None
            assert [entry.seq for entry in entries] == list(range(1, account.last_seq + 1))
            assert entries[: len(self.seen[account_id])] == self.seen[account_id]
            self.seen[account_id] = entries
            posted = [e.amount_pico for e in entries if e.kind not in CHARGES]
            assert account.credits_pico == sum(posted)
            assert account.usage_pico == -sum(e.amount_pico for e in entries if e.kind in CHARGES)
            balance_pico = held_pico = 0
            for entry in entries:
                balance_pico += entry.amount_pico
                held_pico += entry.held_pico
                assert (entry.balance_after_pico, entry.held_after_pico) == (
                    balance_pico,
                    held_pico,
                )
                assert entry.amount_pico + entry.platform_pico + entry.overrun_pico == 0
                assert balance_pico - held_pico >= account.min_balance_pico
            assert (balance_pico, held_pico) == (account.balance_pico, account.held_pico)
            ended = [entry.hold_id for entry in entries if entry.kind in ENDS_AS]
            assert len(ended) == len(set(ended))


def orders(sent: list[Sent]) -> list[list[Sent]]:
    return [sent] if len(sent) == 1 else [sent, sent[::-1]]


def outcome(result: Result) -> str:
    if isinstance(result, Exception):
        return type(result).__name__
    return "again" if result.replayed else "done"


@pytest.fixture
def store_subject(database_url: str) -> Iterator[StoreSubject]:
    with asyncio.Runner() as runner:
        subject = StoreSubject(database_url, runner)
        yield subject
        subject.close()


def machine_on(subject: Callable[[], Subject]) -> type[LedgerMachine]:
    class Machine(LedgerMachine):
        def __init__(self) -> None:
            super().__init__(subject())

    return Machine


def test_random_histories_of_the_pure_ledger_match_the_model() -> None:
    run_state_machine_as_test(
        machine_on(PureSubject),
        settings=settings(max_examples=200, stateful_step_count=40, phases=PHASES),
    )


def test_random_histories_of_a_store_match_the_model(store_subject: StoreSubject) -> None:
    run_state_machine_as_test(
        machine_on(lambda: store_subject),
        settings=settings(max_examples=80, stateful_step_count=40, phases=PHASES),
    )
