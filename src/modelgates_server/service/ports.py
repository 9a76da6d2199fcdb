"""Protocols for everything that services need from outside. All I/O is async."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

import msgspec

from modelgates_server.core.audit.findings import GenerationRow
from modelgates_server.core.errors import ProviderError
from modelgates_server.core.key_rotation import KeyRotation, KeySecret
from modelgates_server.core.keys import IssuedKey, Key, KeyChange, KeyCreationRecord, KeyKind
from modelgates_server.core.ledger.commands import Attachment, Command, CommandResult
from modelgates_server.core.ledger.records import Account, Entry, Hold
from modelgates_server.core.metering.archives import Archive, ArchivedRecord
from modelgates_server.core.metering.generations import (
    ActivityRow,
    ArchivedGeneration,
    DailyActivity,
    Generation,
    StoredAnswer,
)
from modelgates_server.core.metering.repairs import Repairs
from modelgates_server.core.pricing.prices import Price
from modelgates_server.core.redaction import Redactor

Clock = Callable[[], int]
"""The current time in milliseconds since 1970 UTC."""

RandomBytes = Callable[[int], bytes]
"""Returns the given number of unpredictable bytes."""


RequestHeaders = Mapping[str, str]
"""The headers of one request to a provider, by lower-case name."""

NO_HEADERS: RequestHeaders = {}


class AuthenticatedKey(msgspec.Struct, frozen=True):
    """A key and its account's totals in one read, as of the last commit.

    `secret_ends_at_ms` is the end of the secret that was looked up; None for the current one.
    """

    key_hash: str
    account_id: str
    kind: KeyKind
    disabled: bool
    deleted_at_ms: int | None
    expires_at_ms: int | None
    closed_at_ms: int | None
    credits_pico: int
    usage_pico: int
    held_pico: int
    min_balance_pico: int
    secret_ends_at_ms: int | None


class Ledger(Protocol):
    """Executes commands. A result means that the command is committed and synced to disk."""

    async def execute(self, command: Command, *attachments: Attachment) -> CommandResult:
        """Apply one command, or replay it if its reference is known.

        Attachments are saved in the same commit or not at all. A command on a hold carries the
        generation that the hold pays for, as it is after the command; the end of a hold can also
        carry a response to store. Attachments of a replayed command are not saved.

        Raises the errors of `core.ledger.rules.apply`, `Stopping` if the store is closing, and
        `StoreUnavailable` if nothing was saved or the outcome is unknown. Repeating the same
        command is then always safe.
        """

    async def account(self, account_id: str) -> Account | None:
        """The account as of the last commit."""

    async def account_and_key(self, key_hash: str) -> tuple[Account, Key] | None:
        """An account and its key, unless the key is deleted, as of the last commit."""

    async def accounts(self, *, after: str, limit: int) -> list[Account]:
        """A page of accounts in order of id, starting behind `after`."""

    async def entries(self, account_id: str, *, after_seq: int, limit: int) -> list[Entry]:
        """A page of an account's journal."""

    async def newest_entry_ms(self) -> int | None:
        """The time of the last entry of any account, or None."""

    async def expired_holds(self, at_ms: int, limit: int) -> list[Hold]:
        """Open holds that have expired by `at_ms`, oldest first."""

    async def open_holds(
        self, account_id: str, *, limit: int
    ) -> list[tuple[Hold, "CallSummary | None"]]:
        """Open holds of an account with the calls that they pay for, oldest first."""

    async def all_open_holds(self) -> "OpenHolds":
        """A summary of the open holds of all accounts."""


class CallSummary(msgspec.Struct, frozen=True):
    """The fields of a generation that a list shows."""

    model: str
    streamed: bool


class OpenHolds(msgspec.Struct, frozen=True):
    """Number and total of open holds, and the time of the oldest (None if there are none)."""

    count: int
    amount_pico: int
    oldest_at_ms: int | None


