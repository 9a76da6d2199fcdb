from collections.abc import Sequence
from decimal import Decimal
from itertools import groupby

import msgspec
import pytest

from modelgates_server.core.audit.findings import UNREADABLE, Finding, Findings, GenerationRow
from modelgates_server.core.audit.generations import GenerationsAudit
from modelgates_server.core.ledger.commands import Command
from modelgates_server.core.ledger.records import Entry, HoldState
from modelgates_server.core.metering.generations import ActivityRow, Generation, activity_of
from modelgates_server.core.money import ENTRY_MAX_PICO
from modelgates_server.core.pricing.prices import ReceiptLine
from modelgates_server.core.pricing.usage import Usage
from modelgates_server.core.times import MS_PER_DAY
from tests.core.conftest import OneAccount
from tests.support import (
    HOLD_MS,
    T0_MS,
    capture,
    expire,
    extend,
    finished,
    open_generation,
    place,
    void,
    voided_generation,
)

replace = msgspec.structs.replace

SOME = Usage(input=300, cache_read=7, output=20, reasoning=3)  # costs 353 picos
SUMS = (
    "requests",
    "usage_pico",
    "prompt_tokens",
    "completion_tokens",
    "reasoning_tokens",
    "cached_tokens",
)


class Calls(msgspec.Struct):
    """The rows of one account that an audit of generations reads."""

    account_id: str
    entries: list[Entry]
    rows: list[GenerationRow]
    activity: list[ActivityRow]

    def audit(self) -> list[Finding]:
        findings = Findings(self.account_id)
        audit = GenerationsAudit(findings)
        on_holds = (entry for entry in self.entries if entry.hold_id is not None)
        steps: list[Entry | GenerationRow] = [*on_holds, *self.rows]
        for step in sorted(steps, key=_order):
            if isinstance(step, Entry):
                audit.entry(step)
            else:
                audit.row(step)
        audit.close(self.activity)
        return findings.noted

    def with_record(self, row: GenerationRow, **members: object) -> "Calls":
        """Changes a record, and its columns accordingly."""
        record = replace(row.record, **members)
        changed = row_of(record) if isinstance(record.state, HoldState) else row
        return self.with_row(row, changed)

    def with_row(self, row: GenerationRow, changed: GenerationRow) -> "Calls":
        return replace(self, rows=[changed if other is row else other for other in self.rows])

    def with_activity(self, row: ActivityRow, changed: ActivityRow) -> "Calls":
        return replace(
            self, activity=[changed if other is row else other for other in self.activity]
        )

    def of(self, generation_id: str) -> GenerationRow:
        return next(row for row in self.rows if row.id == generation_id)


def _order(step: Entry | GenerationRow) -> tuple[str, bool]:
    if isinstance(step, Entry):
        return str(step.hold_id), False
    return str(step.id), True


def row_of(record: Generation) -> GenerationRow:
    return GenerationRow(
        record.account_id, record.id, record.state, record.cost_pico, record.idempotency, record
    )


def activity_rows(generations: Sequence[Generation]) -> list[ActivityRow]:
    """Calculates the sums in a different way from the audit."""

    def name(row: ActivityRow) -> list[object]:
        return [row.quarter_hour, row.key_hash, row.endpoint_id, row.model]

    rows = [row for row in map(activity_of, generations) if row is not None]
    return [
        replace(same[0], **{total: sum(getattr(row, total) for row in same) for total in SUMS})
        for same in (list(group) for _, group in groupby(sorted(rows, key=name), name))
    ]


