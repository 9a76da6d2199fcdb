"""The one place that reads settings, builds adapters and hands them to services.

The HTTP server is put together in `bootstrap.serving`, so that the command line need not load it.
"""

import difflib
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import DotEnvSettingsSource

from modelgates_server.core.errors import InvalidInput
from modelgates_server.service.accounts import Accounts
from modelgates_server.service.credits import Credits
from modelgates_server.service.keys import KeyService
from modelgates_server.service.ports import Store
from modelgates_server.settings import PREFIX, Settings
from modelgates_server.store.sqlite import admin
from modelgates_server.store.sqlite.store import open_store

_SQLITE = "sqlite:///"


@dataclass(frozen=True, slots=True)
class Gateway:
    """The services over one open store."""

    store: Store
    accounts: Accounts
    credits: Credits
    keys: KeyService


@dataclass(frozen=True, slots=True)
class Database:
    """What an operator may do to the database the settings name; see `store.sqlite.admin`."""

    path: Path

    def status(self) -> dict[str, int | str | bool]:
        """Figures for people and scripts."""
        return admin.status(self.path)

    def migrate(self) -> list[int]:
        """Numbers of the migrations that were applied now."""
        return admin.migrate_file(self.path)

    def backup(self, target: Path, on_progress: Callable[[int, int], None]) -> None:
        """Write a consistent copy to a new file."""
        admin.backup(self.path, target, on_progress)

    @property
    def default_spool_dir(self) -> Path:
        """Where ends of calls wait for this database unless a setting names another folder."""
        return self.path.with_name(f"{self.path.name}-spool")


def now_ms() -> int:
    """The clock of the program: milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000  # noqa: TID251 - this is the clock


def load_settings(**given: Any) -> Settings:
    """The settings; what is given and not None stands over the environment.

    Raises `InvalidInput` that names the setting.
    """
    _check_names(os.environ)
    try:
        _check_names(name.upper() for name in DotEnvSettingsSource(Settings).env_vars)
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        problems = (
            f"MODELGATES_{'_'.join(str(part) for part in problem['loc']).upper()}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        )
        raise InvalidInput("; ".join(problems)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the file of a setting cannot be read: {error}") from error


def _check_names(environment: Iterable[str]) -> None:
    """A misspelt setting would silently leave the default, say another database."""
    names = {
        f"{PREFIX}{name.upper()}{end}" for name in Settings.model_fields for end in ("", "_FILE")
    }
    for name in environment:
        if name.startswith(PREFIX) and name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"; did you mean {near[0]}?" if near else ", see docs/settings.md"
            raise InvalidInput(f"{name} is not a setting{hint}")


def database(settings: Settings | None = None) -> Database:
    """The database that the settings name; raises `InvalidInput` for a URL of another kind."""
    url = (settings or load_settings()).database_url
    if not url.startswith(_SQLITE) or len(url) == len(_SQLITE):
        raise InvalidInput(
            "MODELGATES_DATABASE_URL must look like sqlite:///modelgates.db, "
            "or sqlite:////var/lib/modelgates/modelgates.db for an absolute path"
        )
    return Database(Path(url.removeprefix(_SQLITE)))


def build_gateway(store: Store) -> Gateway:
    """The services over a store, with the real clock and the system's randomness."""
    random_bytes = secrets.token_bytes
    return Gateway(
        store=store,
        accounts=Accounts(store, now_ms, random_bytes),
        credits=Credits(store, now_ms, random_bytes),
        keys=KeyService(store, now_ms, random_bytes),
    )


@asynccontextmanager
async def open_gateway(
    settings: Settings | None = None, *, create: bool = True
) -> AsyncIterator[Gateway]:
    """Open the database for the length of a block; raises `StoreUnavailable`.

    Without `create`, a database that does not exist yet is refused.
    """
    store = open_store(database(settings).path, create=create)
    try:
        yield build_gateway(store)
    finally:
        await store.close()