class GenerationReader(Protocol):
    """Reads the records that `Ledger.execute` saved. Generation ids are scoped to an account."""

    async def generation(self, account_id: str, generation_id: str) -> Generation | None:
        """One generation, as of the last commit; raises `GenerationArchived`."""

    async def generation_by_id(self, generation_id: str) -> Generation | None:
        """One generation of any account; if two accounts have this id, the first account's.

        Raises `GenerationArchived`.
        """

    async def latest_by_idempotency_key(
        self, account_id: str, idempotency: str
    ) -> Generation | ArchivedGeneration | None:
        """The latest generation with this digest of an `Idempotency-Key`."""

    async def answer(self, account_id: str, generation_id: str) -> StoredAnswer | None:
        """The stored response of a call."""

    async def late_usage(self, account_id: str, generation_id: str) -> Entry | None:
        """The entry of usage that was charged after the call had expired."""

    async def forget_answers(self, before_ms: int) -> int:
        """Delete up to 50 responses stored before `before_ms`; returns their number."""

    async def activity(
        self,
        account_id: str,
        *,
        from_day: int,
        to_day: int | None = None,
        key_hash: str | None = None,
        after: "ActivityPosition | None" = None,
        limit: int,
    ) -> list[DailyActivity]:
        """A page of an account's activity by day: newest first, then in order of position.

        `to_day` is included; without it, days in the future are read too, which a clock that was
        wrong has left. With `key_hash`, only the rows of that key are read. `after` is the position
        of the last row of the page before.
        """


class ActivityPosition(NamedTuple):
    """The place of a row in the activity of an account, all fields in descending order."""

    day: int
    key_hash: str
    endpoint_id: str
    model: str


class PriceBook(Protocol):
    """Stores prices. Prices are only added, never changed or removed."""

    async def add_prices(self, prices: Sequence[Price]) -> None:
        """Save prices; a price whose id exists is left unchanged."""

    async def prices(self) -> list[Price]:
        """All prices, past and present."""

    async def price(self, price_id: str) -> Price | None:
        """One price, for a receipt."""


class Keys(Protocol):
    """Stores keys. Changes are committed and synced before they return."""

    async def authenticated_key(self, secret_hash: str) -> AuthenticatedKey | None:
        """The key with this secret and its account, even if the key is deleted or disabled."""

    async def key(self, key_hash: str) -> Key | None:
        """A key that is not deleted."""

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
        """A page of an account's keys, newest first, without deleted ones.

        With `unexpired_at_ms`, keys that have expired by then are left out.
        """

    async def keys_dated_after(self, day: int) -> list[Key]:
        """Up to 1,000 keys whose last charge is dated after a day (since 1970), latest first.

        Without deleted keys. Reads all keys, without blocking the loop.
        """

    async def charges_by_day(self, key_hash: str) -> tuple[Key, dict[int, int]] | None:
        """A key, and its charges in picos by the day of their entries, as of one moment.

        Reads the whole journal of its account, without blocking the loop.
        """

    async def create_key(self, key: Key, record: KeyCreationRecord | None = None) -> IssuedKey:
        """Save a new key and its record, or return the key that has the same reference.

        Raises what `core.keys.issue_key` raises.
        """

    async def change_key(self, key_hash: str, change: KeyChange, at_ms: int) -> Key:
        """Change a key; raises `KeyNotFound` if it does not exist or is deleted."""

    async def rotate_key(self, new: KeySecret, label: str, grace_ms: int) -> KeyRotation:
        """Give a key a new secret; raises what `core.keys.rotate_key` raises."""

    async def key_secrets(self, key_hash: str) -> list[KeySecret]:
        """All secrets of a key in the order of their creation; none if it was never rotated."""

    async def forget_key_creation_records(self, before_ms: int) -> int:
        """Delete up to 1,000 records made before `before_ms`; returns their number."""


class AccountSnapshot(Protocol):
    """All rows of one account as of one moment, in pages, for checking and export."""

    @property
    def account(self) -> Account:
        """The account's row."""

    @property
    def keys(self) -> Sequence[Key]:
        """All keys, deleted ones included."""

    def entries(self) -> AsyncIterator[Sequence[Entry]]:
        """The journal in the order of `seq`."""

    def hold_entries(self) -> AsyncIterator[Sequence[Entry]]:
        """The entries that concern holds, in the order of hold id, then `seq`."""

    def holds(self) -> AsyncIterator[Sequence[Hold]]:
        """All holds in the order of their ids."""

    def generations(self) -> AsyncIterator[Sequence[GenerationRow]]:
        """All generations in the order of their ids, as they are stored."""

    def archived(self) -> AsyncIterator[Sequence[ArchivedGeneration]]:
        """The generations whose records are in archives, in the order of their ids."""

    async def activity(self) -> Sequence[ActivityRow]:
        """All activity of the account."""


