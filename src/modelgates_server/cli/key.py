"""`modelgates key`: the keys of an account."""

import sys
from typing import Annotated, Any

import typer

from modelgates_server.cli.output import (
    AsJson,
    Yes,
    confirm,
    examples,
    instant,
    note,
    show,
    show_all,
)
from modelgates_server.cli.wiring import now_ms, run, run_read_only
from modelgates_server.core.errors import InvalidAmount, InvalidInput
from modelgates_server.core.keys import (
    KEY_HASH,
    Key,
    KeyChange,
    KeyKind,
    NewKey,
    spent_pico,
    windows_at,
)
from modelgates_server.core.money import Pico, format_pico, parse_pico
from modelgates_server.core.times import LimitReset

app = typer.Typer(help="Create, list, show, disable and delete keys.", no_args_is_help=True)

AccountOption = Annotated[
    str, typer.Option("--account", metavar="ACCOUNT", help="ID of the account, user_….")
]
Hash = Annotated[str, typer.Argument(metavar="HASH", help="Hash of the key, 64 hex digits.")]

_COLUMNS = ("hash", "kind", "name", "label", "disabled", "limit", "limit_reset", "usage")


@app.command(
    epilog=examples(
        "modelgates key create --account user_… --kind management --json",
        "modelgates key create --account user_… --kind inference --limit 5 --limit-reset monthly",
    )
)
def create(
    account: AccountOption,
    kind: Annotated[
        KeyKind,
        typer.Option(
            help="An inference key calls models. A management key manages keys and reads credits. "
            "A viewer key reads credits and usage."
        ),
    ],
    name: Annotated[
        str | None, typer.Option(help="Display name of the key.", show_default="kind")
    ] = None,
    limit: Annotated[
        str | None,
        typer.Option(metavar="DOLLARS", help="Maximum that an inference key may spend."),
    ] = None,
    limit_reset: Annotated[
        LimitReset | None,
        typer.Option(help="Interval after which the limit resets (UTC). By default, never."),
    ] = None,
    expires_at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Time when the key expires, such as 2030-01-01T00:00:00Z."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create a key. Its text is printed once and cannot be shown again."""
    new_key = NewKey(
        kind=kind,
        name=kind.value if name is None else name,
        limit_pico=_limit_pico(limit),
        limit_reset=limit_reset,
        expires_at=expires_at,
    )
    key, text = run(lambda gateway: gateway.keys.create(account, new_key))
    show({"key": text, **_key_record(key)}, as_json)
    note("Save the key now. Only its hash is stored, so it cannot be shown again.")


@app.command("list", epilog=examples("modelgates key list --account user_…"))
def list_all(account: AccountOption, as_json: AsJson = False) -> None:
    """List the keys of an account, newest first."""

    async def keys(gateway: Any) -> list[Key]:
        owner = await gateway.accounts.get(account)
        all_keys: list[Key] = await gateway.keys.page(owner.id, limit=sys.maxsize)
        return all_keys

    show_all([_key_record(key) for key in run_read_only(keys)], _COLUMNS, as_json)


@app.command("show", epilog=examples("modelgates key show 9f86d081…"))
def show_one(key: Hash, as_json: AsJson = False) -> None:
    """Show one key with its limit and usage, but not its text."""
    show(_key_record(_find(key)), as_json)


@app.command(epilog=examples("modelgates key disable 9f86d081…"))
def disable(key: Hash, as_json: AsJson = False) -> None:
    """Disable a key. The server rejects it from the next request on, until you enable it."""
    show(_key_record(_set_disabled(key, disabled=True)), as_json)


@app.command(epilog=examples("modelgates key enable 9f86d081…"))
def enable(key: Hash, as_json: AsJson = False) -> None:
    """Enable a disabled key. The server accepts it again from the next request."""
    show(_key_record(_set_disabled(key, disabled=False)), as_json)


@app.command(
    epilog=examples("modelgates key delete 9f86d081…", "modelgates key delete 9f86d081… --yes")
)
def delete(key: Hash, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a key permanently. Its usage stays in the journal."""
    record = _find(key)
    confirm(f"Delete the {record.kind} key {record.name!r} ({record.label}) permanently?", yes)
    run(lambda gateway: gateway.keys.delete(record))
    show({"hash": record.hash, "deleted": True}, as_json)


def _find(key_hash: str) -> Key:
    if not KEY_HASH.fullmatch(key_hash):
        # The message does not repeat the argument: it may be the text of a key.
        raise InvalidInput(
            "The key must be given by its hash, 64 hex digits. "
            "`modelgates key list --account ACCOUNT` lists the hashes."
        )
    return run_read_only(lambda gateway: gateway.keys.get(key_hash))


def _set_disabled(key_hash: str, *, disabled: bool) -> Key:
    key = _find(key_hash)
    return run(lambda gateway: gateway.keys.change(key, KeyChange(disabled=disabled)))


def _limit_pico(text: str | None) -> Pico | None:
    if text is None:
        return None
    limit_pico = parse_pico(text)
    if limit_pico < 0:
        raise InvalidAmount(
            f"The limit must not be negative: {format_pico(limit_pico)}. Give zero or more."
        )
    return limit_pico


def _key_record(key: Key) -> dict[str, Any]:
    at_ms = now_ms()
    windows = windows_at(key, at_ms)
    limit = key.limit_pico
    return {
        "hash": key.hash,
        "account_id": key.account_id,
        "kind": key.kind,
        "name": key.name,
        "label": key.label,
        "disabled": key.disabled,
        "limit": None if limit is None else format_pico(limit),
        "limit_reset": key.limit_reset,
        "limit_remaining": None if limit is None else format_pico(limit - spent_pico(key, at_ms)),
        "usage": format_pico(key.usage_pico),
        "usage_daily": format_pico(windows.daily_pico),
        "usage_weekly": format_pico(windows.weekly_pico),
        "usage_monthly": format_pico(windows.monthly_pico),
        "held": format_pico(key.held_pico),
        "created_at": instant(key.created_at_ms),
        "updated_at": instant(key.updated_at_ms),
        "last_used_at": instant(key.last_used_at_ms),
        "expires_at": key.expires_at,
    }
