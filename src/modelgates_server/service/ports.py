"""What the services need from outside. All I/O is async; SQLite reads single rows inline."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from modelgates_server.core.audit.findings import GenerationRow
from modelgates_server.core.keys import IssuedKey, Key, KeyChange, KeyCreationRecord, KeyKind
from modelgates_server.core.ledger.commands import Attachment, Command, CommandResult
from modelgates_server.core.ledger.records import Account, Entry, Hold
from modelgates_server.core.metering.generations import ActivityRow, Generation, StoredAnswer
from modelgates_server.core.pricing.prices import Price

Clock = Callable[[], int]
"""Now, in milliseconds since 1970 UTC."""

RandomBytes = Callable[[int], bytes]
"""So many unpredictable bytes."""


class AuthenticatedKey(msgspec.Struct, frozen=True):
    """A key and its account's figures in one read, as of the last commit."""

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


class Ledger(Protocol):
    """Accepts commands. An answer means: committed and synced to disk."""

    async def execute(self, command: Command, *attachments: Attachment) -> CommandResult:
        """Apply one command, or replay it when its reference is known.

        Attachments are saved in the same commit, or not at all: with the command of a hold the
        generation it pays for, as it is after the command, and with its end an answer to keep.
        Those of a replayed command are not saved.

        Raises the refusals of `core.ledger.rules.apply`, `Stopping` when the store is closing, and
        `StoreUnavailable` when nothing was saved or it cannot be known: repeating the same command
        is then always safe.
        """

    async def account(self, account_id: str) -> Account | None:
        """The account as of the last commit."""

    async def account_and_key(self, key_hash: str) -> tuple[Account, Key] | None:
        """A key that is not deleted and its account, as of the last commit."""

    async def accounts(self, *, after: str, limit: int) -> list[Account]:
        """A page of accounts in the order of their ids."""

    async def entries(self, account_id: str, *, after_seq: int, limit: int) -> list[Entry]:
        """A page of an account's journal."""

    async def expired_holds(self, at_ms: int, limit: int) -> list[Hold]:
        """Open holds whose time is over, oldest first."""

    async def open_holds(
        self, account_id: str, *, limit: int
    ) -> list[tuple[Hold, "CallSummary | None"]]:
        """Open holds of an account, oldest first, with the calls that they pay for."""

    async def all_open_holds(self) -> "OpenHolds":
        """How many holds are open on all accounts."""


class CallSummary(msgspec.Struct, frozen=True):
    """What a list shows of a generation."""

    model: str
    streamed: bool


class OpenHolds(msgspec.Struct, frozen=True):
    """How many holds are open, what they hold, and since when the oldest is (None without any)."""

    count: int
    amount_pico: int
    oldest_at_ms: int | None


class GenerationReader(Protocol):
    """Reads what `Ledger.execute` saved with the commands. Ids name generations of one account."""

    async def generation(self, account_id: str, generation_id: str) -> Generation | None:
        """One generation, as of the last commit."""

    async def generation_by_id(self, generation_id: str) -> Generation | None:
        """One generation, whichever account made it: the first account's of two with this id."""

    async def latest_by_idempotency_key(
        self, account_id: str, idempotency: str
    ) -> Generation | None:
        """The last one made under a digest of an `Idempotency-Key`."""

    async def answer(self, account_id: str, generation_id: str) -> StoredAnswer | None:
        """The stored answer of a call."""

    async def forget_answers(self, before_ms: int) -> int:
        """Delete up to 50 answers older than that; returns how many."""

    async def activity(self, account_id: str, *, from_day: int, to_day: int) -> list[ActivityRow]:
        """An account's activity between two days (since 1970), both included, newest first."""


class PriceBook(Protocol):
    """Keeps prices for ever: a new price is added, an old one is never changed."""

    async def add_prices(self, prices: Sequence[Price]) -> None:
        """Save prices; one whose id is known is left as it is."""

    async def prices(self) -> list[Price]:
        """All prices there ever were."""

    async def price(self, price_id: str) -> Price | None:
        """One price, for a receipt."""