def make_generations(ledger: OneAccount) -> list[Generation]:
    """Makes calls that end in every way, on two keys and two days."""
    other = ledger.add_key()
    generations: list[Generation] = []

    def call(hold_id: str, end: Command, ended: Generation) -> None:
        ledger.run(place(ledger.id, ended.key_hash, hold_id, 400))
        ledger.run(extend(ledger.id, ended.key_hash, hold_id, "1", ended.hold_pico - 400))
        ledger.run(end)
        generations.append(ended)

    for day in (0, 1):
        for key_hash in (ledger.key_hash, other):
            for number in range(2):
                hold_id, at_ms = f"paid-{day}{key_hash[:4]}{number}", T0_MS + day * MS_PER_DAY
                ended = finished(open_generation(ledger.id, key_hash, hold_id, 500), SOME, at_ms)
                call(
                    hold_id,
                    capture(ledger.id, key_hash, hold_id, ended.cost_pico, at_ms),
                    ended,
                )
    over = open_generation(ledger.id, other, "over", 400, markup_bp=5000)
    ended = finished(over, SOME)
    assert {line.meter for line in ended.lines} >= {"rounding", "overrun"}
    call(
        "over",
        capture(ledger.id, other, "over", ended.cost_pico + ended.overrun_pico),
        ended,
    )
    ended = voided_generation(open_generation(ledger.id, other, "void", 500))
    call("void", void(ledger.id, other, "void"), ended)
    seen = finished(
        open_generation(ledger.id, other, "lost", 500), SOME, T0_MS + HOLD_MS, HoldState.EXPIRED
    )
    call("lost", expire(ledger.id, other, "lost", T0_MS + HOLD_MS, seen.cost_pico), seen)
    unseen = replace(
        voided_generation(open_generation(ledger.id, other, "unseen", 500)), state=HoldState.EXPIRED
    )
    unseen = replace(unseen, ended_at_ms=T0_MS + HOLD_MS)
    call("unseen", expire(ledger.id, other, "unseen", T0_MS + HOLD_MS), unseen)
    for hold_id in ("open", "open-seen", "nameless"):
        ledger.run(place(ledger.id, ledger.key_hash, hold_id, 500))
    generations.append(open_generation(ledger.id, ledger.key_hash, "open", 500))
    running = open_generation(ledger.id, ledger.key_hash, "open-seen", 500)
    checkpoint = replace(finished(running, SOME), state=HoldState.OPEN, ended_at_ms=None)
    return [*generations, checkpoint]


@pytest.fixture
def calls(ledger: OneAccount) -> Calls:
    generations = make_generations(ledger)
    return Calls(
        ledger.id, ledger.journal, [row_of(one) for one in generations], activity_rows(generations)
    )


def invariants(found: Sequence[Finding]) -> set[str]:
    return {finding.invariant for finding in found}


def messages(found: Sequence[Finding]) -> list[str]:
    return [finding.message for finding in found]


def test_valid_generations_have_no_findings(calls: Calls) -> None:
    assert {row.state for row in calls.rows} == set(HoldState)
    assert len(calls.activity) == 5
    assert calls.audit() == []


@pytest.mark.parametrize("step", [1, -1])
@pytest.mark.parametrize(
    "name", ["cost_pico", "overrun_pico", "hold_pico", "created_at_ms", "ended_at_ms"]
)
def test_amount_off_by_one_is_found(calls: Calls, name: str, step: int) -> None:
    for row in calls.rows:
        now = getattr(row.record, name)
        damaged = calls.with_record(row, **{name: step if now is None else now + step})
        assert "I6" in invariants(damaged.audit()), row


def test_wrong_state_is_found(calls: Calls) -> None:
    for row in calls.rows:
        for state in set(HoldState) - {row.state}:
            assert "I6" in invariants(calls.with_record(row, state=state).audit()), f"{row} {state}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("account_id", "user_x"),
        ("id", "paid"),
        ("state", HoldState.OPEN),
        ("cost_pico", 1),
        ("idempotency", "x"),
    ],
)
def test_column_that_differs_from_its_record_is_found(
    calls: Calls, name: str, value: object
) -> None:
    row = calls.of("over")
    damaged = calls.with_row(row, replace(row, **{name: value}))
    is_now = "0.000000000001" if name == "cost_pico" else value
    should_be = "0.0000000004" if name == "cost_pico" else getattr(row, name)
    figure = name.removesuffix("_pico").replace("_", " ")
    generation_id = value if name == "id" else row.id
    message = f"{figure} of generation {generation_id!r}: {is_now}, but {should_be} according to "
    assert message + "its record" in messages(damaged.audit())


