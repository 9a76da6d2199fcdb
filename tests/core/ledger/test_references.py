"""A repeated command returns the first entry; a reused reference is refused."""

import unicodedata
from collections.abc import Callable

import msgspec
import pytest

from modelgates_server.core.errors import (
    HoldNotFound,
    InsufficientCredits,
    InvalidInput,
    ReferenceReused,
)
from modelgates_server.core.keys import WindowUsage
from modelgates_server.core.ledger import commands as c
from modelgates_server.core.ledger.records import EntryKind
from modelgates_server.core.ledger.references import stored_spellings
from modelgates_server.core.times import MS_PER_DAY
from tests.core.conftest import OneAccount
from tests.support import (
    DOLLAR,
    T0_MS,
    adjust,
    capture,
    capture_late,
    closing,
    expire,
    extend,
    grant,
    new_account_id,
    opening,
    place,
    repair,
    void,
)

COMPOSED, DECOMPOSED = "Rechnung f\u00fcr M\u00e4rz", "Rechnung fu\u0308r Ma\u0308rz"


@pytest.mark.parametrize("reference", [DECOMPOSED, "Rechnung f\u00fcr Ma\u0308rz", "1 \u212b"])
def test_new_reference_is_refused_when_it_is_not_in_nfc(ledger: OneAccount, reference: str) -> None:
    for command in (
        grant(ledger.id, 5, reference),
        adjust(ledger.id, 5, reference),
        closing(ledger.id, reference),
        opening(new_account_id(), reference=reference),
    ):
        message = str(ledger.refusal(command, InvalidInput))
        assert unicodedata.normalize("NFC", reference) in message
        assert ascii(unicodedata.normalize("NFC", reference)) in message


def test_new_reference_is_accepted_when_it_is_in_nfc(ledger: OneAccount) -> None:
    for reference in (COMPOSED, "株式会社 🙂", "Ж", "\ufb01"):
        assert not ledger.run(grant(ledger.id, 5, reference)).replayed
        assert ledger.run(grant(ledger.id, 5, reference)).replayed


def test_hold_placed_under_any_id_can_end(ledger: OneAccount) -> None:
    hold_id = f"call {DECOMPOSED}"
    ledger.at_first(place(ledger.id, ledger.key_hash, hold_id, 3))
    ledger.at_first(capture(ledger.id, ledger.key_hash, hold_id, 2))


REPEATED: list[Callable[[OneAccount], c.Command]] = [
    lambda b: opening(b.id),
    lambda b: grant(b.id, 10 * DOLLAR),
    lambda b: adjust(b.id, -1),
    lambda b: place(b.id, b.key_hash, "h", 5),
    lambda b: extend(b.id, b.key_hash, "h", "1", 3),
    lambda b: capture(b.id, b.key_hash, "h", 9),
    lambda b: void(b.id, b.key_hash, "v"),
    lambda b: expire(b.id, b.key_hash, "e", T0_MS + 600_000, 2),
    lambda b: capture_late(b.id, b.key_hash, "e", 7),
    lambda b: repair(b.keys[b.key_hash], T0_MS, WindowUsage(0, 0, 0)),
    lambda b: closing(b.id),
]


def charge_tomorrow(ledger: OneAccount) -> None:
    """Charges the key by a clock that is ahead."""
    ledger.run(place(ledger.id, ledger.key_hash, "tomorrow", 1))
    ledger.run(capture(ledger.id, ledger.key_hash, "tomorrow", 1, T0_MS + MS_PER_DAY))


def every_kind(ledger: OneAccount) -> list[c.Command]:
    """Runs one command of each kind, in an order in which all are accepted."""
    for hold_id in ("v", "e"):
        ledger.run(place(ledger.id, ledger.key_hash, hold_id, 1))
    commands = list[c.Command]()
    for build in REPEATED[:-1]:
        if build is REPEATED[-2]:
            charge_tomorrow(ledger)
        commands.append(build(ledger))
        ledger.run(commands[-1])
    commands.append(REPEATED[-1](ledger))
    left = ledger.accounts[ledger.id].balance_pico
    ledger.run(adjust(ledger.id, -left, "empty"))
    ledger.run(commands[-1])
    return commands


