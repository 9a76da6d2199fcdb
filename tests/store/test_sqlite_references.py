"""References of before the rule that new ones are in NFC: they replay, and nothing pays twice."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from modelgates_server.core.errors import InvalidInput
from modelgates_server.service.verify import verify
from modelgates_server.store.sqlite.opening import open_store
from tests.support import DOLLAR, grant, open_account

COMPOSED, DECOMPOSED = "caf\u00e9 1", "cafe\u0301 1"


async def stored_decomposed(path: Path) -> str:
    """An account that got a dollar under a decomposed reference, as 0.3.0 stored it."""
    store = open_store(path)
    account_id = await open_account(store)
    await store.execute(grant(account_id, DOLLAR, "old"))
    await store.close()
    with closing(sqlite3.connect(path)) as connection:
        [trigger] = connection.execute(
            "select sql from sqlite_schema where name = 'entry_is_never_changed'"
        ).fetchone()
        connection.execute("drop trigger entry_is_never_changed")
        connection.execute("update entry set reference = ? where reference = 'old'", (DECOMPOSED,))
        connection.execute(trigger)
        connection.commit()
    return account_id


async def test_old_reference_replays_and_never_credits_twice(tmp_path: Path) -> None:
    path = tmp_path / "modelgates.db"
    account_id = await stored_decomposed(path)
    store = open_store(path)
    for reference in (DECOMPOSED, COMPOSED, DECOMPOSED):
        receipt = await store.execute(grant(account_id, DOLLAR, reference))
        assert (receipt.replayed, receipt.entry.reference) == (True, DECOMPOSED)
    with pytest.raises(InvalidInput, match="NFC"):
        await store.execute(grant(account_id, DOLLAR, f"{DECOMPOSED}2"))
    account = await store.account(account_id)
    assert account is not None
    assert account.credits_pico == DOLLAR
    assert (await verify(store)).findings == []
    await store.close()