def test_generation_on_another_key_is_found(calls: Calls) -> None:
    for row in calls.rows:
        assert "I6" in invariants(calls.with_record(row, key_hash="x").audit()), row


def test_generation_without_a_hold_is_found(calls: Calls) -> None:
    stray = row_of(replace(calls.of("open").record, id="nowhere"))
    found = replace(calls, rows=[*calls.rows, stray]).audit()
    assert found == [Finding("I6", calls.account_id, "generation 'nowhere' has no hold")]


def test_missing_generation_is_found_when_it_was_charged(calls: Calls) -> None:
    for row in calls.rows:
        kept = replace(calls, rows=[other for other in calls.rows if other is not row])
        assert ("I1" in invariants(kept.audit())) == (activity_of(row.record) is not None), row


def test_open_call_that_costs_more_than_its_hold_is_found(calls: Calls) -> None:
    row = calls.of("open-seen")
    lines = (ReceiptLine("input", 501, Decimal("1e-12"), Decimal("501e-12")),)
    damaged = calls.with_record(row, lines=lines, cost_pico=501, usage=Usage(input=501))
    assert messages(damaged.audit()) == [
        "cost of generation 'open-seen': 0.000000000501, but 0.0000000005 according to the journal"
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("quantity", 1_000),
        ("quantity", -1),
        ("rate", Decimal("7e-12")),
        ("amount", Decimal("11e-12")),
        ("meter", "output_image"),
        ("meter", "nonsense"),
    ],
)
def test_changed_receipt_line_is_found(calls: Calls, name: str, value: object) -> None:
    for row in calls.rows:
        for index, line in enumerate(row.record.lines):
            lines = [*row.record.lines]
            lines[index] = replace(line, **{name: value})
            damaged = calls.with_record(row, lines=tuple(lines))
            assert "I6" in invariants(damaged.audit()), f"{line} of {row.id}"


def test_missing_doubled_or_added_receipt_line_is_found(calls: Calls) -> None:
    free = ReceiptLine("output_audio", 5, Decimal(0), Decimal(0))
    for row in calls.rows:
        lines = row.record.lines
        others = [(*lines, free)]
        for index, line in enumerate(lines):
            others += [lines[:index] + lines[index + 1 :], (*lines, line)]
        for changed in others:
            damaged = calls.with_record(row, lines=changed)
            assert "I6" in invariants(damaged.audit()), f"{changed} of {row.id}"


def test_emptied_receipt_of_a_captured_call_is_found(calls: Calls) -> None:
    row = calls.of("over")
    damaged = calls.with_record(row, lines=(), cost_pico=0, overrun_pico=0)
    assert "lines of generation 'over' do not match its usage" in messages(damaged.audit())


def test_changed_usage_is_found(calls: Calls) -> None:
    for row in calls.rows:
        if row.record.usage is None:
            continue
        for meter, quantity in row.record.usage.quantities():
            usage = replace(row.record.usage, **{meter.value: quantity + 1})
            damaged = calls.with_record(row, usage=usage)
            assert "I6" in invariants(damaged.audit()), f"{meter} of {row.id}"
        assert "I6" in invariants(calls.with_record(row, usage=None).audit()), row


def test_rounding_above_half_a_pico_is_found(calls: Calls) -> None:
    row = calls.rows[0]
    pico = Decimal("1e-12")
    first = replace(row.record.lines[0], rate=pico * 2, amount=row.record.lines[0].amount * 2)
    rest = row.record.lines[1:]
    rounding = ReceiptLine("rounding", 1, pico * -300, pico * -300)
    damaged = calls.with_record(row, lines=(first, *rest, rounding))
    assert messages(damaged.audit()) == [
        f"generation {row.id!r} is rounded by more than half a pico"
    ]


def test_overrun_line_without_an_overrun_is_found(calls: Calls) -> None:
    row = calls.rows[0]
    pico = Decimal("1e-12")
    first = replace(row.record.lines[0], rate=pico * 2, amount=row.record.lines[0].amount * 2)
    overrun = ReceiptLine("overrun", 1, pico * -300, pico * -300)
    damaged = calls.with_record(row, lines=(first, *row.record.lines[1:], overrun))
    assert messages(damaged.audit()) == [
        f"receipt of generation {row.id!r} does not show its overrun of 0"
    ]


