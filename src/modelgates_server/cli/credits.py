"""`modelgates credits`: the balance of an account, and the postings that operators make."""

from typing import Annotated, Any

import typer

from modelgates_server.cli.account import AccountId, figures
from modelgates_server.cli.output import AsJson, examples, instant, show
from modelgates_server.cli.wiring import run, run_read_only
from modelgates_server.core.ledger.commands import CommandResult
from modelgates_server.core.money import format_pico, parse_pico

app = typer.Typer(help="Show, grant and adjust credits.", no_args_is_help=True)

# Otherwise a negative amount would be read as an option named -5.
_NEGATIVE_ALLOWED = {"ignore_unknown_options": True}

Amount = Annotated[
    str, typer.Argument(metavar="AMOUNT", help="US dollars with at most 12 decimal places.")
]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Reason, stored in the journal.")]
Ref = Annotated[
    str | None,
    typer.Option(
        "--ref",
        metavar="TEXT",
        help="Name of this posting. Repeating the command with the same name posts once.",
    ),
]


@app.command("show", epilog=examples("modelgates credits show user_…"))
def show_figures(account: AccountId, as_json: AsJson = False) -> None:
    """Show the credits, usage, holds and available amount of an account."""
    show(figures(run_read_only(lambda gateway: gateway.accounts.get(account))), as_json)


@app.command(
    context_settings=_NEGATIVE_ALLOWED,
    epilog=examples(
        'modelgates credits grant user_… 100.5 --reason "pilot" --ref pilot-1',
    ),
)
def grant(
    account: AccountId,
    amount: Amount,
    reason: Reason = "granted on the command line",
    ref: Ref = None,
    as_json: AsJson = False,
) -> None:
    """Add credits to an account."""
    amount_pico = parse_pico(amount)
    result = run(lambda gateway: gateway.credits.grant(account, amount_pico, reason, ref))
    show(_result_record(result), as_json)


@app.command(
    context_settings=_NEGATIVE_ALLOWED,
    epilog=examples(
        "modelgates credits adjust user_… -5 --reason 'granted twice'",
        "modelgates credits adjust user_… 0.25 --ref ticket-4711",
    ),
)
def adjust(
    account: AccountId,
    amount: Amount,
    reason: Reason = "adjusted on the command line",
    ref: Ref = None,
    as_json: AsJson = False,
) -> None:
    """Correct credits, up or down. The available credits must stay at or above the floor."""
    amount_pico = parse_pico(amount)
    result = run(lambda gateway: gateway.credits.adjust(account, amount_pico, reason, ref))
    show(_result_record(result), as_json)


def _result_record(result: CommandResult) -> dict[str, Any]:
    entry = result.entry
    return {
        "account_id": entry.account_id,
        "seq": entry.seq,
        "kind": entry.kind,
        "reference": entry.reference,
        "at": instant(entry.at_ms),
        "amount": format_pico(entry.amount_pico),
        "balance_after": format_pico(entry.balance_after_pico),
        "reason": entry.reason,
        "replayed": result.replayed,
    }
