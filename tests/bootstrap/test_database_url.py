"""The forms of `MODELGATES_DATABASE_URL`."""

from pathlib import Path

import pytest

from modelgates_server.bootstrap.database_url import database_path
from modelgates_server.core.errors import InvalidInput


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///modelgates.db", "modelgates.db"),
        ("sqlite:////var/lib/modelgates.db", "/var/lib/modelgates.db"),
        ("SQLite:///x.db", "x.db"),
        ("sqlite:///my%20files/x.db", "my files/x.db"),
        ("sqlite:///my files/x.db", "my files/x.db"),
        ("sqlite:///50%25%3F%23.db", "50%?#.db"),
        ("sqlite:///%C3%A9+.db", "é+.db"),
        ("sqlite:///a&b=c.db", "a&b=c.db"),
    ],
)
def test_path_is_read_like_that_of_a_url(url: str, path: str) -> None:
    assert database_path(url) == Path(path)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sqlite:///x.db?mode=ro", "query parameters are not supported: `mode`."),
        ("sqlite:////x.db?mode=ro&cache=hunter2", "supported: `mode`, `cache`."),
        ("sqlite:///x.db?", "query parameters are not supported: `?`"),
        ("sqlite:///x.db#hunter2", "`%23`"),
        ("sqlite:///100%.db", "`%25`"),
        ("sqlite:///x%00.db", "`%25`"),
        ("sqlite://hunter2@host/x.db", "host is not supported"),
        ("sqlite:///C:/x.db", "Windows drive"),
        ("sqlite:///c:\\x.db", "Windows drive"),
        ("sqlite:////C:/x.db", "Windows drive"),
        ("sqlite:///file:x.db", "without `file:`"),
        ("sqlite:///:memory:", "in memory"),
        ("sqlite:///data/", "a folder"),
        ("sqlite:////", "a folder"),
        ("sqlite://", ""),
        ("sqlite:///", ""),
        ("sqlite:x.db", ""),
        ("sqlite://:memory:", ""),
        ("file:///x.db", ""),
        ("file:x.db?mode=ro", ""),
        ("x.db", ""),
        ("postgresql://user:hunter2@db/ledger", ""),
    ],
)
def test_other_url_is_rejected_without_repeating_it(url: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match="must look like `sqlite:///") as error:
        database_path(url)
    assert reason in str(error.value)
    assert "hunter2" not in str(error.value)
