"""Where settings come from, and what stands over what."""

from pathlib import Path

import pytest

from modelgates_server.bootstrap import load_settings
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
