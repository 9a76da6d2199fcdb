"""Reads the settings, builds the adapters and passes them to the services. Nothing else does.

The HTTP server is in `bootstrap.composition` and `bootstrap.serving`, so that the command line does
not load it. The functions below import the database and the services when they need them: a health
check, which runs every few seconds, needs only the settings.
"""

import difflib
import os
import re
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import DotEnvSettingsSource

from modelgates_server.bootstrap.database_url import database_path
from modelgates_server.core.errors import InvalidInput
from modelgates_server.settings import (
    OLD_NAMES,
    PREFIX,
    Settings,
    filled,
    is_service_link,
    variable,
)

if TYPE_CHECKING:
    from modelgates_server.bootstrap.database_file import Database
    from modelgates_server.service.ports import Clock, RandomBytes, Store
    from modelgates_server.service.services import LedgerServices

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
        _check_names(_variables())
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        problems = map(_sentence, error.errors(include_url=False))
        raise InvalidInput(" ".join(problems)) from None
    except OSError as error:
        raise InvalidInput(f"The file `.env` cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError:
        # The error contains a part of the file.
        raise InvalidInput("The file `.env` cannot be read: it is not UTF-8 text.") from None


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
    return any(filled(os.environ.get(f"{variable(name)}_FILE")) for name in names)


def old_settings() -> dict[str, str]:
    """Returns the deprecated variables that are in use, each with the variable to set instead."""
    old_names = {
        f"{variable(old)}{end}": f"{variable(new)}{end}"
        for old, new in OLD_NAMES.items()
        for end in _ENDS
    }
    return {
        name: old_names[name]
        for name, value in _variables().items()
        if name in old_names and filled(value)
    }


def _variables() -> dict[str, str]:
    """Returns the variables in `.env` and, with precedence, in the environment."""
    in_dotenv = DotEnvSettingsSource(Settings).env_vars
    return {name.upper(): value or "" for name, value in in_dotenv.items()} | dict(os.environ)


def _check_names(variables: Mapping[str, str]) -> None:
    """Rejects unknown names: a misspelled setting would silently leave the right one unset."""
    names = {f"{variable(name)}{end}" for name in Settings.model_fields for end in _ENDS}
    for name, value in variables.items():
        if name.startswith(PREFIX) and name not in names and not is_service_link(name, value):
            near = difflib.get_close_matches(
                name, names - {variable(old) for old in OLD_NAMES}, n=1
            )
            hint = f"Did you mean `{near[0]}`?" if near else "See docs/settings.md."
            raise InvalidInput(f"`{name}` is not a setting. {hint}")


def database(settings: Settings | None = None) -> "Database":
    """Returns the database that the settings name; raises `InvalidInput` for an unsupported URL."""
    from modelgates_server.bootstrap.database_file import Database  # noqa: PLC0415 - see above

    settings = settings or load_settings()
    path = database_path(settings.database_url)
    return Database(path, settings.spool_dir, settings.emergency_dir)


def ledger_services(
    store: "Store", clock: "Clock", random_bytes: "RandomBytes"
) -> "LedgerServices":
    """Returns the services on top of an open store."""
    from modelgates_server.service.accounts import Accounts  # noqa: PLC0415 - see above
    from modelgates_server.service.credits import Credits  # noqa: PLC0415 - see above
    from modelgates_server.service.key_repair import KeyRepair  # noqa: PLC0415 - see above
    from modelgates_server.service.keys import KeyService  # noqa: PLC0415 - see above
    from modelgates_server.service.services import LedgerServices  # noqa: PLC0415 - see above

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
) -> AsyncIterator["LedgerServices"]:
    """Opens the database that the settings name for the length of a block; yields the services.

    Raises `StoreUnavailable`; without `create`, also if the database does not exist yet.
    """
    from modelgates_server.store.sqlite.opening import open_store  # noqa: PLC0415 - see above

    store = open_store(database(settings).path, create=create)
    try:
        yield ledger_services(store, now_ms, secrets.token_bytes)
    finally:
        await store.close()


@asynccontextmanager
async def read_gateway() -> AsyncIterator["LedgerServices"]:
    """Opens the database that the settings name only to read it, for the length of a block.

    No file is changed. Raises `StoreUnavailable`, also if the database does not exist yet.
    """
    from modelgates_server.store.sqlite.reading import open_reader  # noqa: PLC0415 - see above

    with open_reader(database().path) as store:
        try:
            yield ledger_services(store, now_ms, secrets.token_bytes)
        finally:
            await store.close()
