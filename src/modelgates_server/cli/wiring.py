"""How commands reach the services: through `bootstrap`, which is imported when it is needed.

It takes longer than all the rest together; `--help`, `--version` and usage errors do without it.
"""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pathlib import Path

    from modelgates_server.bootstrap import Database
    from modelgates_server.service.services import LedgerServices

T = TypeVar("T")


def run(work: Callable[["LedgerServices"], Coroutine[Any, Any, T]], *, create: bool = False) -> T:
    """Do work on the database that the settings name; its refusals end the command.

    Only `create` makes a database where there is none: in the wrong folder a command is refused.
    """
    import asyncio  # noqa: PLC0415 - see above

    from modelgates_server import bootstrap  # noqa: PLC0415 - see above

    async def on_open_database() -> T:
        async with bootstrap.open_gateway(create=create) as gateway:
            return await work(gateway)

    return asyncio.run(on_open_database())


def database() -> "Database":
    """The database file itself, also one that must be migrated before it can be opened."""
    from modelgates_server import bootstrap  # noqa: PLC0415 - see above

    return bootstrap.database()


def now_ms() -> int:
    """The clock that the services use."""
    from modelgates_server import bootstrap  # noqa: PLC0415 - see above

    return bootstrap.now_ms()


def serve(on_started: Callable[[str], None], **given: Any) -> None:
    """Run the server until SIGTERM or Ctrl-C; members of `given` override the settings."""
    from modelgates_server.bootstrap import load_settings, serving  # noqa: PLC0415 - see above

    serving.serve(load_settings(**given), on_started=on_started)


def serve_sandbox(host: str, port: int, on_started: Callable[[str], None]) -> None:
    """Run the sandbox's models as a server of their own until SIGTERM or Ctrl-C."""
    from modelgates_server.bootstrap import sandbox  # noqa: PLC0415 - see above

    sandbox.serve_sandbox(host, port, on_started)


def build_docs(folder: "Path", base_url: str) -> dict[str, str | int]:
    """Write the documentation into a folder; where it begins, and how much it is."""
    from modelgates_server.bootstrap import documentation  # noqa: PLC0415 - see above

    return documentation.build_docs(folder, base_url)
