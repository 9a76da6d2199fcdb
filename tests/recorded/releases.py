"""A database and a spool as a released version left them. They are never written anew.

`make record` adds those of a version that has none yet.
"""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.recorded.exchange import Exchange
from tests.recorded.gateway import Customer
from tests.recorded.script import Script
from tests.upstream import Gate, UpstreamReply, answer, plain, story, usage

FOLDER = Path(__file__).parent / "released"
VERSIONS = sorted(path.name for path in FOLDER.iterdir())


async def leave(script: Script, folder: Path) -> None:
    """Write what a version leaves when it ends while its database cannot take a capture."""
    once: dict[str, str | None] = {"idempotency_key": "once"}
    script.provider_says(plain(answer("hi", usage(3, 5))))
    await script.chat("a call", headers=once)
    pause = Gate(story()[:2], story()[2:])
    script.provider_says(UpstreamReply(pause))
    stream = await script.begin_chat("a stream", stream=True)
    await stream.until(b"word1")
    path = script.gateway.database_path
    elsewhere = path.with_name("elsewhere.db")
    path.rename(elsewhere)
    pause.go.set()
    await stream.finish()
    elsewhere.rename(path)
    (folder / "spool").mkdir(parents=True)
    for file in script.gateway.spool_folder.iterdir():
        (folder / "spool" / file.name).write_bytes(file.read_bytes())
    with closing(sqlite3.connect(path)) as connection:
        lines = list(connection.iterdump())
        for name in ("user_version", "application_id"):
            value = connection.execute(f"pragma {name}").fetchone()[0]
            lines += [f"pragma {name} = {value};"]
    (folder / "database.sql").write_text("\n".join([*lines, ""]), "utf-8", newline="\n")
    (folder / "customer.json").write_text(json.dumps(script.customer._asdict()), "utf-8")
    await script.gateway.drain_spool()


def restore(version: str, folder: Path) -> Customer:
    """Lay it where a gateway will open it; whose it is."""
    with closing(sqlite3.connect(folder / "modelgates.db")) as connection:
        connection.executescript((FOLDER / version / "database.sql").read_text("utf-8"))
    (folder / "spool").mkdir()
    for file in (FOLDER / version / "spool").iterdir():
        (folder / "spool" / file.name).write_bytes(file.read_bytes())
    return Customer(**json.loads((FOLDER / version / "customer.json").read_text("utf-8")))


async def repeat(script: Script) -> Exchange:
    """The call that was made under a key."""
    once: dict[str, str | None] = {"idempotency_key": "once"}
    return await script.chat("its repeat", headers=once)
