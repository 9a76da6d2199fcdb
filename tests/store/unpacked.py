"""The JSON of packed records in SQL."""

import sqlite3
from pathlib import Path

from modelgates_server.store.sqlite.snapshot import generation_rows


def connect(path: Path) -> sqlite3.Connection:
    """A connection with a function that returns the JSON of a packed record."""
    connection = sqlite3.connect(path)
    rows = generation_rows(connection)
    connection.create_function("unpacked", 1, lambda packed: rows.json_of("", "", packed).decode())
    return connection
