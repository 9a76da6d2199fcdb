import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import Attempt, Generation, Origin
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.core.pricing.prices import Price, Tier, charge_for, read_rate
from modelgates_server.core.pricing.usage import Meter, Usage
from modelgates_server.service.services import LedgerServices
from tests.cli.console import Console
from tests.support import DOLLAR, HOLD_MS, T0_MS, capture, capture_late, expire, place, void

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"
ID = "gen-1795439520-000000000000000000001"
RATES = {
    Meter.INPUT: read_rate("0.0000025"),
    Meter.CACHE_READ: read_rate("0.00000125"),
    Meter.OUTPUT: read_rate("0.00001"),
}
PRICE = Price("price_0123456789abcdef", "acme:m1", 0, "test", (Tier(0, RATES),))
USAGE = Usage(input=86, cache_read=1920, output=300)
HOLD_PICO = DOLLAR // 10
NO_WARNINGS: dict[str, Any] = {
    "native_finish_reason": None,
    "served_model": None,
    "upstream_cost": None,
    "usage_warnings": [],
    "error": None,
}
NO_SERVICE_TIERS = dict.fromkeys(["service_tier", "requested_service_tier", "charged_service_tier"])


def open_generation(account: str, key_hash: str, **fields: Any) -> Generation:
    origin = Origin(request_id="req-1", user="alice", title="Chat")
    attempt = Attempt(
        provider="acme",
        upstream_model="m1",
        started_at_ms=T0_MS,
        first_byte_at_ms=T0_MS + 250,
        ended_at_ms=T0_MS + 900,
        status=200,
        upstream_id="chatcmpl-1",
    )
    given = {
        "id": ID,
        "api": Api.CHAT,
        "model": "acme/chat",
        "endpoint_id": "acme:m1",
        "provider": "acme",
        "price_id": PRICE.id,
        "markup_bp": 1000,
        "origin": origin,
        "created_at_ms": T0_MS,
        "hold_pico": HOLD_PICO,
        "prompt_tokens_max": 4000,
        "completion_tokens_max": 500,
        "streamed": True,
        "attempts": (attempt,),
        **fields,
    }
    return Generation(account_id=account, key_hash=key_hash, **given)


def ended(generation: Generation, usage: Usage = USAGE, held_pico: int = HOLD_PICO) -> Generation:
    charge = charge_for(PRICE, usage, generation.markup_bp, held_pico)
    return msgspec.structs.replace(
        generation,
        state=HoldState.CAPTURED,
        ended_at_ms=T0_MS + 1000,
        cost_pico=charge.amount_pico,
        lines=charge.lines,
        usage=usage,
        finish_reason="stop",
        reported={"prompt_tokens": 2006},
    )


@pytest.fixture
def owner(console: Console) -> tuple[str, str]:
    """An account with credits, and the hash of its key."""
    console.account("10")
    account = console.account("10")
    return account, console.key(account)["hash"]


def save(console: Console, first: Generation, last: Generation | None) -> None:
    """Saves a call as the server records it in the ledger."""

    async def call(services: LedgerServices) -> None:
        store, account = services.store, first.account_id
        await store.add_prices([PRICE])
        await store.execute(place(account, first.key_hash, first.id, first.hold_pico), first)
        if last is None:
            return
        if last.state is HoldState.CAPTURED:
            await store.execute(
                capture(account, first.key_hash, first.id, last.cost_pico, T0_MS + 1000), last
            )
        else:
            await store.execute(void(account, first.key_hash, first.id, T0_MS + 1000), last)

    console.do(call)


