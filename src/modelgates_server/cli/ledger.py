"""`modelgates ledger`: the journal and its verification."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from modelgates_server.cli.account import AccountId
from modelgates_server.cli.output import (
    AsJson,
    counted,
    examples,
    fail,
    instant,
    note,
    print_json,
    printable,
    progress,
    say,
    text_output,
)
from modelgates_server.cli.wiring import archive_folder, run_read_only
from modelgates_server.core.audit.findings import Finding
from modelgates_server.core.ledger.records import Entry
from modelgates_server.core.money import format_pico
from modelgates_server.service.export import export_csv, export_jsonl
from modelgates_server.service.verify import VerifyResult
from modelgates_server.service.verify import verify as verify_ledger

app = typer.Typer(help="Verify, list and export the journal.", no_args_is_help=True)

_STANDARD_OUTPUT = "-"
# An amount has at most 21 characters: -9223372.036854775807.
_LINE = "{:>8}  {:24}  {:10}  {:>21}  {:>21}  {:>21}  {}"
_HEAD = _LINE.format("seq", "at", "kind", "amount", "held", "balance after", "reference and reason")


class ExportFormat(StrEnum):
    """The file format of an export."""

    JSONL = "jsonl"
    CSV = "csv"


@app.command(
    epilog=examples(
        "modelgates ledger verify",
        "modelgates ledger verify --archives /archives --json",
    )
)
def verify(
    archives: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Verify the archives in this folder as well."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Verify the whole ledger. If a check fails, list the findings and exit with code 1."""
    given = None if archives is None else archive_folder(archives)
    with progress() as report:
        result = run_read_only(
            lambda gateway: verify_ledger(
                gateway.store,
                lambda accounts, entries: report(
                    f"{counted(accounts, 'account')}, {counted(entries, 'entry')} checked"
                ),
                given,
            )
        )
    if as_json:
        print_json(_result_record(result))
    else:
        for finding in result.findings:
            say(printable(_sentence(finding)))
    if result.findings:
        fail(_verdict(result.findings))
    if not as_json:
        say(
            f"Ledger verified: {counted(result.accounts, 'account')}, "
            f"{counted(result.entries, 'entry')}, {counted(result.holds, 'hold')}, "
            f"{counted(result.generations, 'generation')}."
        )
        if result.archives:
            say(_archived(result))


@app.command(
    epilog=examples("modelgates ledger entries user_…", "modelgates ledger entries user_… --json")
)
def entries(account: AccountId, as_json: AsJson = False) -> None:
    """List the entries of an account, oldest first. With --json, one JSON object per line."""

    async def print_entries(gateway: Any) -> None:
        owner = await gateway.accounts.get(account)
        if as_json:
            with text_output(_STANDARD_OUTPUT) as write:
                await export_jsonl(gateway.store, write, owner.id)
            return
        say(_HEAD)
        async with gateway.store.account_snapshot(owner.id) as snapshot:
            async for page in snapshot.entries():
                say("\n".join(printable(_line(entry)) for entry in page))

    run_read_only(print_entries)


@app.command(
    epilog=examples(
        "modelgates ledger export --output journal.jsonl",
        "modelgates ledger export --format csv --account user_… --output journal.csv",
    )
)
def export(
    as_format: Annotated[
        ExportFormat, typer.Option("--format", help="File format: JSON Lines or CSV.")
    ] = ExportFormat.JSONL,
    output: Annotated[
        str,
        typer.Option(
            metavar="FILE", help="File to write, which must not exist yet; - is standard output."
        ),
    ] = _STANDARD_OUTPUT,
    account: Annotated[
        str | None, typer.Option(metavar="ACCOUNT", help="Export this account only.")
    ] = None,
) -> None:
    """Export the journal for programs and spreadsheets. Amounts are exact decimals."""

    async def write_entries(gateway: Any) -> int:
        account_id = None if account is None else (await gateway.accounts.get(account)).id
        with text_output(output) as write:
            return await (export_csv if as_format is ExportFormat.CSV else export_jsonl)(
                gateway.store, write, account_id
            )

    count = run_read_only(write_entries)
    if output != _STANDARD_OUTPUT:
        note(f"Wrote {counted(count, 'entry')} to {output}.")


def _result_record(result: VerifyResult) -> dict[str, Any]:
    return {
        "ok": not result.findings,
        "accounts": result.accounts,
        "entries": result.entries,
        "holds": result.holds,
        "generations": result.generations,
        "customers": format_pico(result.customers_pico),
        "platform": {name: format_pico(pico) for name, pico in result.platform_pico.items()},
        "findings": [
            {
                "invariant": finding.invariant,
                "account_id": finding.account_id,
                "message": finding.message,
            }
            for finding in result.findings
        ],
        "archived": result.archived,
        "archives": result.archives,
        "archives_not_seen": result.archives_not_seen,
    }


def _archived(result: VerifyResult) -> str:
    count, archives = counted(result.archived, "record"), counted(len(result.archives), "archive")
    if not result.archives_not_seen:
        return f"{count} in {archives} verified, too."
    names = ", ".join(result.archives_not_seen)
    return f"{count} in {archives}. Not seen: {names}. Give their folder in --archives."


def _sentence(finding: Finding) -> str:
    return f"{finding.invariant}  {finding.account_id or 'database'}  {finding.message}"


def _verdict(findings: list[Finding]) -> str:
    first = next((finding for finding in findings if finding.account_id), findings[0])
    where = f"Account {first.account_id}" if first.account_id else "The database"
    return f"{where} is broken ({first.invariant}): {first.message.removesuffix('.')}."


def _line(entry: Entry) -> str:
    return _LINE.format(
        entry.seq,
        instant(entry.at_ms) or "",
        entry.kind,
        format_pico(entry.amount_pico),
        format_pico(entry.held_pico),
        format_pico(entry.balance_after_pico),
        " ".join(filter(None, (entry.reference, entry.reason))),
    ).rstrip()
