"""Where settings come from, and what stands over what."""

from pathlib import Path

import pytest

from modelgates_server.bootstrap import load_settings, old_settings
from modelgates_server.core.errors import InvalidInput

NAME = "MODELGATES_DATABASE_URL"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(NAME, raising=False)


def test_what_stands_nearer_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().database_url == "sqlite:///modelgates.db"
    (tmp_path / ".env").write_text(f"{NAME}=sqlite:///dotenv.db\n")
    assert load_settings().database_url == "sqlite:///dotenv.db"
    (tmp_path / "secret").write_text("sqlite:///file.db\n")
    monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path / "secret"))
    assert load_settings().database_url == "sqlite:///file.db"
    monkeypatch.setenv(NAME, "sqlite:///environment.db")
    assert load_settings().database_url == "sqlite:///environment.db"
    assert load_settings(database_url="sqlite:///option.db").database_url == "sqlite:///option.db"
    assert load_settings(database_url=None).database_url == "sqlite:///environment.db"


@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_a_file_that_cannot_be_read_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    if content:
        (tmp_path / "secret").write_bytes(content)
    monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path / "secret"))
    with pytest.raises(InvalidInput, match="the file of a setting cannot be read"):
        load_settings()


def test_a_dotenv_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput, match="cannot be read"):
        load_settings()


def test_old_name_of_a_setting_works_wherever_settings_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert old_settings() == {}
    (tmp_path / ".env").write_text("MODELGATES_MAX_BODY_MB=5\n")
    assert load_settings().max_body_mib == 5
    assert old_settings() == {"MODELGATES_MAX_BODY_MB": "MODELGATES_MAX_BODY_MIB"}
    (tmp_path / "size").write_text("6\n")
    monkeypatch.setenv("MODELGATES_MAX_BODY_MB_FILE", str(tmp_path / "size"))
    assert load_settings().max_body_mib == 6
    assert old_settings()["MODELGATES_MAX_BODY_MB_FILE"] == "MODELGATES_MAX_BODY_MIB_FILE"
    monkeypatch.setenv("MODELGATES_MAX_BODY_MB", "7")
    assert load_settings().max_body_mib == 7


def test_old_name_of_a_setting_is_refused_when_the_new_one_is_set_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MODELGATES_MAX_BODY_MB", "5")
    monkeypatch.setenv("MODELGATES_MAX_BODY_MIB", "5")
    with pytest.raises(InvalidInput, match=r"both set\. Remove `MODELGATES_MAX_BODY_MB`\.$"):
        load_settings()


def test_old_name_is_never_suggested_for_a_misspelt_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MODELGATES_MAX_BODY_M", "5")
    with pytest.raises(InvalidInput, match=r"did you mean MODELGATES_MAX_BODY_MIB\?"):
        load_settings()
