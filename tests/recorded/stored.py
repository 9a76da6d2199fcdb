"""The data on disk: all rows of the database, and the files of spooled captures.

A release reads the data of the previous one, so a rename in the code must not change any of it: the
names in the JSON of a generation, references, digests, derived ids. This module therefore reads it
without any code of the program.
"""

import hashlib
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.recorded.exchange import body_lines
from tests.recorded.script import Script
from tests.upstream import Gate, UpstreamReply, answer, plain, story, usage

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_PACKED = "record_dictionary"
_LONG_BYTES = 4096


async def write_some(script: Script) -> None:
    """Makes the program write some of everything that it stores."""
    once: dict[str, str | None] = {"idempotency_key": "once", "x_title": "Example App"}
    reported = usage(3, 5, completion_tokens_details={"reasoning_tokens": 1})
    script.provider_returns(plain(answer("hi", reported)))
    await script.chat("kept for repeats", headers=once, user="end-user-1")
    script.provider_returns(plain({"error": {"message": "oops"}}, 500))
    await script.chat("failed under a key", headers={"idempotency_key": "again"})
    script.provider_returns(plain(answer("hi", usage(3, 5))))
    await script.chat("made again", headers={"idempotency_key": "again"})
    body = {"name": "limited", "limit": 5, "limit_reset": "weekly"}
    key = script.customer.management
    await script.send("a key", "POST", "/keys", key=key, body=body, idempotency_key="key")
    gate = Gate(story()[:2], story()[2:])
    script.provider_returns(UpstreamReply(gate))
    stream = await script.begin_chat("a stream that runs long", stream=True)
    await stream.until(b"word1")
    script.gateway.clock.forward(60_000)
    script.gateway.heartbeat()
    await script.recorded(stream, lambda record: record.cost_pico > 0)
    gate.go.set()
    await stream.finish()


async def spool_some(script: Script) -> str:
    """The files of captures that could not be committed; they are committed before this returns."""
    gate = Gate(story()[:2], story()[2:])
    script.provider_returns(UpstreamReply(gate))
    once: dict[str, str | None] = {"idempotency_key": "once"}
    stream = await script.begin_chat("a stream", stream=True, headers=once)
    await stream.until(b"word1")
    path = script.gateway.database_path
    elsewhere = path.with_name("elsewhere.db")
    path.rename(elsewhere)
    gate.go.set()
    await stream.finish()
    elsewhere.rename(path)
    files = sorted(script.gateway.spool_folder.iterdir())
    assert files
    text = "\n".join(file_text(file) for file in files)
    await script.gateway.drain_spool()
    assert (await script.record(stream)).cost_pico > 0
    return text


def file_text(path: Path) -> str:
    """The name of a file, and its content."""
    return "\n".join([f"### {path.name}", *body_lines(path.read_bytes()), ""])


def database_text(path: Path) -> str:
    """All rows of all tables, one line per column."""
    lines = []
    with closing(sqlite3.connect(path)) as connection:
        version = connection.execute("pragma user_version").fetchone()[0]
        lines += [f"### version {version}", ""]
        query = "select name from sqlite_schema where type = 'table' order by name"
        names = [name for (name,) in connection.execute(query)]
        dictionaries = _dictionaries(connection) if _PACKED in names else {}
        for table in names:
            rows = connection.execute(f"select * from {table} order by {_order(connection, table)}")
            columns = [column for column, *_ in rows.description]
            for row in rows:
                lines += [f"### {table}"]
                for column, value in zip(columns, row, strict=True):
                    is_packed = column == "packed" and value is not None
                    shown = unpacked(value, dictionaries) if is_packed else value
                    lines += column_lines(column, shown)
                lines += [""]
    return "\n".join(lines)


def _order(connection: sqlite3.Connection, table: str) -> str:
    """The first three columns."""
    count = len(connection.execute(f"pragma table_info({table})").fetchall())
    return ", ".join(map(str, range(1, min(count, 3) + 1)))


def _dictionaries(connection: sqlite3.Connection) -> dict[int, bytes]:
    return dict(connection.execute(f"select version, bytes from {_PACKED}").fetchall())


def unpacked(packed: bytes, dictionaries: dict[int, bytes]) -> bytes:
    """The JSON of a record: a byte names its dictionary, and a zstd frame follows."""
    return zstd.decompress(packed[1:], zstd.ZstdDict(dictionaries[packed[0]]))


def column_lines(name: str, value: Any) -> list[str]:
    if isinstance(value, str) and value.startswith(("{", "[")):
        return [f"{name}:", *body_lines(value.encode())]
    if isinstance(value, bytes) and len(value) > _LONG_BYTES:
        return [f"{name}: {len(value)} bytes, SHA-256 {hashlib.sha256(value).hexdigest()}"]
    if isinstance(value, bytes) and value.startswith(b"{"):
        return [f"{name} (bytes):", *body_lines(value)]
    return [f"{name}: {value.hex() if isinstance(value, bytes) else value!r}"]