def test_usage_above_the_maximum_of_an_entry_has_no_findings(ledger: OneAccount) -> None:
    usage = Usage(output=ENTRY_MAX_PICO)
    ended = finished(open_generation(ledger.id, ledger.key_hash, "h", 5), usage)
    assert ended.cost_pico + ended.overrun_pico == ENTRY_MAX_PICO
    ledger.run(place(ledger.id, ledger.key_hash, "h", 5))
    ledger.run(capture(ledger.id, ledger.key_hash, "h", ENTRY_MAX_PICO))
    calls = Calls(ledger.id, ledger.journal, [row_of(ended)], activity_rows([ended]))
    assert calls.audit() == []


@pytest.mark.parametrize(
    "value", ["NaN", "sNaN", "Infinity", "-Infinity", "1e999999", "1e-999999", "9" * 200], ids=str
)
@pytest.mark.parametrize("name", ["rate", "amount"])
def test_invalid_amount_is_found_and_does_not_break_the_audit(
    calls: Calls, name: str, value: str
) -> None:
    row = calls.of("over")
    for index, line in enumerate(row.record.lines):
        lines = [*row.record.lines]
        lines[index] = replace(line, **{name: Decimal(value)})
        found = calls.with_record(row, lines=tuple(lines)).audit()
        assert "I6" in invariants(found)
        assert max(map(len, messages(found))) < 300


@pytest.mark.parametrize("name", SUMS)
def test_activity_sum_off_by_one_is_found(calls: Calls, name: str) -> None:
    for row in calls.activity:
        for step in (1, -1):
            changed = replace(row, **{name: getattr(row, name) + step})
            assert invariants(calls.with_activity(row, changed).audit()) == {"I1"}


@pytest.mark.parametrize("name", ["quarter_hour", "key_hash", "model", "endpoint_id", "provider"])
def test_activity_of_another_time_key_or_model_is_found(calls: Calls, name: str) -> None:
    for row in calls.activity:
        changed = replace(row, **{name: 5 if name == "quarter_hour" else "x"})
        found = messages(calls.with_activity(row, changed).audit())
        assert len(found) == 2
        assert found[0].endswith("has no generation")
        assert "is missing; its generations cost 0.00000000" in found[1]


def test_missing_activity_is_found(calls: Calls) -> None:
    for row in calls.activity:
        kept = replace(calls, activity=[other for other in calls.activity if other is not row])
        assert invariants(kept.audit()) == {"I1"}


def test_activity_of_an_account_without_calls_is_found(calls: Calls) -> None:
    alone = Calls(calls.account_id, [], [], calls.activity)
    assert len(alone.audit()) == 5


def test_unreadable_record_is_found_by_name(calls: Calls) -> None:
    row = calls.of("over")
    damaged = calls.with_row(row, replace(row, record='{"id":'))
    assert damaged.audit()[0] == Finding(
        UNREADABLE,
        calls.account_id,
        "generation 'over' cannot be read: record holds '{\"id\":'",
    )


@pytest.mark.parametrize("value", [None, 1.5, "x", b"x", True, 2**70, -(2**70)], ids=repr)
def test_invalid_value_of_a_row_does_not_break_the_audit(calls: Calls, value: object) -> None:
    for row in calls.rows:
        for name in GenerationRow.__struct_fields__:
            calls.with_row(row, replace(row, **{name: value})).audit()
    for day in calls.activity:
        for name in ActivityRow.__struct_fields__:
            calls.with_activity(day, replace(day, **{name: value})).audit()
    for index, entry in enumerate(calls.entries):
        for name in Entry.__struct_fields__:
            entries = [*calls.entries]
            entries[index] = replace(entry, **{name: value})
            replace(calls, entries=entries).audit()


def test_holds_without_generations_have_no_findings(ledger: OneAccount) -> None:
    make_generations(ledger)
    assert Calls(ledger.id, ledger.journal, [], []).audit() == []
