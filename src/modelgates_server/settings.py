"""All settings, read by `bootstrap` alone. docs/settings.md documents each; a test compares."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Environment variables `MODELGATES_*`, or a `.env` file in the working directory."""

    model_config = SettingsConfigDict(
        env_prefix="MODELGATES_", env_file=".env", env_file_encoding="utf-8", extra="ignore"
    )

    database_url: str = Field(
        default="sqlite:///modelgates.db", description="where the ledger lives"
    )
    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(
        default=8000, ge=0, le=65535, description="port to listen on; 0 takes a free one"
    )
    workers: int = Field(default=1, ge=1, le=64, description="server processes")
    tls_cert: Path | None = Field(default=None, description="certificate file (PEM)")
    tls_key: Path | None = Field(default=None, description="private key file (PEM)")
    public_url: str = Field(
        default="", description="where clients reach the server, for links and the API description"
    )
    metrics_token: SecretStr | None = Field(
        default=None, min_length=16, description="bearer token that opens /metrics; without it, 404"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least important log lines to write"
    )
    shutdown_grace_s: int = Field(
        default=30, ge=0, description="seconds that running requests get to end after SIGTERM"
    )
    request_timeout_s: int = Field(
        default=30, ge=1, description="seconds a client has to send a request whole"
    )
    max_connections: int = Field(
        default=4096, ge=1, description="open connections per process; more are refused with 503"
    )
