from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import msgspec
import pytest

from modelgates_server.core.audit.findings import Finding
from modelgates_server.core.errors import StoreUnavailable
from modelgates_server.core.pricing.usage import Usage
from modelgates_server.service import verify as verifying
from modelgates_server.service.ports import AccountSnapshot, AuthenticatedKey, Store
from modelgates_server.service.verify import verify
from tests.support import (
    DOLLAR,
    adjust,
    capture,
    finished,
    grant,
    make_key,
    open_account,
    open_database,
    open_generation,
    place,
)


class Altered:
    """The store, but for the methods that a test puts in their place."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


class Restless(Altered):
    """Before every read, another connection changes the account."""

    def __init__(self, store: Store, other: Store, account_id: str, key_hash: str) -> None:
        super().__init__(store)
        self.other = other
        self.account_id = account_id
        self.key_hash = key_hash
        self.changes = 0

    async def change(self) -> None:
        self.changes += 1
        hold_id = f"late-{self.changes}"
        generation = open_generation(self.account_id, self.key_hash, hold_id, 3)
        await self.other.execute(place(self.account_id, self.key_hash, hold_id, 3), generation)
        if self.changes % 2:
            ended = finished(generation, Usage(input=2))
            await self.other.execute(capture(self.account_id, self.key_hash, hold_id, 2), ended)
        await self.other.execute(grant(self.account_id, 1, hold_id))

    async def account(self, account_id: str) -> Any:
        await self.change()
        return await self.store.account(account_id)

    async def authenticated_key(self, key_hash: str) -> Any:
        await self.change()
        return await self.store.authenticated_key(key_hash)

    @asynccontextmanager
    async def account_snapshot(self, account_id: str) -> AsyncIterator[AccountSnapshot]:
        await self.change()
        async with self.store.account_snapshot(account_id) as snapshot:
            yield cast("AccountSnapshot", RestlessSnapshot(snapshot, self))


class RestlessSnapshot:
    def __init__(self, snapshot: AccountSnapshot, restless: Restless) -> None:
        self.account = snapshot.account
        self.keys = snapshot.keys
        self.snapshot = snapshot
        self.restless = restless

    def entries(self) -> AsyncIterator[Sequence[Any]]:
        return self.disturbed(self.snapshot.entries())

    def hold_entries(self) -> AsyncIterator[Sequence[Any]]:
        return self.disturbed(self.snapshot.hold_entries())

    def holds(self) -> AsyncIterator[Sequence[Any]]:
        return self.disturbed(self.snapshot.holds())

    def generations(self) -> AsyncIterator[Sequence[Any]]:
        return self.disturbed(self.snapshot.generations())

    def archived(self) -> AsyncIterator[Sequence[Any]]:
        return self.disturbed(self.snapshot.archived())

    async def activity(self) -> Sequence[Any]:
        await self.restless.change()
        return await self.snapshot.activity()

    async def disturbed(self, pages: AsyncIterator[Sequence[Any]]) -> AsyncIterator[Sequence[Any]]:
        await self.restless.change()
        async for page in pages:
            for row in page:
                await self.restless.change()
                yield [row]


class Stale(Altered):
    """A store whose `GET /credits` answers from a cache that is older than the journal."""

    async def authenticated_key(self, key_hash: str) -> AuthenticatedKey | None:
        caller = await self.store.authenticated_key(key_hash)
        assert caller is not None
        return msgspec.structs.replace(caller, usage_pico=caller.usage_pico - 1)


class Forgetful(Altered):
    """A store that does not find the keys it has."""

    async def authenticated_key(self, _: str) -> AuthenticatedKey | None:
        return None


class Locked(Altered):
    """A store that is locked just when a snapshot is taken."""

    @asynccontextmanager
    async def account_snapshot(self, _: str) -> AsyncIterator[AccountSnapshot]:
        raise StoreUnavailable("database x is locked by another program")
        yield


class Torn(Locked):
    """A store whose file is damaged where the journals of accounts are."""

    async def damage(self) -> list[str]:
        return ["page 7 is torn"]


async def busy_account(store: Store) -> tuple[str, str]:
    """An account of ten dollars that used 1.5 of 2 held, of which it could pay 1, and its key."""
    account_id = await open_account(store, 10 * DOLLAR)
    _, key = await make_key(store, account_id)
    paid = open_generation(account_id, key.hash, "a", DOLLAR)
    await store.execute(place(account_id, key.hash, "a", DOLLAR), paid)
    ended = finished(paid, Usage(input=DOLLAR, output=DOLLAR // 4))
    await store.execute(capture(account_id, key.hash, "a", DOLLAR + DOLLAR // 2), ended)
    await store.execute(place(account_id, key.hash, "b", DOLLAR))
    await store.execute(adjust(account_id, -2 * DOLLAR))
    return account_id, key.hash


async def findings(store: object) -> list[Finding]:
    return (await verify(cast("Store", store))).findings


async def test_empty_ledger_has_no_findings(store: Store) -> None:
    result = await verify(store)
    assert (result.findings, result.accounts, result.entries, result.holds) == ([], 0, 0, 0)
    assert result.generations == 0


async def test_platform_accounts_mirror_all_accounts_together(store: Store) -> None:
    for _ in range(3):
        await busy_account(store)
    result = await verify(store)
    assert result.findings == []
    assert (result.accounts, result.entries, result.holds, result.generations) == (3, 18, 6, 3)
    assert result.customers_pico == 3 * 7 * DOLLAR
    assert result.platform_pico == {
        "grants": -30 * DOLLAR,
        "adjustments": 6 * DOLLAR,
        "revenue": 3 * DOLLAR * 3 // 2,
        "overrun": -3 * DOLLAR // 2,
    }
    assert result.customers_pico + sum(result.platform_pico.values()) == 0


async def test_accounts_beyond_the_first_page_are_checked(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying, "_ACCOUNTS", 2)
    for _ in range(3):
        await open_account(store)
    assert (await verify(store)).accounts == 3


async def test_ledger_that_changes_while_it_is_checked_has_no_findings(
    store: Store, database_url: str
) -> None:
    account_id, key_hash = await busy_account(store)
    other = open_database(database_url)
    restless = Restless(store, other, account_id, key_hash)
    try:
        assert await findings(restless) == []
        assert await findings(store) == []
    finally:
        await other.close()
    assert restless.changes > 15


async def test_stale_read_of_credits_is_found(store: Store) -> None:
    account_id, _ = await busy_account(store)
    assert await findings(Stale(store)) == [
        Finding(
            "I8",
            account_id,
            "usage of the account in GET /credits: 0.999999999999, but 1 according to the journal",
        )
    ]


async def test_key_that_is_not_found_is_reported(store: Store) -> None:
    account_id, key_hash = await busy_account(store)
    assert await findings(Forgetful(store)) == [
        Finding("I8", account_id, f"GET /credits does not find key {key_hash}")
    ]


async def test_locked_database_is_not_reported_as_damage(store: Store) -> None:
    account_id, _ = await busy_account(store)
    message = f"account {account_id} cannot be read: database x is locked by another program"
    with pytest.raises(StoreUnavailable, match=message):
        await findings(Locked(store))


async def test_check_continues_when_an_account_is_in_a_damaged_part_of_the_file(
    store: Store,
) -> None:
    ids = sorted([await open_account(store) for _ in range(2)])
    message = "database x is locked by another program"
    assert await findings(Torn(store)) == [
        Finding("file", None, "page 7 is torn"),
        Finding("file", ids[0], message),
        Finding("file", ids[1], message),
    ]


async def test_verify_reports_progress(store: Store) -> None:
    await busy_account(store)
    await busy_account(store)
    told: list[tuple[int, int]] = []
    await verify(store, lambda accounts, entries: told.append((accounts, entries)))
    assert told == [(0, 6), (1, 6), (1, 12), (2, 12)]