class Keys(Protocol):
    """Keeps keys. Changes are committed and synced before they return."""

    async def authenticated_key(self, key_hash: str) -> AuthenticatedKey | None:
        """Who presents this key, deleted and disabled ones included."""

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
        """A page of an account's keys that are not deleted, newest first.

        With `unexpired_at_ms` without those that have expired by then.
        """

    async def create_key(self, key: Key, record: KeyCreationRecord | None = None) -> IssuedKey:
        """Save a new key and its record, or return the key that was saved under its reference.

        Raises what `core.keys.issue_key` raises.
        """

    async def change_key(self, key_hash: str, change: KeyChange, at_ms: int) -> Key:
        """Change a key; raises `KeyNotFound` when there is none or it is deleted."""

    async def forget_key_creation_records(self, before_ms: int) -> int:
        """Delete up to 1,000 records older than that; returns how many."""


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

    async def activity(self) -> Sequence[ActivityRow]:
        """All activity of the account."""


class Journal(Protocol):
    """Whole journals, for audit and export."""

    def account_snapshot(self, account_id: str) -> AbstractAsyncContextManager[AccountSnapshot]:
        """Read one account as of one moment; raises `AccountNotFound`."""

    async def damage(self) -> list[str]:
        """What the database itself finds wrong with its file or rows, one sentence each."""


class ProviderReply(Protocol):
    """The head of a provider's answer has arrived; the body is read once, in one of two ways."""

    @property
    def status(self) -> int:
        """HTTP status."""

    @property
    def retry_after_s(self) -> int | None:
        """What the provider asks to wait, if it does."""

    @property
    def is_stream(self) -> bool:
        """Whether the body is a stream of server-sent events."""

    async def read(self, limit_bytes: int) -> bytes:
        """The whole body; raises `ProviderUnavailable` (also when larger) or `ProviderTimedOut`."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives; raises as `read` does when it ends before its end."""

    def close(self) -> None:
        """Let go of the connection; from another task: end a running read with an error."""


class Provider(Protocol):
    """One upstream company or server."""

    async def send(self, path: str, body: bytes) -> ProviderReply:
        """Post a request; returns when the head of the answer is there, whatever its status.

        `path` is below the base URL, `body` names the model as it is there. Raises
        `ProviderUnavailable` or `ProviderTimedOut`.
        """

    async def close(self) -> None:
        """Release its connections."""


class PendingSettlement(msgspec.Struct, frozen=True):
    """The end of a call, to be committed: its generation as it then is, an answer to keep."""

    generation: Generation
    answer: StoredAnswer | None = None


class Spool(Protocol):
    """Settlements on disk while the database cannot take them; survives a crash."""

    async def put(self, settlement: PendingSettlement) -> None:
        """Spool one, synced; raises `OSError` when that is not possible."""

    async def ids(self) -> list[str]:
        """The generations whose settlements are spooled, also by processes that are gone."""

    async def load(self, generation_id: str) -> PendingSettlement | None:
        """One of them, None if it is gone by now; raises `StoreUnavailable` if it is damaged."""

    async def remove(self, generation_id: str) -> None:
        """Forget one that was committed; nothing happens if it is gone already."""


class Observer(Protocol):
    """Gets what happens to calls, for metrics and logs."""

    def ended(self, generation: Generation, capture_lag_ms: int) -> None:
        """A call was settled, so long after its provider was done."""

    def capture_after_expiry(self, generation: Generation) -> None:
        """A capture came after its hold had been resolved: the use is the platform's loss."""

    def heartbeat_failed(self, generation: Generation, error: Exception) -> None:
        """The ledger could not be reached to say that a call still runs."""

    def maintenance_failed(self, error: Exception) -> None:
        """Looking after the calls failed by a mistake of ours; it goes on."""

    def spooled(self, generation: Generation, error: Exception) -> None:
        """A settlement could not be committed yet and is spooled."""


class Store(Ledger, GenerationReader, PriceBook, Keys, Journal, Protocol):
    """Everything a database gives; who needs less asks for less.

    Once it is closed, every method but `close` raises `Stopping`.
    """

    async def ping(self) -> None:
        """Raises `StoreUnavailable` when the database cannot be read or its schema does not fit."""

    async def close(self) -> None:
        """Finish what was accepted and release the database."""
