"""What the services need from outside. All I/O is async; SQLite reads single rows inline."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from modelgates_server.core.books import Account, Entry, Hold
from modelgates_server.core.commands import Command
from modelgates_server.core.keys import Key, KeyChange, KeyKind
from modelgates_server.core.ledger import Receipt

Clock = Callable[[], int]
"""Now, in milliseconds since 1970 UTC."""

RandomBytes = Callable[[int], bytes]
"""So many unpredictable bytes."""


class Caller(msgspec.Struct, frozen=True):
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


class Issuance(msgspec.Struct, frozen=True):
    """What makes the creation of a key repeatable for a day: see `service.keys`.

    `reference` names the request among those of the account, `digest` its parameters, `nonce` is
    the random part of the key's text.
    """

    reference: str
    digest: str
    nonce: bytes


class IssuedKey(msgspec.Struct, frozen=True):
    """The key that stands under an issuance, with the nonce of the request that came first."""

    key: Key
    nonce: bytes | None


class Ledger(Protocol):
    """Accepts commands. An answer means: committed and synced to disk."""

    async def execute(self, command: Command) -> Receipt:
        """Apply one command, or replay it when its reference is known.

        Raises the refusals of `core.ledger.apply`, and `StoreUnavailable` when nothing was saved or
        it cannot be known: repeating the same command is then always safe.
        """

    async def account(self, account_id: str) -> Account | None:
        """The account as of the last commit."""

    async def accounts(self, *, after: str, limit: int) -> list[Account]:
        """A page of accounts in the order of their ids."""

    async def entries(self, account_id: str, *, after_seq: int, limit: int) -> list[Entry]:
        """A page of an account's journal."""

    async def expired_holds(self, at_ms: int, limit: int) -> list[Hold]:
        """Open holds whose time is over, oldest first."""


class Keys(Protocol):
    """Keeps keys. Changes are committed and synced before they return."""

    async def caller(self, key_hash: str) -> Caller | None:
        """Who presents this key, deleted and disabled ones included."""

    async def key(self, key_hash: str) -> Key | None:
        """A key that is not deleted."""

    async def keys(
        self,
        account_id: str,
        *,
        kinds: Sequence[KeyKind],
        include_disabled: bool,
        offset: int,
        limit: int,
    ) -> list[Key]:
        """A page of an account's keys that are not deleted, newest first."""

    async def create_key(self, key: Key, issuance: Issuance | None = None) -> IssuedKey:
        """Save a new key; under a known issuance, return the key that was saved first instead.

        Raises `AccountNotFound`, `AccountClosed`, and `ReferenceReused` when the issuance is known
        with another digest.
        """

    async def change_key(self, key_hash: str, change: KeyChange, at_ms: int) -> Key:
        """Change a key; raises `KeyNotFound` when there is none or it is deleted."""

    async def forget_issuances(self, before_ms: int) -> int:
        """Delete up to 1,000 issuances older than that; returns how many."""


class Books(Protocol):
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


class Journal(Protocol):
    """Whole books, for those who check them."""

    def books(self, account_id: str) -> AbstractAsyncContextManager[Books]:
        """Open one account's books; raises `AccountNotFound`."""

    async def damage(self) -> list[str]:
        """What the database itself finds wrong with its file or rows, one sentence each."""


class Store(Ledger, Keys, Journal, Protocol):
    """Everything a database gives; who needs less asks for less."""

    async def ping(self) -> None:
        """Raises `StoreUnavailable` when the database cannot be read or its schema does not fit."""

    async def close(self) -> None:
        """Finish what was accepted and release the database."""