class Journal(Protocol):
    """Whole journals, for audit and export."""

    def account_snapshot(self, account_id: str) -> AbstractAsyncContextManager[AccountSnapshot]:
        """Read one account as of one moment; raises `AccountNotFound`."""

    async def archives(self) -> list[Archive]:
        """The archives with the records that this database no longer has, oldest first."""

    async def damage(self) -> list[str]:
        """The problems that the database finds in its own file or rows, one sentence each."""


class Archives(Protocol):
    """Archives next to a database, read once in the order of account and generation."""

    def names(self) -> Collection[str]:
        """The archives that are there."""

    def problems(self, archive: Archive) -> list[str]:
        """The problems of the files of an archive that is there, one sentence each."""

    def records(self, account_id: str) -> AsyncIterator[Sequence[ArchivedRecord]]:
        """The records of an account. Accounts must be asked for in the order of their ids."""


class ProviderReply(Protocol):
    """A response whose headers have arrived. Its body is read once, with `read` or `chunks`."""

    @property
    def status(self) -> int:
        """HTTP status."""

    @property
    def retry_after_s(self) -> int | None:
        """Seconds that the provider asks to wait, or None."""

    @property
    def is_stream(self) -> bool:
        """Whether the headers say that the body is a stream of server-sent events."""

    @property
    def is_compressed(self) -> bool:
        """Whether the body was compressed without being asked; it is read decompressed."""

    async def read(self, limit_bytes: int) -> bytes:
        """The whole body; raises `ProviderTimedOut`, or `ProviderUnavailable` (also if larger)."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives; raises the errors of `read` if it breaks off."""

    def close(self) -> None:
        """Release the connection. Called from another task, it fails a running read."""


class Provider(Protocol):
    """One upstream company or server. `redactor` knows its credentials."""

    redactor: Redactor

    async def send(
        self, path: str, body: bytes, headers: RequestHeaders = NO_HEADERS
    ) -> ProviderReply:
        """Post a request; returns once the response headers arrive, whatever the status.

        `path` is relative to the base URL, and `body` contains the provider's name of the model.
        `headers` belong to this request; they override those of all requests.
        Raises `ProviderUnavailable` or `ProviderTimedOut`.
        """

    async def close(self) -> None:
        """Release all connections."""


class Observer(Protocol):
    """Receives the events of calls, for metrics and logs."""

    def ended(self, generation: Generation, capture_lag_ms: int) -> None:
        """A call was settled `capture_lag_ms` after its provider had finished."""

    def provider_failed(self, generation: Generation, error: ProviderError) -> None:
        """The provider of a call failed, or rejected it."""

    def repaired(self, provider: str, repairs: Repairs) -> None:
        """A response deviated from its API, and the gateway repaired it."""

    def parameter_refused(self, endpoint_id: str, parameter: str, setting: str | None) -> None:
        """An endpoint rejects a parameter that the gateway adds; reported once in a process.

        `setting` is what avoids it in the provider's configuration, if there is such a setting.
        """

    def capture_after_expiry(
        self, generation: Generation, resolved: Generation | None, late: Entry | None
    ) -> None:
        """The end of a call came after its hold was resolved, which `resolved` recorded.

        `late` is the entry of its late usage; without one, nothing more was charged.
        """

    def heartbeat_failed(self, generation: Generation, error: Exception) -> None:
        """The hold of a running call could not be extended."""

    def maintenance_failed(self, error: Exception) -> None:
        """A bug made one round of maintenance fail; the next round runs as usual."""

    def spooled(self, generation: Generation, error: Exception) -> None:
        """A settlement could not be committed and is spooled."""


class StoreFiles(msgspec.Struct, frozen=True):
    """Sizes of the files of a database, and when `db backup` last succeeded (None: never)."""

    database_bytes: int
    wal_bytes: int
    newest_backup_ms: int | None


class Store(Ledger, GenerationReader, PriceBook, Keys, Journal, Protocol):
    """All ports that a database implements. Code that needs less names a smaller protocol.

    After `close`, every other method raises `Stopping`.
    """

    def files(self) -> StoreFiles:
        """Looks at the files; it may block, so call it on a thread."""

    async def ping(self) -> None:
        """Raise `StoreUnavailable` if the database cannot be read or its schema does not fit."""

    async def close(self) -> None:
        """Finish accepted commands and release the database."""
