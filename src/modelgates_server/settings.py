"""All settings. Only `bootstrap` reads them. A test checks that docs/settings.md has each."""

import os
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from modelgates_server.core.errors import InvalidInput

PREFIX = "MODELGATES_"


class Settings(BaseSettings):
    """Settings from environment variables `MODELGATES_*`, files that `…_FILE` names, or `.env`.

    A value that is empty, or only white space, is no value: the next source applies.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", env_file_encoding="utf-8-sig", extra="ignore"
    )

    database_url: str = Field(
        default="sqlite:///modelgates.db", description="database of the ledger"
    )
    host: str = Field(default="127.0.0.1", description="address to listen on, or unix:PATH")
    port: int = Field(
        default=8000, ge=0, le=65535, description="port to listen on; 0 chooses a free one"
    )
    workers: int = Field(default=1, ge=1, le=64, description="number of server processes")
    tls_cert: Path | None = Field(default=None, description="certificate file (PEM)")
    tls_key: Path | None = Field(default=None, description="private key file (PEM)")
    public_url: str = Field(
        default="",
        description="URL of the server for clients, used in links and the API description",
    )
    allowed_hosts: str = Field(
        default="",
        description="names of the server, between commas, that the documentation may show",
    )
    v1_alias: bool = Field(
        default=True, description="serve the API below /v1 as well as below /api/v1"
    )
    metrics_token: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="bearer token for /metrics; without it, /metrics is 404",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="lowest level of log lines to write"
    )
    shutdown_grace_s: int = Field(
        default=30, ge=0, description="seconds that running requests have to finish after SIGTERM"
    )
    request_timeout_s: int = Field(
        default=30,
        ge=1,
        description="seconds that a client has to send a request, and one more per 32 KiB",
    )
    max_connections: int = Field(
        default=4096, ge=1, description="open connections per process; more are rejected with 503"
    )
    config: Path | None = Field(
        default=None, description="file with providers, models and prices (modelgates.toml)"
    )
    max_body_mib: int = Field(
        default=20, ge=1, le=1024, description="maximum size of an inference request, in MiB"
    )
    max_body_mb: str | None = Field(default=None, exclude=True, deprecated="max_body_mib")
    allow_unknown_key_members: bool = Field(
        default=False,
        description="accept unknown parameters of POST and PATCH /keys, and ignore them",
    )
    allowed_betas: str = Field(
        default="",
        description="unknown `anthropic-beta` features that may pass, between commas",
    )
    hold_ttl_s: int = Field(
        default=120, ge=3, description="seconds after which the hold of a lost call is resolved"
    )
    keep_alive_s: int = Field(
        default=3, ge=1, description="seconds of silence after which a client is sent a keep-alive"
    )
    plain_keep_alive: Literal["auto", "on", "off"] = Field(
        default="auto", description="non-streaming calls that are sent white space as a keep-alive"
    )
    drain_s: int = Field(
        default=60,
        ge=0,
        description="seconds to keep reading for the usage after a client has disconnected",
    )
    join_retries: bool = Field(
        default=True,
        description="let a retry join the call that its client has given up, so it is charged once",
    )
    spool_dir: Path | None = Field(
        default=None, description="folder for captures that wait for the database"
    )
    emergency_dir: Path | None = Field(
        default=None,
        description="folder on another disk for captures that database and spool cannot take",
    )
    limit_source_prefix: Literal["modelgates", "openrouter"] = Field(
        default="modelgates", description="prefix of `limit_source` in errors"
    )

    @model_validator(mode="before")
    @classmethod
    def _take_old_names(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Replaces setting names of earlier versions by their current names."""
        for old, new in OLD_NAMES.items():
            if old in given:
                if new in given:
                    raise InvalidInput(
                        f"`{variable(new)}` and its old name, `{variable(old)}`, are both set. "
                        f"Remove `{variable(old)}`."
                    )
                given[new] = given.pop(old)
        return given

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """See pydantic-settings. Each file has its own variable; there is no shared folder."""
        del file_secret_settings
        sources = (init_settings, env_settings, _NamedFiles(settings_cls), dotenv_settings)
        return tuple(_Filled(settings_cls, source) for source in sources)


OLD_NAMES = {
    name: field.deprecation_message
    for name, field in Settings.model_fields.items()
    if field.deprecation_message is not None
}
"""The names of earlier versions, which work for one release, and the current ones."""

_BOM = "\ufeff"
_LINK = re.compile(r"(tcp|udp|sctp)://\S+:\d+")
_OF_SERVICE = re.compile(
    rf"{PREFIX}(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)


def variable(name: str) -> str:
    """Returns the environment variable of a setting."""
    return f"{PREFIX}{name.upper()}"


def filled(value: str | None) -> str:
    """Returns a value without surrounding white space and byte order mark; empty if it is unset."""
    return (value or "").strip().removeprefix(_BOM).strip()


def is_service_link(name: str, value: str) -> bool:
    """Whether a variable is not a setting, but one that Kubernetes adds for a service.

    A service named `modelgates` has `MODELGATES_SERVICE_HOST` and `MODELGATES_PORT=tcp://…`, a
    service named `modelgates-x` has `MODELGATES_X_SERVICE_HOST`, in all pods of the namespace.
    """
    if name.startswith(PREFIX) and name.endswith("_PORT") and _LINK.fullmatch(value):
        return True
    return _OF_SERVICE.fullmatch(name) is not None


class _Filled(PydanticBaseSettingsSource):
    """The values of another source that are not empty, without surrounding white space."""

    def __init__(
        self, settings_cls: type[BaseSettings], source: PydanticBaseSettingsSource
    ) -> None:
        super().__init__(settings_cls)
        self._source = source

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        """See pydantic-settings."""
        return self._source.get_field_value(field, field_name)

    def __call__(self) -> dict[str, Any]:
        """Returns the settings that have a value."""
        values = {
            name: filled(value) if isinstance(value, str) else value
            for name, value in self._source().items()
        }
        return {
            name: value
            for name, value in values.items()
            if value != "" and not is_service_link(variable(name), str(value))
        }


def _text_of(file: Path, name: str) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror
    except UnicodeDecodeError:  # the error contains a part of the file
        reason = "it is not UTF-8 text"
    raise InvalidInput(
        f"`{name}` names a file that cannot be read: {file}: {reason}. Correct the path or the "
        f"file, or unset `{name}`."
    )


class _NamedFiles(PydanticBaseSettingsSource):
    """Reads settings from files that `MODELGATES_<NAME>_FILE` names, such as mounted secrets."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        """See pydantic-settings. Raises `InvalidInput` for a file without a value."""
        del field
        name = f"{variable(field_name)}_FILE"
        file = filled(os.environ.get(name))
        if not file:
            return None, field_name, False
        value = filled(_text_of(Path(file), name))
        if not value:
            raise InvalidInput(
                f"`{name}` names an empty file: {file}. Write the value into the file, or unset "
                f"`{name}`."
            )
        return value, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Returns the settings that have a file."""
        values = {
            name: self.get_field_value(field, name)[0]
            for name, field in self.settings_cls.model_fields.items()
        }
        return {name: value for name, value in values.items() if value is not None}
