"""The one place that reads settings, builds adapters and hands them to services.

The HTTP server is in `bootstrap.composition` and `bootstrap.serving`, so that the command line need
not load it.
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
from modelgates_server.service.ports import Clock, RandomBytes, Store
from modelgates_server.service.services import LedgerServices
from modelgates_server.settings import OLD_NAMES, PREFIX, Settings, variable
from modelgates_server.store.sqlite import admin
from modelgates_server.store.sqlite.store import open_store

_SQLITE = "sqlite:///"
_ENDS = ("", "_FILE")
"""A setting's variable has its value, or names a file with it."""


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
    """The settings; what is given and not None overrides the environment.

    Raises `InvalidInput` that names the setting.
    """
    try:
        _check_names(_names_in_use())
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        problems = (
            f"{variable('_'.join(str(part) for part in problem['loc']))}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        )
        raise InvalidInput("; ".join(problems)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the file of a setting cannot be read: {error}") from error


def old_settings() -> dict[str, str]:
    """Variables of an earlier version that are in use, and those to set instead."""
    old_names = {
        f"{variable(old)}{end}": f"{variable(new)}{end}"
        for old, new in OLD_NAMES.items()
        for end in _ENDS
    }
    return {name: old_names[name] for name in _names_in_use() if name in old_names}


def _names_in_use() -> list[str]:
    """The variables of the environment and of `.env`."""
    return [*os.environ, *map(str.upper, DotEnvSettingsSource(Settings).env_vars)]


def _check_names(names_in_use: Iterable[str]) -> None:
    """A misspelt setting would silently leave the default, say another database."""
    names = {f"{variable(name)}{end}" for name in Settings.model_fields for end in _ENDS}
    for name in names_in_use:
        if name.startswith(PREFIX) and name not in names:
            near = difflib.get_close_matches(
                name, names - {variable(old) for old in OLD_NAMES}, n=1
            )
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


def ledger_services(store: Store, clock: Clock, random_bytes: RandomBytes) -> LedgerServices:
    """The services over an open store."""
    return LedgerServices(
        store=store,
        accounts=Accounts(store, clock, random_bytes),
        credits=Credits(store, clock, random_bytes),
        keys=KeyService(store, clock, random_bytes),
    )


@asynccontextmanager
async def open_gateway(
    settings: Settings | None = None, *, create: bool = True
) -> AsyncIterator[LedgerServices]:
    """The services over the database of the settings, open for a block; raises `StoreUnavailable`.

    Without `create`, a database that does not exist yet is refused.
    """
    store = open_store(database(settings).path, create=create)
    try:
        yield ledger_services(store, now_ms, secrets.token_bytes)
    finally:
        await store.close()
