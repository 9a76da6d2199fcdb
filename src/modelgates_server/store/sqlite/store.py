"""The port `Store` on one SQLite file."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import TypeVar

from modelgates_server.core.errors import Stopping, StoreUnavailable
from modelgates_server.core.key_rotation import KeyRotation, KeySecret
from modelgates_server.core.keys import IssuedKey, Key, KeyChange, KeyCreationRecord, KeyKind
from modelgates_server.core.ledger.commands import Attachment, Command, CommandResult
from modelgates_server.core.ledger.records import Account, Entry, Hold
from modelgates_server.core.metering.archives import Archive
from modelgates_server.core.metering.generations import (
    ArchivedGeneration,
    DailyActivity,
    Generation,
    StoredAnswer,
)
from modelgates_server.core.pricing.prices import Price
from modelgates_server.service.ports import (
    ActivityPosition,
    AuthenticatedKey,
    CallSummary,
    OpenHolds,
    StoreFiles,
)
from modelgates_server.store import rows
from modelgates_server.store.batching.plan import WriteRequest
from modelgates_server.store.sqlite import activity, answers, keys
from modelgates_server.store.sqlite import prices as price_book
from modelgates_server.store.sqlite.backup_mark import newest_backup_ms
from modelgates_server.store.sqlite.connection import (
    Connect,
    Connection,
    Cursor,
    explained,
    inode_of,
    moved,
    prepare,
    size_of,
)
from modelgates_server.store.sqlite.guard import Guard
from modelgates_server.store.sqlite.readers import Readers
from modelgates_server.store.sqlite.schema import (
    check_version,
)
from modelgates_server.store.sqlite.snapshot import (
    READS,
    SqliteAccountSnapshot,
    generation_rows,
)
from modelgates_server.store.sqlite.writer import BatchLimits, Writer

T = TypeVar("T")

_AUTHENTICATED_KEY = READS["authenticated_key"]
_AUTHENTICATED_KEY_ROTATED = READS["authenticated_key_rotated"]
_LIMITS = BatchLimits()


class SqliteStore:
    """Reads rows on the loop and lists on threads, and writes through the writer.

    Build it with `open_store`.
    """

    def __init__(
        self,
        path: Path,
        connect: Connect,
        reader: Connection,
        limits: BatchLimits,
        *,
        guarded: bool = False,
    ) -> None:
        self._path = path
        self._connect = connect
        self._reader = reader
        self._cursor = reader.cursor()
        with explained(path):
            self._generations = generation_rows(reader)
        self._inode = inode_of(path)
        self._guard = Guard(path, insists=guarded)
        self._writer = Writer(path, connect, limits, self._guard)
        self._readers = Readers(path, connect, self._guard)
        self._closed = False
        if guarded:
            self._guard.inspect(reader)

    async def execute(self, command: Command, *attachments: Attachment) -> CommandResult:
        """See `Ledger.execute`."""
        result: CommandResult = await self._writer.submit(WriteRequest(command, attachments))
        return result

    async def account(self, account_id: str) -> Account | None:
        """See `Ledger.account`."""
        return self._one(rows.account_of, "account", account_id)

    async def account_and_key(self, key_hash: str) -> tuple[Account, Key] | None:
        """See `Ledger.account_and_key`."""
        return self._one(rows.account_and_key_of, "account_and_key", key_hash)

    async def accounts(self, *, after: str, limit: int) -> list[Account]:
        """See `Ledger.accounts`."""
        return self._many(rows.account_of, "accounts", after, limit)

    async def entries(self, account_id: str, *, after_seq: int, limit: int) -> list[Entry]:
        """See `Ledger.entries`."""
        return self._many(rows.entry_of, "entries", account_id, after_seq, limit)

    async def newest_entry_ms(self) -> int | None:
        """See `Ledger.newest_entry_ms`."""
        newest_ms: int | None = self._one(lambda row: row[0], "newest_entry_ms")
        return newest_ms

    async def expired_holds(self, at_ms: int, limit: int) -> list[Hold]:
        """See `Ledger.expired_holds`."""
        return await self._many_in_thread(rows.hold_of, "expired_holds", at_ms, limit)

    async def open_holds(
        self, account_id: str, *, limit: int
    ) -> list[tuple[Hold, CallSummary | None]]:
        """See `Ledger.open_holds`."""
        read = self._generations.hold_and_call
        return await self._many_in_thread(read, "open_holds", account_id, limit)

    async def all_open_holds(self) -> OpenHolds:
        """See `Ledger.all_open_holds`."""
        (open_holds,) = await self._many_in_thread(rows.open_holds_of, "all_open_holds")
        return open_holds

    async def generation(self, account_id: str, generation_id: str) -> Generation | None:
        """See `GenerationReader.generation`."""
        read = self._generations.generation
        return self._one(read, "generation", account_id, generation_id)

    async def generation_by_id(self, generation_id: str) -> Generation | None:
        """See `GenerationReader.generation_by_id`."""
        return self._one(self._generations.generation, "generation_by_id", generation_id)

    async def latest_by_idempotency_key(
        self, account_id: str, idempotency: str
    ) -> Generation | ArchivedGeneration | None:
        """See `GenerationReader.latest_by_idempotency_key`."""
        read = self._generations.generation_or_rest
        return self._one(read, "latest_by_idempotency_key", account_id, idempotency)

    async def answer(self, account_id: str, generation_id: str) -> StoredAnswer | None:
        """See `GenerationReader.answer`."""
        return self._one(rows.answer_of, "answer", account_id, generation_id)

    async def late_usage(self, account_id: str, generation_id: str) -> Entry | None:
        """See `GenerationReader.late_usage`."""
        return self._one(rows.entry_of, "late_usage", account_id, generation_id)

    async def forget_answers(self, before_ms: int) -> int:
        """See `GenerationReader.forget_answers`."""
        count: int = await self._writer.submit(
            lambda connection: answers.forget_answers(connection, before_ms)
        )
        return count

    async def activity(
        self,
        account_id: str,
        *,
        from_day: int,
        to_day: int | None = None,
        key_hash: str | None = None,
        after: ActivityPosition | None = None,
        limit: int,
    ) -> list[DailyActivity]:
        """See `GenerationReader.activity`."""
        self._check_open()
        return await self._readers.run(
            activity.page,
            account_id,
            from_day=from_day,
            to_day=to_day,
            key_hash=key_hash,
            after=after,
            limit=limit,
        )

    async def add_prices(self, prices: Sequence[Price]) -> None:
        """See `PriceBook.add_prices`."""
        await self._writer.submit(lambda connection: price_book.add_prices(connection, prices))

    async def prices(self) -> list[Price]:
        """See `PriceBook.prices`."""
        return self._many(rows.price_of, "prices")

    async def price(self, price_id: str) -> Price | None:
        """See `PriceBook.price`."""
        return self._one(rows.price_of, "price", price_id)

    async def authenticated_key(self, secret_hash: str) -> AuthenticatedKey | None:
        """See `Keys.authenticated_key`."""
        # Every request runs this, so it does without the context manager of the other reads.
        self._guard.check()
        try:
            row = self._cursor.execute(_AUTHENTICATED_KEY, (secret_hash,)).fetchone()
            if row is None:
                row = self._cursor.execute(_AUTHENTICATED_KEY_ROTATED, (secret_hash,)).fetchone()
        except sqlite3.Error:
            self._check_open()
            with self._guard.explained():
                raise
        return None if row is None else rows.authenticated_key_of(row)

    async def key(self, key_hash: str) -> Key | None:
        """See `Keys.key`."""
        return self._one(rows.key_of, "key", key_hash)

    async def keys(
        self,
        account_id: str,
        *,
        kinds: Sequence[KeyKind],
        include_disabled: bool,
        unexpired_at_ms: int | None = None,
        offset: int,
        limit: int,
    ) -> list[Key]:
        """See `Keys.keys`."""
        after_ms = -1 if unexpired_at_ms is None else unexpired_at_ms  # every expiry is later
        kind_list = json.dumps(kinds)
        return await self._many_in_thread(
            rows.key_of, "keys", account_id, include_disabled, after_ms, kind_list, limit, offset
        )

    async def keys_dated_after(self, day: int) -> list[Key]:
        """See `Keys.keys_dated_after`."""
        self._check_open()
        return await asyncio.to_thread(self._keys_dated_after, day)

    def _keys_dated_after(self, day: int) -> list[Key]:
        with self._separate_reader() as execute:
            return [rows.key_of(row) for row in execute(READS["keys_dated_after"], (day,))]

    async def charges_by_day(self, key_hash: str) -> tuple[Key, dict[int, int]] | None:
        """See `Keys.charges_by_day`."""
        self._check_open()
        return await asyncio.to_thread(self._charges_by_day, key_hash)

    def _charges_by_day(self, key_hash: str) -> tuple[Key, dict[int, int]] | None:
        with self._separate_reader() as execute:
            row = execute(READS["key"], (key_hash,)).fetchone()
            if row is None:
                return None
            key = rows.key_of(row)
            names = (key.account_id, key_hash)
            return key, dict(execute(READS["charges_by_day"], names).fetchall())

    @contextmanager
    def _separate_reader(self) -> Iterator[Callable[..., Cursor]]:
        """Runs statements as of one moment, for a thread whose reads take long."""
        with self._guard.explained(), closing(self._connect(self._path)) as connection:
            execute = prepare(connection, read_only=True).execute
            execute("begin")
            yield execute

    async def create_key(self, key: Key, record: KeyCreationRecord | None = None) -> IssuedKey:
        """See `Keys.create_key`."""
        issued: IssuedKey = await self._writer.submit(
            lambda connection: keys.create(connection, key, record)
        )
        return issued

    async def change_key(self, key_hash: str, change: KeyChange, at_ms: int) -> Key:
        """See `Keys.change_key`."""
        key: Key = await self._writer.submit(
            lambda connection: keys.change(connection, key_hash, change, at_ms)
        )
        return key

    async def rotate_key(self, new: KeySecret, label: str, grace_ms: int) -> KeyRotation:
        """See `Keys.rotate_key`."""
        rotation: KeyRotation = await self._writer.submit(
            lambda connection: keys.rotate(connection, new, label, grace_ms)
        )
        return rotation

    async def key_secrets(self, key_hash: str) -> list[KeySecret]:
        """See `Keys.key_secrets`."""
        return self._many(rows.key_secret_of, "key_secrets", key_hash)

    async def forget_key_creation_records(self, before_ms: int) -> int:
        """See `Keys.forget_key_creation_records`."""
        count: int = await self._writer.submit(
            lambda connection: keys.forget_creation_records(connection, before_ms)
        )
        return count

    @asynccontextmanager
    async def account_snapshot(self, account_id: str) -> AsyncIterator[SqliteAccountSnapshot]:
        """See `Journal.account_snapshot`. Uses a separate connection, which stays open for long."""
        self._check_open()
        with self._guard.explained():
            connection = prepare(self._connect(self._path), read_only=True)
            try:
                connection.execute("begin")
                yield SqliteAccountSnapshot(connection, self._generations, account_id)
            finally:
                connection.close()

    async def archives(self) -> list[Archive]:
        """See `Journal.archives`."""
        return self._many(rows.archive_of, "archives")

    async def damage(self) -> list[str]:
        """See `Journal.damage`."""
        self._check_open()
        with self._guard.explained():
            execute = self._reader.execute
            checks = [row[0] for row in execute("pragma integrity_check")]
            if checks != ["ok"]:
                return [f"The file is damaged: {check}" for check in checks]
            strays = execute(READS["strays"]).fetchall()
            prices = execute(READS["prices"]).fetchall()
        damage = [f"Account {account_id}: there are {problem}" for account_id, problem in strays]
        for row in prices:
            try:
                rows.price_of(row)
            except StoreUnavailable as error:
                damage.append(str(error))
        return damage

    def files(self) -> StoreFiles:
        """See `Store.files`."""
        wal = self._path.with_name(f"{self._path.name}-wal")
        return StoreFiles(size_of(self._path), size_of(wal), newest_backup_ms(self._path))

    async def ping(self) -> None:
        """See `Store.ping`."""
        self._check_open()
        if inode_of(self._path) != self._inode:
            raise moved(self._path)
        with self._guard.explained():
            check_version(self._reader)
        self._guard.look_again(self._reader)
        await self._writer.check()

    async def close(self) -> None:
        """See `Store.close`."""
        await self._writer.close()
        self._closed = True
        self._readers.close()
        self._reader.close()

    def _check_open(self) -> None:
        if self._closed:
            raise Stopping("The server is stopping.")
        self._guard.check()

    def _one(self, read: Callable[[rows.Row], T], name: str, *parameters: object) -> T | None:
        self._check_open()
        with self._guard.explained():
            row = self._reader.execute(READS[name], parameters).fetchone()
        return None if row is None else read(row)

    def _many(self, read: Callable[[rows.Row], T], name: str, *parameters: object) -> list[T]:
        self._check_open()
        with self._guard.explained():
            result = self._reader.execute(READS[name], parameters).fetchall()
        return [read(row) for row in result]

    async def _many_in_thread(
        self, read: Callable[[rows.Row], T], name: str, *parameters: object
    ) -> list[T]:
        self._check_open()
        return await self._readers.run(_read_all, read, name, parameters)


def _read_all(
    connection: Connection, read: Callable[[rows.Row], T], name: str, parameters: Sequence[object]
) -> list[T]:
    return [read(row) for row in connection.execute(READS[name], parameters).fetchall()]
