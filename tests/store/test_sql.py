import re
from pathlib import Path

import pytest

from modelgates_server.store import sqlite
from modelgates_server.store.sql import load_statements

FOLDER = Path(sqlite.__file__).parent


@pytest.mark.parametrize("file", ["ledger.sql", "reads.sql"])
def test_no_statement_is_lost_cut_or_merged_with_the_next(file: str) -> None:
    text = (FOLDER / file).read_text(encoding="utf-8")
    statements = load_statements(sqlite.__name__, file)
    assert list(statements) == re.findall(r"^-- name: (.*)$", text, re.MULTILINE)
    for statement in statements.values():
        assert statement
        assert "--" not in statement
        assert ";" not in statement
        assert statement in re.sub(r"--.*", "", text)


@pytest.mark.parametrize("file", ["ledger.sql", "reads.sql"])
def test_no_statement_is_written_that_nobody_runs(file: str) -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in FOLDER.glob("*.py"))
    unused = [name for name in load_statements(sqlite.__name__, file) if f'"{name}"' not in source]
    assert unused == []
