"""Checks one account's generations against its journal, and its activity against its generations.

I1 the activity of an account is the sum of its generations and their late usage
I6 a generation agrees with the journal about its hold, and its lines add up to its cost
"""

from collections.abc import Sequence
from decimal import Context, Decimal, Inexact

import msgspec

from modelgates_server.core.audit.archived import ArchivedActivity
from modelgates_server.core.audit.findings import Findings, GenerationRow, oddity
from modelgates_server.core.ledger.records import ENDS_AS, Entry, EntryKind, HoldState
from modelgates_server.core.metering.archives import ArchivedRecord
from modelgates_server.core.metering.generations import (
    ActivityRow,
    ArchivedGeneration,
    Generation,
    activity_of,
    late_activity_of,
)
from modelgates_server.core.money import ENTRY_MAX_PICO, format_pico
from modelgates_server.core.pricing.prices import dollars, total_of
from modelgates_server.core.pricing.usage import Meter, Usage
from modelgates_server.core.times import quarter_hour_of

replace = msgspec.structs.replace

_EXACT = Context(prec=100, traps=[Inexact])
_HALF_PICO = Decimal("5e-13")
_NOTHING = Decimal(0)
_ONCE = (Meter.REQUEST.value, "rounding", "overrun")
"""The lines that a receipt has at most once, after the tokens."""

_COLUMNS = {name: "I6" for name in GenerationRow.__struct_fields__ if name != "record"}
_ACTIVITY_NAMES = ("quarter_hour", "key_hash", "model", "endpoint_id", "provider")
_ACTIVITY_SUMS = tuple(n for n in ActivityRow.__struct_fields__ if n not in _ACTIVITY_NAMES)
_ACTIVITY_FIGURES = dict.fromkeys(_ACTIVITY_SUMS, "I1")


class _RecordedUse(msgspec.Struct, frozen=True):
    """The facts about a generation that the entries of its hold record."""

    id: str
    key_hash: str
    created_at_ms: int
    state: HoldState = HoldState.OPEN
    hold_pico: int = 0
    cost_pico: int = 0
    overrun_pico: int = 0
    ended_at_ms: int | None = None


_FIGURES = {name: "I6" for name in _RecordedUse.__struct_fields__ if name != "id"}
_ARCHIVED_FIGURES = {"state": "I6", "cost_pico": "I6"}


