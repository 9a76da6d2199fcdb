"""Settings and `modelgates.toml` of released versions mean the same as in those versions."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from modelgates_server import __version__
from tests.cli.console import Console
from tests.recorded.configurations import understand, write_understood
from tests.recorded.releases import FOLDER, RECORDS

VERSIONS = sorted(path.parent.name for path in FOLDER.glob("*/configuration"))
WITH_FILE = [
    name for name in VERSIONS if (FOLDER / name / "configuration/modelgates.toml").exists()
]


@pytest.fixture
def folder(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with the environment of the version."""
    folder = tmp_path / "configuration"
    shutil.copytree(FOLDER / version / "configuration", folder)
    for name in [name for name in os.environ if name.startswith("MODELGATES_")]:
        monkeypatch.delenv(name)
    for name, value in json.loads((folder / "environment.json").read_text("utf-8")).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)
    if RECORDS and not Path("understood.json").exists():
        write_understood(FOLDER / version / "configuration")
        shutil.copy(FOLDER / version / "configuration/understood.json", folder)
    return folder


def test_current_version_has_a_configuration_for_later_versions() -> None:
    folder = FOLDER / __version__ / "configuration"
    assert (folder / "modelgates.toml").exists(), "write one with every field"
    assert (folder / "environment.json").exists(), "write one with every setting"


@pytest.mark.parametrize("version", VERSIONS)
def test_released_settings_have_the_same_values(folder: Path) -> None:
    before, now = understood_before(folder)["settings"], understand()["settings"]
    # Settings may have new names. Their values are all different, so a value identifies a setting.
    lost = {
        name: value
        for name, value in before.items()
        if value != now.get(name) and (name in now or value not in now.values())
    }
    assert lost == {}


@pytest.mark.parametrize("version", WITH_FILE)
def test_released_configuration_gives_the_same_catalog(folder: Path) -> None:
    before, now = understood_before(folder)["catalog"], understand()["catalog"]
    for model in before["models"].values():
        if "chat/completions" in model["apis"]:  # 0.3.0 had no others for conversations
            model["apis"] = sorted({*model["apis"], "messages", "responses"})
    assert now == before


@pytest.mark.parametrize("version", WITH_FILE)
def test_released_configuration_passes_the_check(folder: Path) -> None:
    console = Console(folder)
    console.environment |= json.loads((folder / "environment.json").read_text("utf-8"))
    ended = console.call("config", "check")
    assert ended.code == 0, ended


def understood_before(folder: Path) -> Any:
    return json.loads((folder / "understood.json").read_text("utf-8"))
