"""The subjects of the state machine: the pure core, or a real store."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from modelgates_server.core.errors import GatewayError
from modelgates_server.core.keys import Key, KeyChange
from modelgates_server.core.ledger.commands import Command, CommandResult
from modelgates_server.core.ledger.records import Account, Entry
from tests.core.pure import PureLedger
from tests.support import open_database

Result = CommandResult | GatewayError


class Subject(Protocol):
    """A ledger with keys. `run` starts all commands at once; the subject chooses their order."""

    def run(self, commands: Sequence[Command]) -> list[Result]: ...
    def create_key(self, key: Key) -> None: ...
    def change_key(self, key_hash: str, change: KeyChange, at_ms: int) -> None: ...
    def account(self, account_id: str) -> Account | None: ...
    def entries(self, account_id: str) -> list[Entry]: ...
    def key(self, key_hash: str) -> Key | None: ...
    def reopen(self) -> None: ...


class PureSubject:
    """The core alone."""

    def __init__(self) -> None:
        self._ledger = PureLedger()

    def run(self, commands: Sequence[Command]) -> list[Result]:
        results: list[Result] = []
        for command in commands:
            try:
                results.append(self._ledger.run(command))
            except GatewayError as refusal:
                results.append(refusal)
        return results

    def create_key(self, key: Key) -> None:
        self._ledger.keys[key.hash] = key

    def change_key(self, key_hash: str, change: KeyChange, at_ms: int) -> None:
        self._ledger.change_key(key_hash, change, at_ms)

    def account(self, account_id: str) -> Account | None:
        return self._ledger.accounts.get(account_id)

    def entries(self, account_id: str) -> list[Entry]:
        return self._ledger.entries(account_id)

    def key(self, key_hash: str) -> Key | None:
        key = self._ledger.keys.get(key_hash)
        return key if key is not None and key.deleted_at_ms is None else None

    def reopen(self) -> None:
        pass


class StoreSubject:
    """A store on a database that many examples share, each with its own accounts."""

    def __init__(self, url: str, runner: asyncio.Runner) -> None:
        self._url = url
        self._runner = runner
        self._store = open_database(url)

    def run(self, commands: Sequence[Command]) -> list[Result]:
        async def all_at_once() -> list[CommandResult | BaseException]:
            executions = (self._store.execute(command) for command in commands)
            return await asyncio.gather(*executions, return_exceptions=True)

        results: list[Result] = []
        for result in self._runner.run(all_at_once()):
            if not isinstance(result, CommandResult | GatewayError):
                raise result
            results.append(result)
        return results

    def create_key(self, key: Key) -> None:
        self._runner.run(self._store.create_key(key))

    def change_key(self, key_hash: str, change: KeyChange, at_ms: int) -> None:
        self._runner.run(self._store.change_key(key_hash, change, at_ms))

    def account(self, account_id: str) -> Account | None:
        return self._runner.run(self._store.account(account_id))

    def entries(self, account_id: str) -> list[Entry]:
        return self._runner.run(self._store.entries(account_id, after_seq=0, limit=1000))

    def key(self, key_hash: str) -> Key | None:
        return self._runner.run(self._store.key(key_hash))

    def reopen(self) -> None:
        self.close()
        self._store = open_database(self._url)

    def close(self) -> None:
        self._runner.run(self._store.close())