def test_lines_of_a_receipt_add_up_to_its_cost(console: Console, owner: tuple[str, str]) -> None:
    first = open_generation(*owner)
    save(console, first, ended(first))
    record = console.call("generation", "show", ID, "--json").json
    assert record["lines"] == [
        {"what": "input", "quantity": 86, "rate": "0.00000275", "amount": "0.0002365"},
        {"what": "cache_read", "quantity": 1920, "rate": "0.000001375", "amount": "0.00264"},
        {"what": "output", "quantity": 300, "rate": "0.000011", "amount": "0.0033"},
    ]
    total = sum((Decimal(line["amount"]) for line in record["lines"]), Decimal(0))
    assert total == Decimal(record["cost"]) == Decimal("0.0061765")
    for line in record.pop("lines"):
        assert line["quantity"] * Decimal(line["rate"]) == Decimal(line["amount"])
    assert record == {
        "id": ID,
        "account_id": owner[0],
        "key_hash": owner[1],
        "api": "chat/completions",
        "model": "acme/chat",
        "endpoint_id": "acme:m1",
        "created_at": "2026-11-23T13:12:00.000Z",
        "ended_at": "2026-11-23T13:12:01.000Z",
        "state": "captured",
        "hold": "0.1",
        "cost": "0.0061765",
        "overrun": "0",
        "late_usage": None,
        "estimated": False,
        "price": {"id": PRICE.id, "from": None, "source": "test", "markup_bp": 1000},
        "prompt_tokens_max": 4000,
        "completion_tokens_max": 500,
        "streamed": True,
        "cancelled": False,
        "finish_reason": "stop",
        **NO_WARNINGS,
        **NO_SERVICE_TIERS,
        "attempts": [
            {
                "provider": "acme",
                "upstream_model": "m1",
                "status": 200,
                "started_at": "2026-11-23T13:12:00.000Z",
                "first_byte_at": "2026-11-23T13:12:00.250Z",
                "ended_at": "2026-11-23T13:12:00.900Z",
                "upstream_id": "chatcmpl-1",
                "error": None,
            }
        ],
        "origin": {
            "request_id": "req-1",
            "user": "alice",
            "session_id": None,
            "title": "Chat",
            "referer": None,
            "user_agent": None,
        },
        "reported": {"prompt_tokens": 2006},
    }


def test_human_output_shows_the_arithmetic_line_by_line(
    console: Console, owner: tuple[str, str]
) -> None:
    first = open_generation(*owner)
    save(console, first, ended(first))
    head, sums, attempts = console.run("generation", "show", ID).out.split("\n\n")
    shown = dict(line.split(None, 1) for line in head.splitlines())
    assert shown["model"] == "acme/chat (m1 at acme)"
    assert shown["price"] == "price_0123456789abcdef (from test, no start date)"
    assert shown["markup"] == "10%, included in the rates below"
    assert shown["hold"] == "0.1, for up to 4000 input tokens and 500 output tokens"
    assert (shown["state"], shown["user"], shown["key"]) == ("captured", "alice", owner[1])
    assert sums.splitlines() == [
        "  86 input      x 0.00000275  = 0.0002365",
        "1920 cache_read x 0.000001375 = 0.00264",
        " 300 output     x 0.000011    = 0.0033",
        "     cost                     = 0.0061765",
    ]
    assert attempts.splitlines()[1].split()[:3] == ["acme", "m1", "200"]


def test_reference_shows_the_printed_receipt(console: Console, owner: tuple[str, str]) -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    [shown] = re.findall(r"^```text\n(generation .*?)^```$", text, re.MULTILINE | re.DOTALL)
    first = open_generation(*owner)
    save(console, first, ended(first))
    printed = console.call("generation", "show", ID).out
    assert re.sub(r"user_\w{22}|[0-9a-f]{64}", "…", printed) == re.sub(
        r"user_\w{22}|[0-9a-f]{64}", "…", shown
    )


