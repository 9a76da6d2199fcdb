"""Connects commands to the services, through `bootstrap`.

`bootstrap` is imported only when a command needs it, because it takes longer to load than the rest
of the command line. `--help`, `--version` and usage errors do not need it.
"""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pathlib import Path

    from modelgates_server.bootstrap.database_file import Database
    from modelgates_server.bootstrap.health import CheckedHealth
    from modelgates_server.bootstrap.spools import SpoolFolders
    from modelgates_server.service.services import LedgerServices
    from modelgates_server.store.archives.folder import ArchiveFolder

T = TypeVar("T")


def run(work: Callable[["LedgerServices"], Coroutine[Any, Any, T]], *, create: bool = False) -> T:
    """Does work on the database that the settings name. An error of the work ends the command.

    Unless `create` is set, a missing database is an error: the command runs in the wrong folder.
    """
    import asyncio  # noqa: PLC0415 - see above

    from modelgates_server import bootstrap  # noqa: PLC0415 - see above

    async def on_open_database() -> T:
        async with bootstrap.open_gateway(create=create) as gateway:
            return await work(gateway)

    return asyncio.run(on_open_database())


def run_read_only(work: Callable[["LedgerServices"], Coroutine[Any, Any, T]]) -> T:
    """Does work that only reads, without changing any file; otherwise like `run`."""
    import asyncio  # noqa: PLC0415 - see above

    from modelgates_server import bootstrap  # noqa: PLC0415 - see above

    async def on_database() -> T:
        async with bootstrap.read_gateway() as gateway:
            return await work(gateway)

    return asyncio.run(on_database())


def database() -> "Database":
    """Returns the database file, even if it needs a migration before it can be opened."""
    from modelgates_server import bootstrap  # noqa: PLC0415 - see above

    return bootstrap.database()


def archive_folder(folder: "Path") -> "ArchiveFolder":
    """Returns the archives of a folder; raises `InvalidInput` if it does not exist."""
    from modelgates_server.bootstrap import database_file  # noqa: PLC0415 - see above

    return database_file.archive_folder(folder)


def spool_folders() -> "SpoolFolders":
    """Returns the folders where ends of calls wait."""
    from modelgates_server.bootstrap import load_settings, spools  # noqa: PLC0415 - see above

    return spools.spool_folders(load_settings())


def now_ms() -> int:
    """Returns the time of the clock that the services use."""
    from modelgates_server import bootstrap  # noqa: PLC0415 - see above

    return bootstrap.now_ms()


def serve(on_started: Callable[[str], None], **given: Any) -> None:
    """Runs the server until SIGTERM or Ctrl-C. Values in `given` override the settings."""
    from modelgates_server.bootstrap import load_settings, serving  # noqa: PLC0415 - see above

    serving.serve(load_settings(**given), on_started=on_started)


def check_health(*, live: bool, timeout_s: float) -> "CheckedHealth":
    """Asks the server that the settings describe whether it is ready."""
    from modelgates_server.bootstrap import health, load_settings  # noqa: PLC0415 - see above

    return health.check_health(load_settings(), live=live, timeout_s=timeout_s)


def serve_sandbox(host: str, port: int, on_started: Callable[[str], None]) -> None:
    """Runs the sandbox models as a separate server until SIGTERM or Ctrl-C."""
    from modelgates_server.bootstrap import sandbox  # noqa: PLC0415 - see above

    sandbox.serve_sandbox(host, port, on_started)


def build_docs(folder: "Path", base_url: str) -> dict[str, str | int]:
    """Writes the documentation into a folder; returns its front page and size."""
    from modelgates_server.bootstrap import documentation  # noqa: PLC0415 - see above

    return documentation.build_docs(folder, base_url)
