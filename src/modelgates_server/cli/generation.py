"""`modelgates generation`: receipts of calls."""

from typing import Annotated, Any

import msgspec
import typer

from modelgates_server.cli import catalog
from modelgates_server.cli.output import AsJson, examples, instant, print_json, show, show_all
from modelgates_server.cli.wiring import run
from modelgates_server.core.errors import GenerationNotFound
from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import Attempt, Generation
from modelgates_server.core.money import format_pico
from modelgates_server.core.pricing.prices import Price, ReceiptLine, plain

app = typer.Typer(help="Show the receipts of calls.", no_args_is_help=True)

_ATTEMPT = (
    "provider",
    "upstream_model",
    "status",
    "started_at",
    "first_byte_at",
    "ended_at",
    "error",
)


@app.command(
    "show",
    epilog=examples(
        "modelgates generation show gen-1795574400-…",
        "modelgates generation show gen-1795574400-… --account user_… --json",
    ),
)
def show_one(
    generation: Annotated[
        str, typer.Argument(metavar="ID", help="The generation's id, gen-…; answers carry it.")
    ],
    account: Annotated[
        str | None,
        typer.Option(metavar="ACCOUNT", help="Whose it is; without it, all accounts are searched."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a call cost and why: each line is quantity times rate, and they add up."""

    async def find(gateway: Any) -> tuple[Generation, Price | None]:
        found = await _found(gateway, generation, account)
        return found, await gateway.store.price(found.price_id)

    found, price = run(find)
    if as_json:
        print_json(_record(found, price))
    else:
        _print_receipt(found, price)


async def _found(gateway: Any, generation_id: str, account: str | None) -> Generation:
    if account is not None:
        owners = [await gateway.accounts.get(account)]
    else:
        owners = [owner async for owner in gateway.accounts.all()]
    for owner in owners:
        found: Generation | None = await gateway.store.generation(owner.id, generation_id)
        if found is not None:
            return found
    whose = "" if account is None else f" of {account}"
    raise GenerationNotFound(f"there is no generation {generation_id!r}{whose}")


def _record(found: Generation, price: Price | None) -> dict[str, Any]:
    return {
        "id": found.id,
        "account_id": found.account_id,
        "key_hash": found.key_hash,
        "api": found.api,
        "model": found.model,
        "endpoint_id": found.endpoint_id,
        "created_at": instant(found.created_at_ms),
        "ended_at": instant(found.ended_at_ms),
        "state": found.state,
        "hold": format_pico(found.hold_pico),
        "cost": format_pico(found.cost_pico),
        "overrun": format_pico(found.overrun_pico),
        "lines": [_line_record(line) for line in found.lines],
        "estimated": bool(found.usage and found.usage.estimated),
        "price": _price_record(found, price),
        "prompt_tokens_max": found.prompt_tokens_max,
        "completion_tokens_max": found.completion_tokens_max,
        "streamed": found.streamed,
        "cancelled": found.cancelled,
        "finish_reason": found.finish_reason,
        "native_finish_reason": found.native_finish_reason,
        "served_model": found.served_model,
        "upstream_cost": _dollars(found.upstream_cost_pico),
        "usage_warnings": list(found.usage_warnings),
        "error": found.error,
        "service_tier": found.service_tier,
        "requested_service_tier": found.requested_service_tier,
        "charged_service_tier": found.charged_service_tier,
        "attempts": [_attempt_record(attempt) for attempt in found.attempts],
        "origin": msgspec.structs.asdict(found.origin),
        "reported": found.reported,
    }


def _line_record(line: ReceiptLine) -> dict[str, Any]:
    return {
        "what": line.meter,
        "quantity": line.quantity,
        "rate": plain(line.rate),
        "amount": plain(line.amount),
    }


def _price_record(found: Generation, price: Price | None) -> dict[str, Any]:
    return {
        "id": found.price_id,
        "from": price and catalog.since(price.from_ms),
        "source": price and price.source,
        "markup_bp": found.markup_bp,
    }


def _attempt_record(attempt: Attempt) -> dict[str, Any]:
    return {
        "provider": attempt.provider,
        "upstream_model": attempt.upstream_model,
        "status": attempt.status,
        "started_at": instant(attempt.started_at_ms),
        "first_byte_at": instant(attempt.first_byte_at_ms),
        "ended_at": instant(attempt.ended_at_ms),
        "upstream_id": attempt.upstream_id,
        "error": attempt.error,
    }


def _print_receipt(found: Generation, price: Price | None) -> None:
    show({**_head(found, price), **_given(msgspec.structs.asdict(found.origin))}, as_json=False)
    typer.echo(f"\n{_sums(found)}\n")
    if found.attempts:
        show_all([_attempt_record(attempt) for attempt in found.attempts], _ATTEMPT, as_json=False)


def _head(found: Generation, price: Price | None) -> dict[str, Any]:
    upstream = found.endpoint_id.partition(":")[2]
    origin = f"since {catalog.since(price.from_ms) or 'ever'}, {price.source}" if price else "gone"
    outcome = {
        "finish_reason": _finish(found),
        "served model": found.served_model,
        "provider's own cost": _dollars(found.upstream_cost_pico),
        "usage warnings": ", ".join(found.usage_warnings) or None,
        "error": found.error,
        "service_tier": _service_tier(found),
        "client": "left before the end" if found.cancelled else None,
        "usage": "estimated, where the provider reported none" if _is_estimated(found) else None,
    }
    return {
        "generation": found.id,
        "account": found.account_id,
        "key": found.key_hash,
        "model": f"{found.model}, which is {upstream} at {found.provider}",
        "made": instant(found.created_at_ms),
        "ended": instant(found.ended_at_ms),
        "price": f"{found.price_id}, {origin}",
        "markup": f"{catalog.percent(found.markup_bp)}, which is in the rates below",
        "hold": f"{format_pico(found.hold_pico)}, for at most {found.prompt_tokens_max} tokens in "
        f"and {found.completion_tokens_max} out",
        "state": found.state,
        **_given(outcome),
    }


def _finish(found: Generation) -> str | None:
    native = found.native_finish_reason
    return (
        found.finish_reason
        if native in (None, found.finish_reason)
        else (f"{found.finish_reason} (the provider's word: {native})")
    )


def _dollars(pico: int | None) -> str | None:
    return None if pico is None else format_pico(pico)


def _service_tier(found: Generation) -> str | None:
    """The tier that the provider says it served at, the one asked for, the one charged."""
    served, requested = found.service_tier, found.requested_service_tier
    if served is None and requested is None:
        return None
    shown = served or "not reported by the provider"
    if requested is not None and requested != served:
        shown += f"; {requested} was asked for"
    if found.lines:
        shown += f"; charged as {found.charged_service_tier or 'standard'}"
    return shown


def _given(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _is_estimated(found: Generation) -> bool:
    return found.usage is not None and found.usage.estimated


def _sums(found: Generation) -> str:
    """The receipt's arithmetic, one line under the other."""
    if not found.lines:
        running = found.state is HoldState.OPEN
        return "Nothing has been charged yet." if running else "Nothing was charged."
    rows = [
        (str(line.quantity), line.meter, plain(line.rate), plain(line.amount))
        for line in found.lines
    ]
    total = ("", "cost", "", format_pico(found.cost_pico))
    wide = [max(len(row[column]) for row in (*rows, total)) for column in range(4)]
    lines = [
        f"{count:>{wide[0]}} {what:{wide[1]}} x {rate:{wide[2]}} = {amount}"
        for count, what, rate, amount in rows
    ]
    lines.append(f"{'':{wide[0]}} {'cost':{wide[1]}}   {'':{wide[2]}} = {total[3]}")
    if found.overrun_pico:
        lines.append(f"The platform pays {format_pico(found.overrun_pico)} above the hold.")
    return "\n".join(lines)
