"""`modelgates key`: the keys of an account."""

import sys
from typing import Annotated, Any

import typer

from modelgates_server.cli.credits import Reason, Ref
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
from modelgates_server.core.errors import InvalidAmount, InvalidInput, KeyNotFound
from modelgates_server.core.key_rotation import KeySecret
from modelgates_server.core.keys import (
    KEY_HASH,
    Key,
    KeyChange,
    KeyKind,
    NewKey,
    spent_pico,
    windows_at,
)
from modelgates_server.core.ledger.commands import CommandResult
from modelgates_server.core.money import Pico, format_pico, parse_pico
from modelgates_server.core.times import LimitReset, format_day
from modelgates_server.service.key_repair import RepairPlan

app = typer.Typer(
    help="Create, list, show, disable, rotate, delete and repair keys.", no_args_is_help=True
)

AccountOption = Annotated[
    str, typer.Option("--account", metavar="ACCOUNT", help="ID of the account, user_….")
]
Hash = Annotated[str, typer.Argument(metavar="HASH", help="Hash of the key, 64 hex digits.")]

_GRACE_MAX_HOURS = 30 * 24

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
    record = _find(key)
    secrets = run_read_only(lambda gateway: gateway.store.key_secrets(record.hash))
    show({**_key_record(record), **_replaced(secrets)}, as_json)


@app.command(
    epilog=examples(
        "modelgates key rotate 9f86d081…", "modelgates key rotate 9f86d081… --grace-hours 0 --json"
    )
)
def rotate(
    key: Hash,
    grace_hours: Annotated[
        int,
        typer.Option(
            min=0,
            max=_GRACE_MAX_HOURS,
            help="Hours in which the old text still works. 0 for a key that has leaked.",
        ),
    ] = 24,
    as_json: AsJson = False,
) -> None:
    """Give a key a new text, which is printed once. Its hash, limit and usage stay the same.

    The old text works until the grace period ends. At most two texts work: a second rotation within
    the grace period ends the oldest one at once.
    """
    record = _find(key)
    rotation, text = run(lambda gateway: gateway.keys.rotate(record, grace_hours * 3600))
    shown = {"key": text, **_key_record(rotation.key), **_replaced(rotation.secrets)}
    show(shown, as_json)
    note("Save the key now. Only its hash is stored, so it cannot be shown again.")


@app.command(epilog=examples("modelgates key disable 9f86d081…"))
def disable(key: Hash, as_json: AsJson = False) -> None:
    """Disable a key. The server rejects it from the next request on, until you enable it."""
    show(_key_record(_set_disabled(key, disabled=True)), as_json)


@app.command(epilog=examples("modelgates key enable 9f86d081…"))
def enable(key: Hash, as_json: AsJson = False) -> None:
    """Enable a disabled key. The server accepts it again from the next request."""
    show(_key_record(_set_disabled(key, disabled=False)), as_json)


@app.command(
    epilog=examples(
        "modelgates key repair 9f86d081… --dry-run",
        'modelgates key repair 9f86d081… --reason "clock was in 2027" --ref incident-12',
    )
)
def repair(
    key: Hash,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")
    ] = False,
    reason: Reason = "repaired on the command line",
    ref: Ref = None,
    as_json: AsJson = False,
) -> None:
    """Open the windows of a key's limit that a wrong clock has shut."""
    record = _find(key)

    async def repaired(gateway: Any) -> tuple[RepairPlan, CommandResult | None]:
        plan = await gateway.key_repair.plan(record.hash)
        if dry_run:
            return plan, None
        return plan, await gateway.key_repair.repair(plan, reason, ref)

    show(_repair_record(*(run_read_only if dry_run else run)(repaired)), as_json)


@app.command(
    epilog=examples("modelgates key delete 9f86d081…", "modelgates key delete 9f86d081… --yes")
)
def delete(key: Hash, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a key permanently. Its usage stays in the journal."""
    record = _find(key)
    confirm(f"Delete the {record.kind} key {record.name!r} ({record.label}) permanently?", yes)
    run(lambda gateway: gateway.keys.delete(record))
    show({"hash": record.hash, "deleted": True}, as_json)


def _repair_record(plan: RepairPlan, result: CommandResult | None) -> dict[str, Any]:
    entry = None if result is None else result.entry
    return {
        "hash": plan.key.hash,
        "account_id": plan.key.account_id,
        "last_charge": format_day(plan.key.usage_day) if plan.key.usage_day else None,
        "is_shut": plan.is_needed,
        "usage_daily_before": format_pico(plan.before.daily_pico),
        "usage_weekly_before": format_pico(plan.before.weekly_pico),
        "usage_monthly_before": format_pico(plan.before.monthly_pico),
        "usage_daily": format_pico(plan.after.daily_pico),
        "usage_weekly": format_pico(plan.after.weekly_pico),
        "usage_monthly": format_pico(plan.after.monthly_pico),
        "seq": entry and entry.seq,
        "reference": entry and entry.reference,
        "reason": entry and entry.reason,
        "replayed": result is not None and result.replayed,
    }


def _find(key_hash: str) -> Key:
    if not KEY_HASH.fullmatch(key_hash):
        # The message does not repeat the argument: it may be the text of a key.
        raise InvalidInput(
            "The key must be given by its hash, 64 hex digits. "
            "`modelgates key list --account ACCOUNT` lists the hashes."
        )
    try:
        return run_read_only(lambda gateway: gateway.keys.get(key_hash))
    except KeyNotFound as error:
        raise KeyNotFound(
            f"The key with the hash `{key_hash}` was not found. "
            "`modelgates key list --account ACCOUNT` lists the hashes."
        ) from error


def _replaced(secrets: list[KeySecret]) -> dict[str, Any]:
    """The end of the text that the current one has replaced; nothing for a key never rotated."""
    ends_ms = [secret.ends_at_ms for secret in secrets if secret.ends_at_ms is not None]
    return {"old_key_ends_at": instant(max(ends_ms))} if ends_ms else {}


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