class GenerationsAudit:
    """Folds holds in the order of their ids: each hold's entries by `seq`, then its generation.

    Call `entry` and `row` in that order, then `close`. A hold may lack a generation: holds of
    version 0.1 have none.
    """

    def __init__(self, findings: Findings) -> None:
        self.generations = 0
        self._findings = findings
        self._recorded: _RecordedUse | None = None
        self._late: Entry | None = None  # the late usage of the same hold
        self._activity: dict[tuple[object, ...], ActivityRow] = {}
        self._archived_activity = ArchivedActivity(findings)
        self._archived_record: ArchivedRecord | None = None

    def entry(self, entry: Entry) -> None:
        """Folds the next entry that concerns a hold."""
        if entry.hold_id is None or entry.key_hash is None or oddity(entry) is not None:
            return
        recorded = self._recorded
        if recorded is None or recorded.id != entry.hold_id:
            self._recorded = recorded = _RecordedUse(entry.hold_id, entry.key_hash, entry.at_ms)
            self._late = None
        if entry.kind is EntryKind.LATE_USAGE:
            self._late = entry
        elif entry.kind in ENDS_AS:
            self._recorded = replace(
                recorded,
                state=ENDS_AS[entry.kind],
                cost_pico=-entry.amount_pico,
                overrun_pico=-entry.overrun_pico,
                ended_at_ms=entry.at_ms,
            )
        else:
            self._recorded = replace(recorded, hold_pico=recorded.hold_pico + entry.held_pico)

    def row(self, row: GenerationRow) -> None:
        """Checks a generation against the entries of its hold, and for consistency."""
        self.generations += 1
        if not self._findings.can_read("generation", row.id, row):
            return
        self._check(row)

    def archived_record(self, record: ArchivedRecord) -> None:
        """Takes a record from an archive, before the row that lost it."""
        self._archived_record = record

    def archived(self, row: ArchivedGeneration) -> None:
        """Checks a generation whose record is in an archive: with the record, if it was given."""
        self.generations += 1
        if not self._findings.can_read("generation", row.id, row):
            return
        given = self._archived_record
        if given is not None and (given.id, given.archive) == (row.id, row.archive):
            cells = (row.account_id, row.id, row.state, row.cost_pico, row.idempotency)
            self._check(GenerationRow(*cells, given.record))
            return
        name, recorded = f"generation {row.id!r}", self._recorded
        if recorded is None or recorded.id != row.id:
            self._findings.add("I6", f"{name} has no hold")
            return
        self._findings.compare(name, row, recorded, _ARCHIVED_FIGURES)
        charged = row.state is HoldState.CAPTURED or row.cost_pico > 0
        if charged and recorded.ended_at_ms is not None:
            span = quarter_hour_of(recorded.ended_at_ms), recorded.key_hash
            self._archived_activity.add(span, row.cost_pico)

    def _check(self, row: GenerationRow) -> None:
        generation = row.record
        name = f"generation {row.id!r}"
        self._findings.compare(name, row, generation, _COLUMNS, by="its record")
        self._check_hold(name, generation)
        self._check_lines(name, generation)
        self._check_quantities(name, generation)
        self._add(activity_of(generation))
        if self._late is not None and self._late.hold_id == generation.id:
            self._add(late_activity_of(generation, self._late))

    def close(self, activity: Sequence[ActivityRow]) -> None:
        """Compares the account's activity with the sums of its generations."""
        for row in activity:
            name = f"activity of quarter hour {row.quarter_hour!r}"
            if not self._findings.can_read(name, row.model, row):
                continue
            subject = f"{name} with {row.model!r} by key {row.key_hash}"
            folded = self._activity.pop(_names(row), None)
            others = folded or replace(row, **dict.fromkeys(_ACTIVITY_SUMS, 0))
            if self._archived_activity.explains(
                (row.quarter_hour, row.key_hash), subject, row, others
            ):
                continue
            if folded is None:
                self._findings.add("I1", f"{subject} has no generation")
            else:
                self._findings.compare(
                    subject, row, folded, _ACTIVITY_FIGURES, by="the generations"
                )
        self._archived_activity.close()
        for folded in self._activity.values():
            self._findings.add(
                "I1",
                f"activity of quarter hour {folded.quarter_hour} with {folded.model!r} by key "
                f"{folded.key_hash} is missing; "
                f"its generations cost {format_pico(folded.usage_pico)}",
            )

    def _check_hold(self, name: str, generation: Generation) -> None:
        recorded = self._recorded
        if recorded is None or recorded.id != generation.id:
            self._findings.add("I6", f"{name} has no hold")
            return
        if recorded.state is HoldState.OPEN:
            # The cost is that of the last checkpoint: not charged yet, and within the hold.
            recorded = replace(recorded, cost_pico=min(generation.cost_pico, recorded.hold_pico))
        self._findings.compare(name, generation, recorded, _FIGURES)

    def _check_lines(self, name: str, generation: Generation) -> None:
        """Checks the lines of the receipt: each by itself, and their sum."""
        try:
            for line in generation.lines:
                if _EXACT.multiply(Decimal(line.quantity), line.rate) != line.amount:
                    self._findings.add(
                        "I6", f"line {line.meter!r} of {name} is not its quantity x rate"
                    )
            total = total_of(generation.lines)
            if total != dollars(generation.cost_pico):
                self._findings.add(
                    "I6",
                    f"lines of {name} add up to {total}, "
                    f"but it cost {format_pico(generation.cost_pico)}",
                )
            self._check_last_lines(name, generation)
        except ArithmeticError:
            self._findings.add("I6", f"{name} has lines that are not amounts of money")

    def _check_last_lines(self, name: str, generation: Generation) -> None:
        """Checks the lines for rounding and overrun, where money could hide."""
        amounts = {line.meter: line.amount for line in generation.lines}
        if abs(amounts.get("rounding", _HALF_PICO)) > _HALF_PICO:
            self._findings.add("I6", f"{name} is rounded by more than half a pico")
        overrun_pico = generation.overrun_pico
        if generation.state is not HoldState.CAPTURED:
            return  # a checkpoint has no such lines yet
        if generation.cost_pico + overrun_pico >= ENTRY_MAX_PICO:
            return  # the entry is capped at this amount, the receipt is not
        if amounts.get("overrun", _NOTHING) != dollars(-overrun_pico):
            self._findings.add(
                "I6", f"receipt of {name} does not show its overrun of {format_pico(overrun_pico)}"
            )

    def _check_quantities(self, name: str, generation: Generation) -> None:
        usage = generation.usage or Usage()
        charged = [(line.meter, line.quantity) for line in generation.lines]
        used = [(meter.value, quantity) for meter, quantity in usage.quantities() if quantity]
        once = [(meter, 1) for meter in _ONCE if (meter, 1) in charged]
        if charged != used + once:
            self._findings.add("I6", f"lines of {name} do not match its usage")

    def _add(self, added: ActivityRow | None) -> None:
        if added is None:
            return
        total = self._activity.get(_names(added))
        if total is not None:
            sums = {name: getattr(total, name) + getattr(added, name) for name in _ACTIVITY_SUMS}
            added = replace(added, **sums)
        self._activity[_names(added)] = added


def _names(row: ActivityRow) -> tuple[object, ...]:
    return tuple(getattr(row, name) for name in _ACTIVITY_NAMES)
