import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from modelgates_server.core.audit.findings import GenerationRow
from modelgates_server.core.keys import Key
from modelgates_server.core.ledger.records import Account, Hold
from modelgates_server.service.ports import AuthenticatedKey
from modelgates_server.store import sqlite
from modelgates_server.store.rows import STRUCTS
from modelgates_server.store.sql import bind, load_statements
from modelgates_server.store.sqlite.admin import migrate_file

FOLDER = Path(sqlite.__file__).parent
FILES = ("ledger.sql", "reads.sql", "refold.sql")
TABLES = {"key": "api_key", "key_creation_record": "issuance"}
"""The tables that have another name than their struct has in statements."""


@pytest.fixture
def empty(sqlite_path: Path) -> Iterator[sqlite3.Connection]:
    migrate_file(sqlite_path)
    with closing(sqlite3.connect(sqlite_path)) as connection:
        yield connection


@pytest.mark.parametrize("file", FILES)
def test_no_statement_is_lost_cut_or_merged_with_the_next(file: str) -> None:
    text = (FOLDER / file).read_text(encoding="utf-8")
    statements = load_statements(sqlite.__name__, file, STRUCTS)
    assert list(statements) == re.findall(r"^-- name: (.*)$", text, re.MULTILINE)
    for statement in statements.values():
        assert statement
        assert not re.search(r"--|[;{}]", statement)
        assert sqlite3.complete_statement(f"{statement};")


@pytest.mark.parametrize("file", FILES)
def test_every_statement_is_used(file: str) -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in FOLDER.glob("*.py"))
    statements = load_statements(sqlite.__name__, file, STRUCTS)
    unused = [name for name in statements if f'"{name}"' not in source]
    assert unused == []


@pytest.mark.parametrize("file", FILES)
def test_no_statement_relies_on_the_order_of_columns_in_a_table(file: str) -> None:
    for statement in load_statements(sqlite.__name__, file, STRUCTS).values():
        assert not re.search(r"select (\w\.)?\*|into \w+ values", statement)


def test_fields_of_a_struct_are_columns_aliased_columns_or_parameters() -> None:
    reads = load_statements(sqlite.__name__, "reads.sql", STRUCTS)
    writes = load_statements(sqlite.__name__, "ledger.sql", STRUCTS)
    names = Hold.__struct_fields__
    assert writes["hold"].startswith(f"select {', '.join(names)} from hold")
    assert f"select {', '.join(f'h.{name}' for name in names)}, g.record" in reads["open_holds"]
    parameters = ", ".join(f":{name}" for name in names)
    assert writes["insert_hold"] == f"insert into hold ({', '.join(names)}) values ({parameters})"


def test_parameters_become_positional_in_their_order() -> None:
    assert bind("update t set a = :a, b_2 = :b_2 where id = :id and x::y = ?") == (
        "update t set a = ?, b_2 = ? where id = ? and x::y = ?",
        ("a", "b_2", "id"),
    )
    assert bind("select 1") == ("select 1", ())


@pytest.mark.parametrize("name", sorted(STRUCTS))
def test_table_has_a_column_for_each_field_of_its_struct(
    empty: sqlite3.Connection, name: str
) -> None:
    fields = set(STRUCTS[name].__struct_fields__)
    if name == "activity":
        fields.add("account_id")
    rows = empty.execute("select name from pragma_table_info(?)", [TABLES.get(name, name)])
    assert {column for (column,) in rows} == fields


@pytest.mark.parametrize(
    ("statement", "fields"),
    [
        ("authenticated_key", AuthenticatedKey.__struct_fields__),
        ("account_and_key", (*Account.__struct_fields__, *Key.__struct_fields__)),
        ("generation", ("id", "record", "packed", "name")),
        ("generation_by_id", ("id", "record", "packed", "name")),
        (
            "latest_by_idempotency_key",
            (*GenerationRow.__struct_fields__, "packed", "name"),
        ),
        ("generation_row", (*GenerationRow.__struct_fields__, "packed")),
        ("archived_row", (*GenerationRow.__struct_fields__[:5], "name")),
    ],
)
def test_columns_of_a_join_are_in_the_order_of_the_fields(
    empty: sqlite3.Connection, statement: str, fields: tuple[str, ...]
) -> None:
    sql = load_statements(sqlite.__name__, "reads.sql", STRUCTS)[statement]
    cursor = empty.execute(sql, [""] * sql.count("?"))
    assert tuple(column[0] for column in cursor.description) == fields
