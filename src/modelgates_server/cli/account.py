"""`modelgates account`: the owners of credits."""

from typing import Annotated, Any

import typer

from modelgates_server.cli.output import AsJson, Yes, confirm, examples, instant, show, show_all
from modelgates_server.cli.wiring import run, run_read_only
from modelgates_server.core.ledger.records import Account
from modelgates_server.core.money import format_pico, parse_pico

app = typer.Typer(help="Open, list, show and close accounts.", no_args_is_help=True)

AccountId = Annotated[str, typer.Argument(metavar="ACCOUNT", help="ID of the account, user_….")]

_COLUMNS = ("id", "name", "available", "held", "total_credits", "total_usage", "closed_at")


def figures(account: Account) -> dict[str, str]:
    """Returns the four amounts that `credits show` prints."""
    return {
        "total_credits": format_pico(account.credits_pico),
        "total_usage": format_pico(account.usage_pico),
        "held": format_pico(account.held_pico),
        "available": format_pico(account.available_pico),
    }


def account_record(account: Account) -> dict[str, Any]:
    """Returns an account in the form that all commands print."""
    return {
        "id": account.id,
        "name": account.name,
        "min_balance": format_pico(account.min_balance_pico),
        "created_at": instant(account.created_at_ms),
        "closed_at": instant(account.closed_at_ms),
        **figures(account),
    }


@app.command(
    epilog=examples(
        'modelgates account create "Acme Lab"',
        'modelgates account create "Acme Lab" --min-balance -5 --json',
    )
)
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Display name of the account.")],
    min_balance: Annotated[
        str,
        typer.Option(
            metavar="DOLLARS", help="Minimum balance: zero, or negative to allow an overdraft."
        ),
    ] = "0",
    as_json: AsJson = False,
) -> None:
    """Open an account without credits or keys."""
    floor_pico = parse_pico(min_balance)
    account = run(lambda gateway: gateway.accounts.open(name, floor_pico), create=True)
    show(account_record(account), as_json)


@app.command("list", epilog=examples("modelgates account list", "modelgates account list --json"))
def list_all(as_json: AsJson = False) -> None:
    """List all accounts, including closed ones."""

    async def accounts(gateway: Any) -> list[Account]:
        return [account async for account in gateway.accounts.all()]

    show_all([account_record(account) for account in run_read_only(accounts)], _COLUMNS, as_json)


@app.command("show", epilog=examples("modelgates account show user_…"))
def show_one(account: AccountId, as_json: AsJson = False) -> None:
    """Show one account with its credits, usage and holds."""
    show(account_record(run_read_only(lambda gateway: gateway.accounts.get(account))), as_json)


@app.command(
    epilog=examples("modelgates account close user_…", "modelgates account close user_… --yes")
)
def close(account: AccountId, yes: Yes = False, as_json: AsJson = False) -> None:
    """Close an account permanently. It must have a balance of zero and no open holds."""
    record = run_read_only(lambda gateway: gateway.accounts.get(account))
    confirm(f"Close {record.id} ({record.name}) and disable its keys permanently?", yes)
    show(account_record(run(lambda gateway: gateway.accounts.close(account))), as_json)