def test_repeated_command_changes_nothing_and_returns_the_first_entry(ledger: OneAccount) -> None:
    commands = every_kind(ledger)
    assert {entry.kind for entry in ledger.journal} == set(EntryKind)
    figures, journal = ledger.figures, list(ledger.journal)
    for command in commands:
        result = ledger.run(msgspec.structs.replace(command, at_ms=T0_MS + 999_999))
        assert result.replayed
        assert result.entry in journal
        assert result.entry.reference == command.reference
    assert (ledger.figures, ledger.journal) == (figures, journal)


@pytest.mark.parametrize(
    ("index", "other"),
    [
        (0, {"name": "other"}),
        (0, {"min_balance_pico": -1}),
        (1, {"amount_pico": 1}),
        (1, {"reason": "other"}),
        (2, {"amount_pico": 1}),
        (2, {"reason": "other"}),
        (3, {"amount_pico": 6}),
        (3, {"hold_id": "other"}),
        (3, {"key_hash": "f" * 64}),
        (4, {"amount_pico": 4}),
        (4, {"hold_id": "v"}),
        (4, {"key_hash": "f" * 64}),
        (5, {"amount_pico": 8}),
        (5, {"hold_id": "v"}),
        (5, {"key_hash": "f" * 64}),
        (6, {"hold_id": "h"}),
        (6, {"key_hash": "f" * 64}),
        (7, {"amount_pico": 0}),
        (7, {"hold_id": "h"}),
        (7, {"key_hash": "f" * 64}),
        (8, {"amount_pico": 6}),
        (8, {"key_hash": "f" * 64}),
        (9, {"reason": "other"}),
        (9, {"key_hash": "f" * 64}),
    ],
)
def test_reference_is_refused_when_it_is_reused_with_other_parameters(
    ledger: OneAccount, index: int, other: dict[str, object]
) -> None:
    command = msgspec.structs.replace(every_kind(ledger)[index], **other)
    message = str(ledger.refusal(command, ReferenceReused))
    assert message == (
        f"Reference {command.reference!r} was used before on account `{ledger.id}` with different "
        "parameters. Use a new reference for a new request."
    )


def test_reference_is_refused_when_it_is_reused_for_another_kind(ledger: OneAccount) -> None:
    commands = every_kind(ledger)
    for first in commands:
        for other in commands:
            # The reference of late usage is that of its hold.
            if type(first) is not type(other) and not isinstance(other, c.CaptureLate):
                changed = msgspec.structs.replace(other, reference=first.reference)
                ledger.refusal(changed, ReferenceReused)


def test_overrun_is_one_of_the_parameters_of_a_capture(ledger: OneAccount) -> None:
    ledger.run(place(ledger.id, ledger.key_hash, "h", 5))
    ledger.run(capture(ledger.id, ledger.key_hash, "h", 9))
    ledger.refusal(capture(ledger.id, ledger.key_hash, "h", 5), ReferenceReused)
    assert ledger.run(capture(ledger.id, ledger.key_hash, "h", 9)).replayed


def test_reference_stays_unused_when_its_command_is_refused(ledger: OneAccount) -> None:
    ledger.refusal(adjust(ledger.id, -11 * DOLLAR, "r"), InsufficientCredits)
    ledger.refusal(void(ledger.id, ledger.key_hash, "none"), HoldNotFound)
    ledger.at_first(adjust(ledger.id, -10 * DOLLAR, "r"))


def test_references_of_two_accounts_are_independent(ledger: OneAccount) -> None:
    other = new_account_id()
    ledger.run(opening(other))
    ledger.at_first(grant(other, 1))
    assert ledger.figures == (10 * DOLLAR, 0, 0)
    assert ledger.accounts[other].credits_pico == 1


@pytest.mark.parametrize(
    ("reference", "spellings"),
    [
        ("plain", ("plain",)),
        ("\u00fcber", ("\u00fcber", "u\u0308ber")),
        ("u\u0308ber", ("u\u0308ber",)),
        ("\u4e2d", ("\u4e2d",)),
    ],
    ids=["ascii", "composed", "decomposed", "of one form"],
)
def test_reference_may_be_stored_decomposed_when_it_is_composed(
    reference: str, spellings: tuple[str, ...]
) -> None:
    assert stored_spellings(reference) == spellings
