"""The findings of an audit. It trusts nothing in a row, not even the types; see `oddity`."""

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cache
from itertools import product
from typing import Any, get_args, get_type_hints

import msgspec

from modelgates_server.core.keys import Key
from modelgates_server.core.ledger.records import Account, Entry, Hold, HoldState
from modelgates_server.core.metering.generations import ActivityRow, ArchivedGeneration, Generation
from modelgates_server.core.money import format_pico

UNREADABLE = "file"
"""Stands in for an invariant if a row, or the file itself, contains data that was never written."""


class GenerationRow(msgspec.Struct, frozen=True):
    """A generation in a database: `record` is the whole, the other fields repeat some of it."""

    account_id: str
    id: str
    state: HoldState
    cost_pico: int
    idempotency: str | None
    record: Generation


Row = Account | Entry | Hold | Key | GenerationRow | ArchivedGeneration | ActivityRow

_FOUND_MAX = 5  # for each invariant and account: one damaged line affects all later ones
_SHOWN_CHARS = 80
_YEAR_10000_MS = 253_402_300_800_000


class Finding(msgspec.Struct, frozen=True):
    """One contradiction. `invariant` is I1 to I8 or `UNREADABLE`.

    `account_id` is None for damage to the database itself.
    """

    invariant: str
    account_id: str | None
    message: str


class Findings:
    """Collects the findings about one account, but only the first few of each invariant."""

    def __init__(self, account_id: str) -> None:
        self.account_id = account_id
        self.noted: list[Finding] = []
        self._counts: Counter[str] = Counter()

    def add(self, invariant: str, message: str) -> None:
        """Adds a contradiction."""
        self._counts[invariant] += 1
        if self._counts[invariant] <= _FOUND_MAX:
            self.noted.append(Finding(invariant, self.account_id, message))

    def can_read(self, subject: str, name: object, row: Row) -> bool:
        """Whether a row is fit for calculations. If it is not, adds the reason."""
        odd = oddity(row)
        if odd is not None:
            self.add(UNREADABLE, f"{subject} {name!r} cannot be read: {odd}")
        return odd is None

    def compare(
        self,
        subject: str,
        row: object,
        expected: object,
        figures: Mapping[str, str],
        *,
        by: str = "the journal",
    ) -> None:
        """Adds each difference between a row and what is expected; `figures` has the invariants."""
        for name, invariant in figures.items():
            is_now, should_be = getattr(row, name), getattr(expected, name)
            if is_now != should_be:
                self.add(
                    invariant,
                    f"{name.removesuffix('_pico').replace('_', ' ')} of {subject}: "
                    f"{_shown(name, is_now)}, but {_shown(name, should_be)} according to {by}",
                )


def _shown(name: str, value: Any) -> str:
    return format_pico(value) if name.endswith("_pico") and value is not None else str(value)


@cache
def _sound_types(row: type[Row]) -> frozenset[tuple[type, ...]]:
    """Returns the types of a valid row's fields, in every combination of absent fields."""
    return frozenset(product(*(get_args(hint) or (hint,) for hint in get_type_hints(row).values())))


def oddity(row: Row) -> str | None:
    """Returns why a row is unfit for calculations, such as a wrong type; None if it is fit."""
    values = msgspec.structs.astuple(row)
    if tuple(map(type, values)) not in _sound_types(type(row)):
        for (name, hint), value in zip(get_type_hints(type(row)).items(), values, strict=True):
            if not _may_hold(get_args(hint) or (hint,), value):
                return f"{name} holds {value!r:.{_SHOWN_CHARS}}"
    if isinstance(row, Entry) and not 0 <= row.at_ms < _YEAR_10000_MS:
        return f"at_ms holds {row.at_ms}, which is not a valid time"
    return None


def _may_hold(types: Iterable[type], value: object) -> bool:
    return any(
        type(value) is sound or (issubclass(sound, StrEnum) and value in list(sound))
        for sound in types
    )
