"""Databases and spools of released versions are migrated, read, and charged exactly once."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelgates_server import __version__
from tests.cli.console import Console
from tests.recorded.release_story import Step
from tests.recorded.releases import (
    FOLDER,
    RECORDS,
    SNAPSHOTS,
    added_entries,
    leave,
    play,
    read_steps,
    reopened,
    restore,
    restore_spool,
)
from tests.recorded.script import playing

ERRORS_FROM = 400
CHANGED_STATUS = {("key-2", 201): 409}
"""Intended differences, by `Idempotency-Key` and the status that an older version returned.

Up to 0.3.0, a repeated `POST /keys` whose key was deleted returned the text of the deleted key.
"""
ERRORS = {"voided": "provider_unavailable", "expired": "call_lost"}
"""The `error` of a generation by its state. Versions up to 0.3.0 did not return it."""


async def test_current_version_has_a_snapshot(tmp_path: Path) -> None:
    folder = FOLDER / __version__
    if RECORDS and not (folder / "database.sql").exists():
        async with playing(tmp_path) as script:
            await leave(script, folder)
    assert (folder / "database.sql").exists(), "run `make record` before the release"


async def test_snapshot_of_current_code_gives_the_same_responses(tmp_path: Path) -> None:
    live, copy = tmp_path / "live", tmp_path / "copy"
    live.mkdir()
    copy.mkdir()
    async with playing(live) as script:
        await leave(script, tmp_path / "snapshot")
    await check_responses(tmp_path / "snapshot", copy)


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_released_database_migrates_and_keeps_its_journal(name: str, tmp_path: Path) -> None:
    restore(FOLDER / name, tmp_path)
    console = Console(tmp_path)
    status = console.call("db", "status", "--json").json
    missing = list(range(status["schema"] + 1, status["schema_needed"] + 1))
    if missing:
        assert "run modelgates db migrate" in console.call("ledger", "verify").refusal
        assert "run modelgates db migrate" in console.run("serve", "--port", "0").refusal
    assert console.call("db", "migrate", "--json").json == {"applied": missing}
    assert console.call("ledger", "verify", "--json").json["findings"] == []
    journal = (FOLDER / name / "journal.jsonl").read_text("utf-8")
    assert console.call("ledger", "export").out == journal


@pytest.mark.parametrize("name", SNAPSHOTS)
async def test_released_snapshot_gives_the_same_responses(name: str, tmp_path: Path) -> None:
    await check_responses(FOLDER / name, tmp_path)


async def check_responses(snapshot: Path, folder: Path) -> None:
    """Plays the steps of a snapshot on a copy of it, and compares the responses."""
    restore(snapshot, folder)
    assert Console(folder).call("db", "migrate").code == 0
    at_ms, steps = read_steps(snapshot)
    async with reopened(folder, at_ms) as script:
        before = await script.gateway.journal()
        answered = [await play(script, step) for step in steps]
        after = await script.gateway.journal()
        # As if the process had been killed after the commit and before it removed the files.
        restore_spool(snapshot, folder)
        await script.gateway.drain_spool()
        assert await script.gateway.journal() == after
        assert await script.gateway.findings() == []
    changes = [
        f"{number} {old.get('method') or old['do']} {old.get('path', '')}{line}"
        for number, (old, new) in enumerate(zip(steps, answered, strict=True))
        for line in differences(" ", expected(old), comparable(new))
    ]
    assert changes == []
    assert (
        added_entries(before, after) == (snapshot / "added.jsonl").read_text("utf-8").splitlines()
    )


def expected(step: Step) -> Step:
    """The response that is right today, given the response of an older version."""
    status = CHANGED_STATUS.get((step.get("idempotency_key", ""), step.get("status", 0)))
    if status is not None:
        step = {**step, "status": status, "answer": {"error": {"code": status}}}
    if step.get("path", "").startswith("/generation") and step["status"] < ERRORS_FROM:
        data = step["answer"]["data"]
        added: dict[str, Any] = {"error": ERRORS.get(data["state"]), "omitted": []}
        step = {**step, "answer": {"data": {**added, **data}}}
    if step.get("path", "").startswith("/activity") and step["status"] < ERRORS_FROM:
        step = {**step, "answer": {**step["answer"], "links": {"next": None}}}
    return comparable(step)


def comparable(step: Step) -> Step:
    """A step without the wording of its error, which may change."""
    if step.get("status", 0) < ERRORS_FROM:
        return step
    return {**step, "answer": {"error": {"code": step["answer"]["error"]["code"]}}}


def differences(where: str, old: Any, new: Any) -> Iterator[str]:
    """The leaves in which two JSON values differ, one line each."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            yield from differences(f"{where}.{name}", old.get(name, ...), new.get(name, ...))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (old_item, new_item) in enumerate(zip(old, new, strict=True)):
            yield from differences(f"{where}[{number}]", old_item, new_item)
    elif old != new or type(old) is not type(new):
        yield f"{where}: {shown(old)} -> {shown(new)}"


def shown(value: Any) -> str:
    return "absent" if value is ... else json.dumps(value)
