"""The sources of settings, and their precedence."""

from pathlib import Path

import pytest

from modelgates_server.bootstrap import load_settings, old_settings
from modelgates_server.core.errors import InvalidInput

NAME = "MODELGATES_DATABASE_URL"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(NAME, raising=False)


def test_first_source_that_sets_a_value_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"\xff\xfes\0", "it is not UTF-8 text"), (None, "No such file or directory")],
)
def test_file_that_cannot_be_read_is_named_with_its_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, reason: str
) -> None:
    secret = tmp_path / "secret"
    if content:
        secret.write_bytes(content)
    monkeypatch.setenv(f"{NAME}_FILE", str(secret))
    with pytest.raises(InvalidInput) as error:
        load_settings()
    assert str(error.value) == (
        f"`{NAME}_FILE` names a file that cannot be read: {secret}: {reason}. Correct the path or "
        f"the file, or unset `{NAME}_FILE`."
    )


def test_dotenv_that_is_not_text_gives_a_one_line_error(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(
        InvalidInput, match=r"The file `\.env` cannot be read: it is not UTF-8 text"
    ):
        load_settings()


def test_deprecated_name_works_in_every_source_of_settings(
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


def test_deprecated_name_is_rejected_when_the_new_name_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MODELGATES_MAX_BODY_MB", "5")
    monkeypatch.setenv("MODELGATES_MAX_BODY_MIB", "5")
    with pytest.raises(InvalidInput, match=r"both set\. Remove `MODELGATES_MAX_BODY_MB`\.$"):
        load_settings()


def test_deprecated_name_is_never_suggested_for_a_misspelled_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MODELGATES_MAX_BODY_M", "5")
    with pytest.raises(InvalidInput, match=r"Did you mean `MODELGATES_MAX_BODY_MIB`\?"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PORT", "70000", "must be less than or equal to 65535, not `70000`"),
        ("PORT", "http", "must be a valid integer, not `http`"),
        ("ALLOW_UNKNOWN_KEY_MEMBERS", "maybe", "must be a valid boolean, not `maybe`"),
        ("LOG_LEVEL", "loud", "must be `debug`, `info`, `warning` or `error`, not `loud`"),
        ("METRICS_TOKEN", "secret", "must have at least 16 characters"),
        ("PORT", "9" * 5000, "must be a valid integer"),
        ("PORT", "9" * 21, "must be less than or equal to 65535"),
        ("PORT", "\udcff", "must be UTF-8 text"),
        ("LOG_LEVEL", "sk-abc123", "must be `debug`, `info`, `warning` or `error`"),
        ("LOG_LEVEL", "a`b", "must be `debug`, `info`, `warning` or `error`"),
        ("LOG_LEVEL", "\x1b[31m", "must be `debug`, `info`, `warning` or `error`"),
        ("PORT_FILE", "keyfile", "must be a valid integer"),
        ("MAX_BODY_MB_FILE", "keyfile", "must be a valid integer"),
    ],
)
def test_invalid_value_is_repeated_unless_it_may_be_a_secret(
    name: str, value: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "keyfile").write_text("key123")
    monkeypatch.setenv(f"MODELGATES_{name}", value)
    with pytest.raises(InvalidInput) as error:
        load_settings()
    setting = name.removesuffix("_FILE").replace("_MB", "_MIB")
    assert str(error.value) == f"`MODELGATES_{setting}` {message}. See docs/settings.md."
