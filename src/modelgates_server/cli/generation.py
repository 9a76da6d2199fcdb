"""`modelgates generation`: the receipts of calls."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from modelgates_server.cli import catalog
from modelgates_server.cli.output import AsJson, examples, instant, print_json, say, show, show_all
from modelgates_server.cli.wiring import archive_folder, run_read_only
from modelgates_server.core.errors import GenerationArchived, GenerationNotFound, InvalidInput
from modelgates_server.core.ledger.records import Entry, HoldState
from modelgates_server.core.metering.generations import Attempt, Generation
from modelgates_server.core.money import format_pico
from modelgates_server.core.pricing.prices import Price, ReceiptLine, plain
from modelgates_server.service.late_usage import FinalGeneration, final_generation

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
        "modelgates generation show gen-1795574400-… --archives /archives",
    ),
)
def show_one(
    generation: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="ID of the generation, gen-…, from the response to the call."
        ),
    ],
    account: Annotated[
        str | None,
        typer.Option(
            metavar="ACCOUNT", help="Account that made the call. By default, all are searched."
        ),
    ] = None,
    archives: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder with archives, for a call that is in one."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the receipt of a call. Its lines, quantity times rate, add up to the cost."""

    async def read(gateway: Any) -> tuple[FinalGeneration, Price | None]:
        try:
            call = await _read(gateway, generation, account)
        except GenerationArchived as error:
            if archives is None:
                hint = f"It is in the archive {error.archive}: give its folder in --archives."
                raise InvalidInput(f"This record is no longer in the database. {hint}") from error
            call = archive_folder(archives).find(account, generation)
        final = await final_generation(gateway.store, call)
        return final, await gateway.store.price(call.price_id)

    final, price = run_read_only(read)
    if as_json:
        print_json(_record(final, price))
    else:
        _print_receipt(final, price)


async def _read(gateway: Any, generation_id: str, account: str | None) -> Generation:
    generation: Generation | None
    if account is None:
        generation = await gateway.store.generation_by_id(generation_id)
    else:
        owner = await gateway.accounts.get(account)
        generation = await gateway.store.generation(owner.id, generation_id)
    if generation is None:
        where = "" if account is None else f" on account `{account}`"
        raise GenerationNotFound(f"Generation `{generation_id}` was not found{where}.")
    return generation


def _record(final: FinalGeneration, price: Price | None) -> dict[str, Any]:
    generation = final.generation
    return {
        "id": generation.id,
        "account_id": generation.account_id,
        "key_hash": generation.key_hash,
        "api": generation.api,
        "model": generation.model,
        "endpoint_id": generation.endpoint_id,
        "created_at": instant(generation.created_at_ms),
        "ended_at": instant(generation.ended_at_ms),
        "state": generation.state,
        "hold": format_pico(generation.hold_pico),
        "cost": format_pico(generation.cost_pico),
        "overrun": format_pico(generation.overrun_pico),
        "late_usage": final.late and _late_record(final.late),
        "lines": [_line_record(line) for line in generation.lines],
        "estimated": bool(generation.usage and generation.usage.estimated),
        "price": _price_record(generation, price),
        "prompt_tokens_max": generation.prompt_tokens_max,
        "completion_tokens_max": generation.completion_tokens_max,
        "streamed": generation.streamed,
        "cancelled": generation.cancelled,
        "finish_reason": generation.finish_reason,
        "native_finish_reason": generation.native_finish_reason,
        "served_model": generation.served_model,
        "upstream_cost": _dollars(generation.upstream_cost_pico),
        "usage_warnings": list(generation.usage_warnings),
        "error": generation.error,
        "service_tier": generation.service_tier,
        "requested_service_tier": generation.requested_service_tier,
        "charged_service_tier": generation.charged_service_tier,
        "attempts": [_attempt_record(attempt) for attempt in generation.attempts],
        "origin": msgspec.structs.asdict(generation.origin),
        "reported": generation.reported,
    }


def _late_record(late: Entry) -> dict[str, Any]:
    return {
        "at": instant(late.at_ms),
        "cost": format_pico(-late.amount_pico),
        "overrun": format_pico(-late.overrun_pico),
    }


def _line_record(line: ReceiptLine) -> dict[str, Any]:
    return {
        "what": line.meter,
        "quantity": line.quantity,
        "rate": plain(line.rate),
        "amount": plain(line.amount),
    }