def test_overrun_is_shown_as_paid_by_the_operator(console: Console, owner: tuple[str, str]) -> None:
    first = open_generation(*owner, hold_pico=DOLLAR // 1000)
    last = ended(first, held_pico=first.hold_pico)
    last = msgspec.structs.replace(last, overrun_pico=5_176_500_000)
    save(console, first, last)
    out = console.call("generation", "show", ID).out
    assert "   1 overrun    x -0.0051765  = -0.0051765\n" in out
    assert "     cost                     = 0.001\n" in out
    assert "The operator pays the overrun of 0.0051765 above the hold.\n" in out


def test_estimated_usage_is_marked(console: Console, owner: tuple[str, str]) -> None:
    first = open_generation(*owner)
    save(console, first, ended(first, Usage(input=5, output=5, estimated=True)))
    assert console.call("generation", "show", ID, "--json").json["estimated"] is True
    assert (
        "estimated where the provider reported none" in console.call("generation", "show", ID).out
    )


@pytest.mark.parametrize(
    ("served", "requested", "charged", "shown"),
    [
        ("flex", "flex", "flex", "flex; charged as flex"),
        ("priority", "auto", None, "priority; requested auto; charged as standard"),
        ("default", None, None, "default; charged as standard"),
        (None, "flex", "flex", "not reported by the provider; requested flex; charged as flex"),
    ],
)
def test_service_tier_is_shown_as_served_requested_and_charged(
    console: Console,
    owner: tuple[str, str],
    served: str | None,
    requested: str | None,
    charged: str | None,
    shown: str,
) -> None:
    first = open_generation(*owner, requested_service_tier=requested)
    last = msgspec.structs.replace(ended(first), service_tier=served, charged_service_tier=charged)
    save(console, first, last)
    assert f"service tier   {shown}\n" in console.call("generation", "show", ID).out
    record = console.call("generation", "show", ID, "--json").json
    assert [record[f"{kind}service_tier"] for kind in ("", "requested_", "charged_")] == [
        served,
        requested,
        charged,
    ]


def test_call_without_a_charge_shows_the_reason(console: Console, owner: tuple[str, str]) -> None:
    first = open_generation(*owner)
    last = msgspec.structs.replace(
        first,
        state=HoldState.VOIDED,
        ended_at_ms=T0_MS + 1000,
        error="acme is away",
        cancelled=True,
    )
    save(console, first, last)
    out = console.call("generation", "show", ID).out
    assert "\n\nNothing was charged.\n\n" in out
    for line in ("voided", "acme is away", "disconnected before the end"):
        assert f"  {line}\n" in out


def test_running_call_is_shown_with_its_hold(console: Console, owner: tuple[str, str]) -> None:
    save(console, open_generation(*owner, attempts=()), None)
    out = console.call("generation", "show", ID).out
    assert out.endswith("\n\nNothing has been charged yet.\n\n")
    assert console.call("generation", "show", ID, "--json").json["ended_at"] is None


def test_generation_is_found_on_any_account_or_on_a_given_one(
    console: Console, owner: tuple[str, str]
) -> None:
    first = open_generation(*owner)
    save(console, first, ended(first))
    other = console.account()
    assert console.call("generation", "show", ID, "--account", owner[0], "--json").json["id"] == ID
    assert console.call("generation", "show", ID, "--account", other).refusal == (
        f"Generation `{ID}` was not found on account `{other}`."
    )
    assert (
        console.call("generation", "show", "gen-1").refusal == "Generation `gen-1` was not found."
    )
    assert "does not exist" in console.call("generation", "show", ID, "--account", "user_x").refusal


def test_receipt_of_a_call_charged_late_shows_both_charges(
    console: Console, owner: tuple[str, str]
) -> None:
    account, key_hash = owner
    first = open_generation(*owner)
    charged = ended(first, Usage(input=1000))
    lost = msgspec.structs.replace(charged, state=HoldState.EXPIRED, ended_at_ms=T0_MS + HOLD_MS)

    async def charge_late(services: LedgerServices) -> None:
        store, late_ms = services.store, T0_MS + 2 * HOLD_MS
        await store.add_prices([PRICE])
        await store.execute(place(account, key_hash, ID, HOLD_PICO), first)
        await store.execute(expire(account, key_hash, ID, T0_MS + HOLD_MS, lost.cost_pico), lost)
        await store.execute(capture_late(account, key_hash, ID, HOLD_PICO, late_ms))

    console.do(charge_late)
    record = console.call("generation", "show", ID, "--json").json
    assert (record["state"], record["cost"], record["overrun"]) == ("expired", "0.1", "0.00275")
    assert record["late_usage"] == {
        "at": "2026-11-23T13:32:00.000Z",
        "cost": "0.09725",
        "overrun": "0.00275",
    }
    text = console.call("generation", "show", ID).out
    assert "late usage     charged 2026-11-23T13:32:00.000Z, after the hold had expired" in text
    assert text.split("\n\n")[1].splitlines() == [
        "1000 input      x 0.00000275 = 0.00275",
        "   1 late_usage x 0.09725    = 0.09725",
        "     cost                    = 0.1",
        "The operator pays the overrun of 0.00275 above the hold.",
    ]
