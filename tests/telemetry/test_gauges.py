"""The gauges of /metrics, and the alerts and the dashboard in deploy/ that read metrics."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelgates_server.bootstrap.database_file import Database
from modelgates_server.core.provider_causes import ProviderCause
from modelgates_server.service.file_checks import BACKUP_MAX_MS, WAL_MAX_BYTES, FileChecks
from modelgates_server.service.part_states import PartState, Status
from modelgates_server.service.ports import Store, StoreFiles
from modelgates_server.store.sqlite.backup_mark import mark_backup, newest_backup_ms
from modelgates_server.telemetry.gauges import GAUGES
from tests.support import ManualClock
from tests.web.harness import Api

ROOT = Path(__file__).parents[2]
RULES: list[dict[str, Any]] = yaml.safe_load(
    (ROOT / "deploy" / "prometheus-rules.yml").read_text("utf-8")
)["groups"][0]["rules"]
DASHBOARD = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text("utf-8"))
EXPRESSIONS = [rule["expr"] for rule in RULES] + [
    target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]
]
LABELS = {"le", "instance", "job"}
"""Labels that Prometheus adds."""


async def exposition(api: Api) -> str:
    return (await api.services.metrics.exposition()).decode()


async def test_every_gauge_is_read_when_a_backup_was_made(
    api: Api, sqlite_path: Path, tmp_path: Path
) -> None:
    Database(sqlite_path).backup(tmp_path / "copy.db", lambda *_: None)
    (tmp_path / "spool").mkdir()
    for part, check in api.services.checks.items():
        api.services.parts.report(part, await check())
    shown = await exposition(api)
    for name in GAUGES:
        gauge = rf"^modelgates_{name}(\{{[^}}]*\}})? [\d.e+-]+$"
        assert re.search(gauge, shown, re.MULTILINE), name


async def test_gauge_is_absent_when_its_value_is_unknown(api: Api) -> None:
    assert "modelgates_backup_age_seconds" not in await exposition(api)


async def test_part_status_is_a_number_by_part(api: Api) -> None:
    api.services.parts.report("disk", PartState(Status.UNAVAILABLE, "full"))
    api.services.parts.report("clock", PartState(Status.WARNING, "behind"))
    shown = await exposition(api)
    assert 'modelgates_part_status{part="disk"} 2.0' in shown
    assert 'modelgates_part_status{part="clock"} 1.0' in shown


async def test_backup_of_a_database_is_noted_with_its_time(
    api: Api, sqlite_path: Path, tmp_path: Path
) -> None:
    assert api.store.files().newest_backup_ms is None
    Database(sqlite_path).backup(tmp_path / "copy.db", lambda *_: None)
    newest_ms = api.store.files().newest_backup_ms
    assert newest_ms is not None
    mark = sqlite_path.with_name(f"{sqlite_path.name}-backup")
    assert (mark.stat().st_size, mark.stat().st_mode & 0o777) == (0, 0o600)
    os.utime(mark, ns=(10**18, 10**18))
    assert api.store.files().newest_backup_ms == 10**12


def test_backup_is_noted_when_the_mark_of_another_user_is_there(
    sqlite_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = sqlite_path.with_name(f"{sqlite_path.name}-backup")
    mark.touch()
    os.utime(mark, ns=(10**18, 10**18))

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError

    # Root's first backup leaves a file whose time only root may change, and tests may run as root.
    monkeypatch.setattr(os, "utime", forbidden)
    monkeypatch.setattr(Path, "touch", forbidden)
    mark_backup(sqlite_path)
    assert (newest_backup_ms(sqlite_path) or 0) > 10**12
    assert mark.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in mark.parent.glob(f"{mark.name}*")] == [mark.name]


@pytest.mark.parametrize(
    ("age_ms", "status"), [(BACKUP_MAX_MS, Status.OK), (BACKUP_MAX_MS + 1, Status.WARNING)]
)
async def test_old_backup_is_a_warning(
    age_ms: int, status: Status, store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = FileChecks(store, clock)
    assert (await checks.backup()).status is Status.OK, "none was ever made"
    monkeypatch.setattr(store, "files", lambda: StoreFiles(1, 1, clock() - age_ms))
    assert (await checks.backup()).status is status


@pytest.mark.parametrize(
    ("size", "status"), [(WAL_MAX_BYTES, Status.OK), (WAL_MAX_BYTES + 1, Status.WARNING)]
)
async def test_large_write_ahead_log_is_a_warning(
    size: int, status: Status, store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "files", lambda: StoreFiles(1, size, None))
    assert (await FileChecks(store, clock).wal()).status is status


def described(api: Api) -> dict[str, set[str]]:
    """The metrics that the server can show, and their labels."""
    found = {f"modelgates_{name}": {label} - {""} for name, (_, label) in GAUGES.items()}
    for metric in vars(api.services.metrics).values():
        if hasattr(metric, "describe"):
            [family] = metric.describe()
            kinds = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
            for ending in kinds[family.type]:
                found[family.name + ending] = set(metric._labelnames)
    return found


async def test_alerts_and_dashboard_name_metrics_and_labels_that_exist(api: Api) -> None:
    known = described(api)
    for expression in EXPRESSIONS:
        names = re.findall(r"modelgates_\w+", expression)
        assert names or expression.startswith("up{"), expression
        for name in names:
            assert name in known, expression
        every = set().union(*(known[name] for name in names)) | LABELS
        used = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression)
        used += [
            label
            for group in re.findall(r"by \(([^)]*)\)", expression)
            for label in re.split(r",\s*", group)
        ]
        assert set(used) <= every, expression
        for opened, closed in ("()", "[]", "{}"):
            assert expression.count(opened) == expression.count(closed), expression


def test_causes_in_alerts_exist() -> None:
    causes = {cause.value for cause in ProviderCause}
    for expression in EXPRESSIONS:
        for values in re.findall(r'cause=~"([^"]*)"', expression):
            assert set(values.split("|")) <= causes


def test_every_alert_says_what_to_do() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    for rule in RULES:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"].keys() == {"summary", "description"}


def test_guide_lists_the_alerts() -> None:
    guide = (ROOT / "docs" / "guides" / "operating.md").read_text("utf-8")
    section = guide.partition("\n## Metrics\n")[2].partition("\n## ")[0]
    alerts = {re.sub(r"\W+", "", rule["expr"]) for rule in RULES}
    for expression in re.findall(r"^\| `(modelgates_\w+_total[^`]*)` \|", section, re.MULTILINE):
        assert re.sub(r"\W+", "", expression) in alerts, expression


def test_dashboard_can_be_imported() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    assert DASHBOARD["templating"]["list"][0]["type"] == "datasource"
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in DASHBOARD["panels"])
