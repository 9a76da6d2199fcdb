"""What a store acknowledged: as one line for a pipe, and whether a database still says the same."""

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
    """A command and the entry that answered it."""

    command: Command
    entry: Entry


class KeySaved(NamedTuple):
    """A key as it was when its creation (under a record) or its change was answered."""

    key: Key
    record: KeyCreationRecord | None


Acknowledged = Posted | KeySaved

_KEY = "key"


def to_line(told: Acknowledged) -> bytes:
    match told:
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

    def lost(self, told: Iterable[Acknowledged]) -> list[Acknowledged]:
        """What was acknowledged and is not there with the same content."""
        return [one for one in told if not self._has(one)]

    def _has(self, one: Acknowledged) -> bool:
        if isinstance(one, Posted):
            return self.entries.get((one.entry.account_id, one.entry.seq)) == one.entry
        return _stands(one.key, self.keys.get(one.key.hash))


async def contents(store: Store) -> Contents:
    found = Contents({}, {})
    for account in await store.accounts(after="", limit=1000):
        async with store.account_snapshot(account.id) as snapshot:
            found.keys.update((key.hash, key) for key in snapshot.keys)
            async for page in snapshot.entries():
                found.entries.update(((entry.account_id, entry.seq), entry) for entry in page)
    return found


async def not_replayed(store: Store, told: Iterable[Acknowledged]) -> list[Acknowledged]:
    """What is not answered as it was when it is asked again."""
    repeatable = [one for one in told if isinstance(one, Posted) or one.record is not None]
    answers = await asyncio.gather(
        *(_ask_again(store, one) for one in repeatable), return_exceptions=True
    )
    return [
        one
        for one, answer in zip(repeatable, answers, strict=True)
        if not _same_answer(one, answer)
    ]


async def _ask_again(
    store: Store, one: Acknowledged
) -> CommandResult | IssuedKey | AuthenticatedKey | None:
    if isinstance(one, Posted):
        return await store.execute(one.command)
    try:
        return await store.create_key(one.key, one.record)
    except CreatedKeyDeleted:
        return await store.authenticated_key(one.key.hash)


def _same_answer(one: Acknowledged, answer: object) -> bool:
    if isinstance(one, Posted):
        return answer == CommandResult(one.entry, replayed=True)
    assert one.record is not None
    if isinstance(answer, AuthenticatedKey):  # refused as deleted, which must be true
        return answer.deleted_at_ms is not None
    return (
        isinstance(answer, IssuedKey)
        and answer.nonce == one.record.nonce
        and _stands(one.key, answer.key)
    )


def _stands(acknowledged: Key, stored: Key | None) -> bool:
    """What a key spends goes on; a later change may have been saved without an answer."""
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
