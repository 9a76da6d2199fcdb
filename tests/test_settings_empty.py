"""Every setting without a value, and variables that only look like settings."""

from pathlib import Path

import pytest

from modelgates_server.bootstrap import load_settings, old_settings
from modelgates_server.core.errors import InvalidInput
from modelgates_server.settings import Settings, variable

# A valid value of each setting, other than its default.
VALUES: dict[str, str] = {
    "port": "8443",
    "metrics_token": "0123456789abcdef",
    "log_level": "debug",
    "plain_keep_alive": "on",
    "limit_source_prefix": "openrouter",
}
NAMES = list(Settings.model_fields)
BLANK = {"empty": "", "white space": " \t\r\n", "byte order mark": "\ufeff", "both": "\ufeff \n"}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def value_of(name: str) -> str:
    """Returns a text that is valid and not the default."""
    field = Settings.model_fields[name]
    if name in VALUES:
        return VALUES[name]
    if field.annotation is bool:
        return "false" if field.default else "true"
    return "7" if "int" in str(field.annotation) or name == "max_body_mb" else "given"


def stored(name: str) -> object:
    """Returns the value that a setting has; an old name sets the current one."""
    return Settings.model_dump(load_settings())[
        Settings.model_fields[name].deprecation_message or name
    ]


@pytest.mark.parametrize("blank", BLANK)
@pytest.mark.parametrize("name", NAMES)
def test_blank_value_of_a_setting_is_no_value(
    name: str, blank: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    default = stored(name)
    text = BLANK[blank]
    monkeypatch.setenv(variable(name), text)
    monkeypatch.setenv(f"{variable(name)}_FILE", text)
    (tmp_path / ".env").write_text(f"{variable(name)}={text.strip()}\n")
    assert stored(name) == default
    assert old_settings() == {}
    # The next source applies, too: a blank variable does not hide a value in `.env`.
    (tmp_path / ".env").write_text(f"{variable(name)}={value_of(name)}\n")
    assert stored(name) != default


@pytest.mark.parametrize("name", NAMES)
def test_byte_order_mark_and_white_space_around_a_value_are_ignored(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    default = stored(name)
    (tmp_path / ".env").write_text(f"\ufeff{variable(name)}={value_of(name)}\r\n")
    expected = stored(name)
    assert expected != default
    (tmp_path / ".env").unlink()
    monkeypatch.setenv(variable(name), f" {value_of(name)}\r")
    assert stored(name) == expected
    monkeypatch.delenv(variable(name))
    (tmp_path / "secret").write_text(f"\ufeff{value_of(name)}\n")
    monkeypatch.setenv(f"{variable(name)}_FILE", str(tmp_path / "secret"))
    assert stored(name) == expected


@pytest.mark.parametrize("blank", BLANK)
@pytest.mark.parametrize("name", NAMES)
def test_empty_file_of_a_setting_is_rejected_by_name(
    name: str, blank: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(BLANK[blank])
    monkeypatch.setenv(f"{variable(name)}_FILE", str(secret))
    with pytest.raises(InvalidInput) as error:
        load_settings()
    assert str(error.value) == (
        f"`{variable(name)}_FILE` names an empty file: {secret}. Write the value into the file, or "
        f"unset `{variable(name)}_FILE`."
    )


def test_blank_option_of_a_command_is_no_value() -> None:
    assert load_settings(host=" ").host == "127.0.0.1"


def test_misspelled_setting_after_a_byte_order_mark_is_rejected(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("\ufeffMODELGATES_HOTS=0.0.0.0\n")
    with pytest.raises(InvalidInput, match=r"Did you mean `MODELGATES_HOST`\?"):
        load_settings()


LINKS = {
    "MODELGATES_SERVICE_HOST": "10.0.0.1",
    "MODELGATES_SERVICE_PORT": "80",
    "MODELGATES_SERVICE_PORT_HTTP": "80",
    "MODELGATES_PORT": "tcp://10.0.0.1:80",
    "MODELGATES_PORT_80_TCP": "tcp://10.0.0.1:80",
    "MODELGATES_PORT_80_TCP_PROTO": "tcp",
    "MODELGATES_PORT_80_TCP_PORT": "80",
    "MODELGATES_PORT_80_TCP_ADDR": "10.0.0.1",
    # Of a service named modelgates-metrics, with an IPv6 address.
    "MODELGATES_METRICS_SERVICE_HOST": "fd00::1",
    "MODELGATES_METRICS_PORT": "tcp://[fd00::1]:9090",
    "MODELGATES_METRICS_PORT_9090_UDP": "udp://[fd00::1]:9090",
}


def test_service_links_of_kubernetes_are_no_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in LINKS.items():
        monkeypatch.setenv(name, value)
    assert load_settings().port == 8000
    (tmp_path / ".env").write_text("MODELGATES_PORT=9000\n")
    assert load_settings().port == 9000


@pytest.mark.parametrize(
    ("name", "value"),
    [("MODELGATES_METRICS_PORT", "9090"), ("MODELGATES_SERVICE_HOTS", "10.0.0.1")],
)
def test_name_that_only_resembles_a_service_link_is_rejected(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidInput, match="is not a setting"):
        load_settings()
