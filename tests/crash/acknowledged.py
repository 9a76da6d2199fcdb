"""Changes that a store acknowledged: as lines for a pipe, and compared with a database."""

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from modelgates_server.core.errors import CreatedKeyDeleted
from modelgates_server.core.keys import IssuedKey, Key, KeyCreationRecord
from modelgates_server.core.ledger import commands
from modelgates_server.core.ledger.commands import Command, CommandResult
from modelgates_server.core.ledger.records import Entry
from modelgates_server.service.ports import AuthenticatedKey, Store


class Posted(NamedTuple):
    """A command and the entry that it returned."""

    command: Command
    entry: Entry


class KeySaved(NamedTuple):
    """A key as returned by its creation, which has a record, or by a change, which has none."""

    key: Key
    record: KeyCreationRecord | None


Acknowledged = Posted | KeySaved

_KEY = "key"


def to_line(change: Acknowledged) -> bytes:
    match change:
        case Posted(command, entry):
            parts: tuple[object, ...] = type(command).__name__, command, entry
        case KeySaved(key, record):
            parts = _KEY, key, record
    return msgspec.json.encode(parts) + b"\n"


def from_line(line: bytes) -> Acknowledged:
    name, first, second = msgspec.json.decode(line, type=tuple[str, msgspec.Raw, msgspec.Raw])
    if name == _KEY:
        return KeySaved(
            msgspec.json.decode(first, type=Key),
            msgspec.json.decode(second, type=KeyCreationRecord | None),
        )
    return Posted(
        msgspec.json.decode(first, type=getattr(commands, name)),
        msgspec.json.decode(second, type=Entry),
    )


class Contents(NamedTuple):
    """The journals and keys of a whole database."""

    entries: dict[tuple[str, int], Entry]
    keys: dict[str, Key]

    def lost(self, changes: Iterable[Acknowledged]) -> list[Acknowledged]:
        """The acknowledged changes that are missing or have other content."""
        return [change for change in changes if not self._has(change)]

    def _has(self, change: Acknowledged) -> bool:
        if isinstance(change, Posted):
            return self.entries.get((change.entry.account_id, change.entry.seq)) == change.entry
        return _is_kept(change.key, self.keys.get(change.key.hash))


async def contents(store: Store) -> Contents:
    saved = Contents({}, {})
    for account in await store.accounts(after="", limit=1000):
        async with store.account_snapshot(account.id) as snapshot:
            saved.keys.update((key.hash, key) for key in snapshot.keys)
            async for page in snapshot.entries():
                saved.entries.update(((entry.account_id, entry.seq), entry) for entry in page)
    return saved


async def not_replayed(store: Store, changes: Iterable[Acknowledged]) -> list[Acknowledged]:
    """The acknowledged changes whose repeat does not get the same result."""
    repeatable = [
        change for change in changes if isinstance(change, Posted) or change.record is not None
    ]
    results = await asyncio.gather(
        *(_repeat(store, change) for change in repeatable), return_exceptions=True
    )
    return [
        change
        for change, result in zip(repeatable, results, strict=True)
        if not _is_same_result(change, result)
    ]


async def _repeat(
    store: Store, change: Acknowledged
) -> CommandResult | IssuedKey | AuthenticatedKey | None:
    if isinstance(change, Posted):
        return await store.execute(change.command)
    try:
        return await store.create_key(change.key, change.record)
    except CreatedKeyDeleted:
        return await store.authenticated_key(change.key.hash)


def _is_same_result(change: Acknowledged, result: object) -> bool:
    if isinstance(change, Posted):
        return result == CommandResult(change.entry, replayed=True)
    assert change.record is not None
    if isinstance(result, AuthenticatedKey):  # refused as deleted; check that it is
        return result.deleted_at_ms is not None
    return (
        isinstance(result, IssuedKey)
        and result.nonce == change.record.nonce
        and _is_kept(change.key, result.key)
    )


def _is_kept(acknowledged: Key, stored: Key | None) -> bool:
    """Whether a key is still saved, apart from later spending and later unreported changes."""
    if stored is None:
        return False
    if (stored.updated_at_ms or 0) > (acknowledged.updated_at_ms or 0):
        return True
    figures = {name: getattr(stored, name) for name in Key.__struct_fields__ if name in _FIGURES}
    return msgspec.structs.replace(acknowledged, **figures) == stored


_FIGURES = {
    "last_used_at_ms",
    "held_pico",
    "usage_pico",
    "usage_day",
    "usage_daily_pico",
    "usage_weekly_pico",
    "usage_monthly_pico",
}
