"""Helpers that most tests need. Times are integers in ms, amounts integers in picos."""

import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from modelgates_server.core import ids
from modelgates_server.core.errors import GatewayError
from modelgates_server.core.keys import (
    SECRET_BYTES,
    Key,
    KeyKind,
    WindowUsage,
    key_hash,
    key_label,
    key_text,
)
from modelgates_server.core.ledger import commands as c
from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import Generation, Origin
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.core.pricing.prices import Price, Tier, charge_for, used_pico
from modelgates_server.core.pricing.usage import Meter, Usage
from modelgates_server.service.ports import Keys, Ledger, Store
from modelgates_server.store.sqlite.opening import open_store

T0_MS = 1_795_439_520_000
"""2026-11-23T13:12:00Z, a Monday."""

DOLLAR = 10**12
HOUR_MS = 3_600_000
HOLD_MS = 600_000


def error_classes() -> list[type[GatewayError]]:
    """Returns all error classes, each base class before its subclasses."""

    def tree(base: type[GatewayError]) -> list[type[GatewayError]]:
        return [base, *(error for subclass in base.__subclasses__() for error in tree(subclass))]

    return tree(GatewayError)


class ManualClock:
    """A clock that only the test moves. Calling it returns the time in ms."""

    def __init__(self, now_ms: int = T0_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms

    def forward(self, ms: int) -> None:
        self.now_ms += ms


def open_database(url: str) -> Store:
    """Opens a test's database. A second call returns a second store on the same database."""
    scheme, _, path = url.partition(":///")
    opens = {"sqlite": lambda: open_store(Path(path))}
    return opens[scheme]()


def new_account_id() -> str:
    return ids.account_id(os.urandom(ids.ACCOUNT_ID_BYTES))


def new_key(account_id: str, **members: Any) -> tuple[str, Key]:
    """Returns the text of a new key and its row, without saving it."""
    text = key_text(os.urandom(SECRET_BYTES))
    defaults = {"kind": KeyKind.INFERENCE, "name": "test", "created_at_ms": T0_MS}
    named = {"hash": key_hash(text), "account_id": account_id, "label": key_label(text)}
    return text, Key(**{**named, **defaults, **members})


def opening(account_id: str, min_balance_pico: int = 0, reference: str = "open") -> c.OpenAccount:
    """Opens an account named `test`."""
    return c.OpenAccount(
        account_id=account_id,
        reference=reference,
        at_ms=T0_MS,
        name="test",
        min_balance_pico=min_balance_pico,
    )


def closing(account_id: str, reference: str = "close") -> c.CloseAccount:
    """Closes an account."""
    return c.CloseAccount(account_id=account_id, reference=reference, at_ms=T0_MS)


def grant(account_id: str, amount_pico: int, reference: str = "grant") -> c.Grant:
    """Grants credits for the reason `test`."""
    return c.Grant(
        account_id=account_id,
        reference=reference,
        at_ms=T0_MS,
        amount_pico=amount_pico,
        reason="test",
    )


def adjust(account_id: str, amount_pico: int, reference: str = "adjust") -> c.Adjust:
    """Adjusts credits for the reason `test`."""
    return c.Adjust(
        account_id=account_id,
        reference=reference,
        at_ms=T0_MS,
        amount_pico=amount_pico,
        reason="test",
    )


async def open_account(
    store: Ledger, credits_pico: int = 0, *, account_id: str = "", min_balance_pico: int = 0
) -> str:
    """Opens an account with credits and returns its id; uses the references `open` and `grant`."""
    name = account_id or new_account_id()
    await store.execute(opening(name, min_balance_pico))
    if credits_pico:
        await store.execute(grant(name, credits_pico))
    return name


async def make_key(store: Keys, account_id: str, **members: Any) -> tuple[str, Key]:
    """Saves a new key, an inference key by default; returns its text and its row."""
    text, key = new_key(account_id, **members)
    await store.create_key(key)
    return text, key


def place(
    account_id: str, key_hash: str, hold_id: str, amount_pico: int, at_ms: int = T0_MS
) -> c.PlaceHold:
    """Places a hold for ten minutes, with the reference `hold:ID`."""
    return c.PlaceHold(
        account_id=account_id,
        reference=f"hold:{hold_id}",
        at_ms=at_ms,
        hold_id=hold_id,
        key_hash=key_hash,
        amount_pico=amount_pico,
        expires_at_ms=at_ms + HOLD_MS,
    )


def extend(
    account_id: str, key_hash: str, hold_id: str, step: str, amount_pico: int, at_ms: int = T0_MS
) -> c.ExtendHold:
    """Extends a hold to ten minutes from `at_ms`, with the reference `extend:ID:STEP`."""
    return c.ExtendHold(
        account_id=account_id,
        reference=f"extend:{hold_id}:{step}",
        at_ms=at_ms,
        hold_id=hold_id,
        key_hash=key_hash,
        amount_pico=amount_pico,
        expires_at_ms=at_ms + HOLD_MS,
    )


def capture(
    account_id: str, key_hash: str, hold_id: str, amount_pico: int, at_ms: int = T0_MS
) -> c.CaptureHold:
    """Captures a hold, with the reference `end:ID`."""
    return c.CaptureHold(
        account_id=account_id,
        reference=f"end:{hold_id}",
        at_ms=at_ms,
        hold_id=hold_id,
        key_hash=key_hash,
        amount_pico=amount_pico,
    )


def void(account_id: str, key_hash: str, hold_id: str, at_ms: int = T0_MS) -> c.VoidHold:
    """Voids a hold, with the reference `end:ID`."""
    return c.VoidHold(
        account_id=account_id,
        reference=f"end:{hold_id}",
        at_ms=at_ms,
        hold_id=hold_id,
        key_hash=key_hash,
    )


def expire(
    account_id: str, key_hash: str, hold_id: str, at_ms: int, amount_pico: int = 0
) -> c.ExpireHold:
    """Expires a hold, with the reference `end:ID`."""
    return c.ExpireHold(
        account_id=account_id,
        reference=f"end:{hold_id}",
        at_ms=at_ms,
        hold_id=hold_id,
        key_hash=key_hash,
        amount_pico=amount_pico,
    )


def capture_late(
    account_id: str, key_hash: str, hold_id: str, amount_pico: int, at_ms: int = T0_MS
) -> c.CaptureLate:
    """Captures usage of an expired hold, with the reference `late:ID`."""
    return c.CaptureLate(
        account_id=account_id,
        reference=f"late:{hold_id}",
        at_ms=at_ms,
        hold_id=hold_id,
        key_hash=key_hash,
        amount_pico=amount_pico,
    )


def repair(key: Key, at_ms: int, windows: WindowUsage, reference: str = "repair") -> c.RepairKey:
    """Repairs a key, for the reason `test`."""
    return c.RepairKey(
        account_id=key.account_id,
        reference=reference,
        at_ms=at_ms,
        key_hash=key.hash,
        reason="test",
        windows=windows,
        usage_pico=key.usage_pico,
    )


PICO_PRICE = Price(
    id="price-1",
    endpoint_id="maker:model-1",
    from_ms=0,
    source="test",
    tiers=(Tier(0, {Meter.INPUT: Decimal("1e-12"), Meter.OUTPUT: Decimal("2e-12")}),),
)
"""An input token costs one pico, an output token two."""


def open_generation(
    account_id: str,
    key_hash: str,
    hold_id: str,
    amount_pico: int,
    at_ms: int = T0_MS,
    **members: Any,
) -> Generation:
    """The generation of a call whose hold was placed with `place`, at `PICO_PRICE`."""
    values: dict[str, Any] = {
        "id": hold_id,
        "account_id": account_id,
        "key_hash": key_hash,
        "api": Api.CHAT,
        "model": "maker/model-1",
        "endpoint_id": PICO_PRICE.endpoint_id,
        "provider": "maker",
        "price_id": PICO_PRICE.id,
        "markup_bp": 0,
        "origin": Origin(request_id="req-1"),
        "created_at_ms": at_ms,
        "hold_pico": amount_pico,
        "prompt_tokens_max": amount_pico,
        "completion_tokens_max": amount_pico // 2,
        "streamed": False,
    }
    return Generation(**{**values, **members})


def finished(
    generation: Generation, usage: Usage, at_ms: int = T0_MS, state: HoldState = HoldState.CAPTURED
) -> Generation:
    """The generation at its end, with a receipt at `PICO_PRICE`."""
    charge = charge_for(PICO_PRICE, usage, generation.markup_bp, generation.hold_pico)
    return msgspec.structs.replace(
        generation,
        state=state,
        ended_at_ms=at_ms,
        usage=usage,
        lines=charge.lines,
        cost_pico=charge.amount_pico,
        overrun_pico=used_pico(charge) - charge.amount_pico,
    )


def voided_generation(generation: Generation, at_ms: int = T0_MS) -> Generation:
    """The generation at an end without a charge."""
    return msgspec.structs.replace(generation, state=HoldState.VOIDED, ended_at_ms=at_ms)


def has_true_checksum(text: str) -> bool:
    """Whether a key passes the check that SECURITY.md recommends to scanners."""
    return ids.checksum(text[: -ids.CHECKSUM_CHARS]) == text[-ids.CHECKSUM_CHARS :]