def _price_record(generation: Generation, price: Price | None) -> dict[str, Any]:
    return {
        "id": generation.price_id,
        "from": price and catalog.since(price.from_ms),
        "source": price and price.source,
        "markup_bp": generation.markup_bp,
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


def _print_receipt(final: FinalGeneration, price: Price | None) -> None:
    generation = final.generation
    origin = _without_none(msgspec.structs.asdict(generation.origin))
    show({**_head(final, price), **origin}, as_json=False)
    say(f"\n{_arithmetic(generation)}\n")
    if generation.attempts:
        show_all(
            [_attempt_record(attempt) for attempt in generation.attempts], _ATTEMPT, as_json=False
        )


def _head(final: FinalGeneration, price: Price | None) -> dict[str, Any]:
    generation, late = final
    upstream = generation.endpoint_id.partition(":")[2]
    outcome = {
        "finish_reason": _finish(generation),
        "served model": generation.served_model,
        "provider's cost": _dollars(generation.upstream_cost_pico),
        "usage warnings": ", ".join(generation.usage_warnings) or None,
        "error": generation.error,
        "late usage": late and f"charged {instant(late.at_ms)}, after the hold had expired",
        "service_tier": _service_tier(generation),
        "client": "disconnected before the end" if generation.cancelled else None,
        "usage": "estimated where the provider reported none"
        if _is_estimated(generation)
        else None,
    }
    return {
        "generation": generation.id,
        "account": generation.account_id,
        "key": generation.key_hash,
        "model": f"{generation.model} ({upstream} at {generation.provider})",
        "started": instant(generation.created_at_ms),
        "ended": instant(generation.ended_at_ms),
        "price": f"{generation.price_id} ({_origin(price)})",
        "markup": f"{catalog.percent(generation.markup_bp)}, included in the rates below",
        "hold": f"{format_pico(generation.hold_pico)}, for up to {generation.prompt_tokens_max} "
        f"input tokens and {generation.completion_tokens_max} output tokens",
        "state": generation.state,
        **_without_none(outcome),
    }


def _origin(price: Price | None) -> str:
    if price is None:
        return "no longer in the database"
    start = catalog.since(price.from_ms)
    return f"from {price.source}, {f'since {start}' if start else 'no start date'}"


def _finish(generation: Generation) -> str | None:
    native = generation.native_finish_reason
    return (
        generation.finish_reason
        if native in (None, generation.finish_reason)
        else (f"{generation.finish_reason} (reported by the provider as {native})")
    )


def _dollars(pico: int | None) -> str | None:
    return None if pico is None else format_pico(pico)


def _service_tier(generation: Generation) -> str | None:
    """Returns the service tier that the provider reported, with the requested and charged ones."""
    served, requested = generation.service_tier, generation.requested_service_tier
    if served is None and requested is None:
        return None
    shown = served or "not reported by the provider"
    if requested is not None and requested != served:
        shown += f"; requested {requested}"
    if generation.lines:
        shown += f"; charged as {generation.charged_service_tier or 'standard'}"
    return shown


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _is_estimated(generation: Generation) -> bool:
    return generation.usage is not None and generation.usage.estimated


def _arithmetic(generation: Generation) -> str:
    """Returns the lines of the receipt and their sum, in columns."""
    if not generation.lines:
        running = generation.state is HoldState.OPEN
        return "Nothing has been charged yet." if running else "Nothing was charged."
    rows = [
        (str(line.quantity), line.meter, plain(line.rate), plain(line.amount))
        for line in generation.lines
    ]
    total = ("", "cost", "", format_pico(generation.cost_pico))
    wide = [max(len(row[column]) for row in (*rows, total)) for column in range(4)]
    lines = [
        f"{count:>{wide[0]}} {meter:{wide[1]}} x {rate:{wide[2]}} = {amount}"
        for count, meter, rate, amount in rows
    ]
    lines.append(f"{'':{wide[0]}} {'cost':{wide[1]}}   {'':{wide[2]}} = {total[3]}")
    if generation.overrun_pico:
        lines.append(
            f"The operator pays the overrun of {format_pico(generation.overrun_pico)} above the "
            "hold."
        )
    return "\n".join(lines)
