"""Data that released versions left on disk, and their responses from it. It is never rewritten.

A folder below `released` that has a `database.sql` is a snapshot:

    database.sql   the database at the moment when the process was killed
    spool/         the spooled ends of calls, if there were any
    customer.json  an account of the database, with the texts of its keys
    journal.jsonl  all entries, as the version itself exported them
    answers.jsonl  later requests to a copy, with the responses of the version itself
    added.jsonl    the entries that these requests added to the journal

`make record` adds the snapshot of a version that has none yet: it plays `release_story` with the
current code. The snapshots of 0.1.0, 0.2.0 and `0.3.0/tagged` come from the commits a827aa6,
ef43904 and 3513bcc, the last ones of these releases, to which the recorder was added with a
`gateway.py` that composes their parts. 0.1.0 had no calls; its holds come from its services. The
files in `0.3.0` itself come from a later commit that stored the same data; their responses come
from 3513bcc.
"""

import json
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.recorded.gateway import Customer, running_gateway
from tests.recorded.release_story import Step, later_steps, make_calls, post_and_create_keys
from tests.recorded.script import Script
from tests.upstream import running_upstream

RECORDS = bool(os.environ.get("RECORD"))
"""Whether `make record` runs."""

FOLDER = Path(__file__).parent / "released"
SNAPSHOTS = sorted(
    path.parent.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("database.sql")
)
SWEPT_AFTER_MS = 600_000
"""Time after which the holds of lost calls are due."""


async def leave(script: Script, folder: Path) -> None:
    """Writes a snapshot of this version, as if it were killed during a call."""
    limited_key = await post_and_create_keys(script)
    calls = await make_calls(script, limited_key)
    write_snapshot(script, folder)
    calls.gate.go.set()
    await calls.running.finish()
    await script.gateway.drain_spool()
    steps = later_steps(script.customer, limited_key, calls.generation_ids)
    await write_steps(folder, script.gateway.clock.now_ms, steps)


def write_snapshot(script: Script, folder: Path) -> None:
    """Writes the database, the spool and the customer."""
    (folder / "spool").mkdir(parents=True)
    for file in script.gateway.spool_folder.iterdir():
        (folder / "spool" / file.name).write_bytes(file.read_bytes())
    with closing(sqlite3.connect(script.gateway.database_path)) as connection:
        lines = list(connection.iterdump())
        for name in ("user_version", "application_id"):
            value = connection.execute(f"pragma {name}").fetchone()[0]
            lines += [f"pragma {name} = {value};"]
    _write_lines(folder / "database.sql", lines)
    (folder / "customer.json").write_text(json.dumps(script.customer._asdict()), "utf-8")


async def write_steps(folder: Path, at_ms: int, steps: list[Step]) -> None:
    """Writes the responses of this version from a copy of a snapshot at that time."""
    with TemporaryDirectory() as copy:
        restore(folder, Path(copy))
        async with reopened(Path(copy), at_ms) as script:
            journal = await script.gateway.journal()
            answered = [await play(script, step) for step in steps]
            added = added_entries(journal, await script.gateway.journal())
    _write_lines(folder / "journal.jsonl", journal.splitlines())
    _write_lines(folder / "added.jsonl", added)
    lines = [json.dumps(line, ensure_ascii=False) for line in [{"at_ms": at_ms}, *answered]]
    _write_lines(folder / "answers.jsonl", lines)


def read_steps(snapshot: Path) -> tuple[int, list[Step]]:
    """The time of the first step, and the steps with their responses."""
    first, *steps = map(json.loads, (snapshot / "answers.jsonl").read_text("utf-8").splitlines())
    return first["at_ms"], steps


def added_entries(before: str, after: str) -> list[str]:
    """The lines of a journal that were not in it before."""
    known = set(before.splitlines())
    return [line for line in after.splitlines() if line not in known]


def restore(snapshot: Path, folder: Path) -> None:
    """Puts a snapshot where a gateway will open it."""
    with closing(sqlite3.connect(folder / "modelgates.db")) as connection:
        connection.executescript((snapshot / "database.sql").read_text("utf-8"))
    (folder / "customer.json").write_bytes((snapshot / "customer.json").read_bytes())
    restore_spool(snapshot, folder)


def restore_spool(snapshot: Path, folder: Path) -> None:
    """Puts only the spool of a snapshot where a gateway will open it."""
    (folder / "spool").mkdir(exist_ok=True)
    for file in snapshot.glob("spool/*"):
        (folder / "spool" / file.name).write_bytes(file.read_bytes())


@asynccontextmanager
async def reopened(folder: Path, at_ms: int) -> AsyncIterator[Script]:
    """A gateway on restored files. Its provider must not be called: no step is a new call."""
    customer = Customer(**json.loads((folder / "customer.json").read_text("utf-8")))
    with running_upstream() as upstream:
        async with running_gateway(folder, upstream.url) as gateway:
            gateway.clock.now_ms = at_ms
            yield Script(gateway, upstream, customer)
            assert upstream.asked == [], "a repeat was sent to the provider"


async def play(script: Script, step: Step) -> Step:
    """Does a step; returns the step with its response or outcome."""
    gateway, account_id = script.gateway, script.customer.account_id
    match step.get("do"):
        case None:
            return {**step, **await _send(script, step)}
        case "drain":
            await gateway.drain_spool()
            return {**step, "left": [path.name for path in gateway.spool_folder.iterdir()]}
        case "sweep":
            gateway.clock.forward(SWEPT_AFTER_MS)
            return {**step, "expired": await gateway.sweep()}
        case "capture":
            hold_id, amount_pico = step["hold_id"], step["amount_pico"]
            return {**step, **await gateway.capture(account_id, hold_id, amount_pico)}
        case _:
            return {**step, **await gateway.post(account_id, step)}


async def _send(script: Script, step: Step) -> dict[str, Any]:
    exchange = await script.send(
        "a step",
        step["method"],
        step["path"],
        key=step["key"],
        body=step.get("body"),
        idempotency_key=step.get("idempotency_key"),
    )
    outcome: dict[str, Any] = {"status": exchange.status}
    headers = dict(exchange.headers)
    if "idempotent-replayed" in headers:
        outcome["replayed"] = headers["idempotent-replayed"]
    return {**outcome, "answer": exchange.json}


def _write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join([*lines, ""]), "utf-8", newline="\n")
