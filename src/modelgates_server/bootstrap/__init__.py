"""Reads the settings, builds the adapters and passes them to the services. Nothing else does.

The HTTP server is in `bootstrap.composition` and `bootstrap.serving`, so that the command line does
not load it.
"""

import difflib
import os
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import DotEnvSettingsSource

from modelgates_server.core.errors import InvalidInput
from modelgates_server.service.accounts import Accounts
from modelgates_server.service.credits import Credits
from modelgates_server.service.key_repair import KeyRepair
from modelgates_server.service.keys import KeyService
from modelgates_server.service.ports import Clock, RandomBytes, Store
from modelgates_server.service.services import LedgerServices
from modelgates_server.settings import OLD_NAMES, PREFIX, Settings, variable
from modelgates_server.store.archives.folder import ArchiveFolder
from modelgates_server.store.sqlite import admin, compacting
from modelgates_server.store.sqlite.store import open_store

if TYPE_CHECKING:
    from modelgates_server.store.sqlite import archiving

_SQLITE = "sqlite:///"
_ENDS = ("", "_FILE")
"""The variable of a setting contains its value, or, with `_FILE`, the path of a file with it."""
_SUBJECT, _REASON = re.compile(r"^[A-Z]\w* should "), re.compile(r", unable to .*")
"""The parts of pydantic's messages to replace and to remove."""
_WITH_VALUE = {
    "int_parsing",
    "bool_parsing",
    "literal_error",
    "greater_than_equal",
    "less_than_equal",
}
"""The types of error whose message repeats the value, which should be a number or a choice."""
_RULES = {"int_parsing_size": "must be a valid integer", "string_unicode": "must be UTF-8 text"}
"""Texts of our own, by pydantic's type of error."""
_NO_SECRET = re.compile(r"(?!sk-)[A-Za-z0-9.+-]{1,20}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Database:
    """The operations on the database file that the settings name; see `store.sqlite.admin`."""

    path: Path

    def status(self) -> dict[str, int | str | bool]:
        """Returns figures for people and scripts."""
        return admin.status(self.path)

    def migrate(self, report: Callable[[str], None]) -> list[int]:
        """Migrates the database; returns the numbers of the migrations that this call applied.

        `report` receives what was done so far.
        """
        return admin.migrate_file(self.path, report)

    def backup(self, target: Path, on_progress: Callable[[int, int], None]) -> None:
        """Writes a consistent copy to a new file."""
        admin.backup(self.path, target, on_progress)

    def archive(
        self, folder: Path, before: str, report: Callable[[str], None]
    ) -> "archiving.ArchiveRun":
        """Moves the records of old calls to an archive; see `store.sqlite.archiving`."""
        from modelgates_server.store.sqlite import archiving  # noqa: PLC0415 - needs a Unix

        return archiving.archive(self.path, folder, before, now_ms(), report)

    def count_old_records(self, before: str, report: Callable[[str], None]) -> int:
        """Returns the number of records that `archive` would move."""
        from modelgates_server.store.sqlite import archiving  # noqa: PLC0415 - needs a Unix

        return archiving.count_old(self.path, before, now_ms(), report)

    def compact(self) -> tuple[int, int]:
        """Gives free space back to the disk; returns the bytes before and after."""
        return compacting.compact(self.path)

    @property
    def default_spool_dir(self) -> Path:
        """The folder where ends of calls wait for this database, unless a setting names another."""
        return self.path.with_name(f"{self.path.name}-spool")


def archive_folder(folder: Path) -> ArchiveFolder:
    """Returns the archives of a folder; raises `InvalidInput` if it does not exist."""
    return ArchiveFolder(folder)


def now_ms() -> int:
    """Returns the time of the program's clock, in milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000  # noqa: TID251 - this is the clock


def steady_ms() -> int:
    """Returns milliseconds since an unknown instant: time passes, whatever the clock is set to.

    Where the system offers it, the time that the machine was suspended for is included.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime_ns(clock) // 1_000_000


def load_settings(**given: Any) -> Settings:
    """Returns the settings. Values in `given` other than None override the environment.

    Raises `InvalidInput`, which names the setting.
    """
    try:
        _check_names(_names_in_use())
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        problems = map(_sentence, error.errors(include_url=False))
        raise InvalidInput(" ".join(problems)) from None
    except OSError as error:
        raise InvalidInput(f"The file of a setting cannot be read: {error}.") from error
    except UnicodeDecodeError:
        # The error contains a part of the file.
        raise InvalidInput("The file of a setting cannot be read: it is not UTF-8 text.") from None


def _sentence(problem: ErrorDetails) -> str:
    """Returns a message about a setting. It repeats the value only if that cannot be a secret."""
    setting = "_".join(str(part) for part in problem["loc"])
    name = variable(setting)
    rule = _REASON.sub("", _SUBJECT.sub("must ", problem["msg"])).replace("'", "`")
    if problem["type"] == "too_short":
        rule = f"must have at least {problem['ctx']['min_length']} characters"
    rule = _RULES.get(problem["type"], rule)
    if problem["type"] in _WITH_VALUE and not _has_file(setting):
        value = str(problem["input"])
        rule += f", not `{value}`" if _NO_SECRET.fullmatch(value) else ""
    return f"`{name}` {rule}. See docs/settings.md."


def _has_file(setting: str) -> bool:
    """Whether the value may come from a file, which may be the file of a secret."""
    names = [setting, *(old for old, new in OLD_NAMES.items() if new == setting)]
    return any(f"{variable(name)}_FILE" in os.environ for name in names)


def old_settings() -> dict[str, str]:
    """Returns the deprecated variables that are in use, each with the variable to set instead."""
    old_names = {
        f"{variable(old)}{end}": f"{variable(new)}{end}"
        for old, new in OLD_NAMES.items()
        for end in _ENDS
    }
    return {name: old_names[name] for name in _names_in_use() if name in old_names}


def _names_in_use() -> list[str]:
    """Returns the names of the variables in the environment and in `.env`."""
    return [*os.environ, *map(str.upper, DotEnvSettingsSource(Settings).env_vars)]


def _check_names(names_in_use: Iterable[str]) -> None:
    """Rejects unknown names: a misspelled setting would silently leave the right one unset."""
    names = {f"{variable(name)}{end}" for name in Settings.model_fields for end in _ENDS}
    for name in names_in_use:
        if name.startswith(PREFIX) and name not in names:
            near = difflib.get_close_matches(
                name, names - {variable(old) for old in OLD_NAMES}, n=1
            )
            hint = f"Did you mean `{near[0]}`?" if near else "See docs/settings.md."
            raise InvalidInput(f"`{name}` is not a setting. {hint}")


def database(settings: Settings | None = None) -> Database:
    """Returns the database that the settings name; raises `InvalidInput` for an unsupported URL."""
    url = (settings or load_settings()).database_url
    if not url.startswith(_SQLITE) or len(url) == len(_SQLITE):
        raise InvalidInput(
            "`MODELGATES_DATABASE_URL` must look like `sqlite:///modelgates.db`, "
            "or `sqlite:////var/lib/modelgates/modelgates.db` for an absolute path."
        )
    return Database(Path(url.removeprefix(_SQLITE)))


def ledger_services(store: Store, clock: Clock, random_bytes: RandomBytes) -> LedgerServices:
    """Returns the services on top of an open store."""
    return LedgerServices(
        store=store,
        accounts=Accounts(store, clock, random_bytes),
        credits=Credits(store, clock, random_bytes),
        keys=KeyService(store, clock, random_bytes),
        key_repair=KeyRepair(store, clock, random_bytes),
    )


@asynccontextmanager
async def open_gateway(
    settings: Settings | None = None, *, create: bool = True
) -> AsyncIterator[LedgerServices]:
    """Opens the database that the settings name for the length of a block; yields the services.

    Raises `StoreUnavailable`; without `create`, also if the database does not exist yet.
    """
    store = open_store(database(settings).path, create=create)
    try:
        yield ledger_services(store, now_ms, secrets.token_bytes)
    finally:
        await store.close()
