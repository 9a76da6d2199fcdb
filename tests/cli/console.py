"""Runs `modelgates` in the folder of one test, as a separate process or in this one."""

import asyncio
import io
import json
import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest

from modelgates_server.bootstrap import ledger_services, now_ms
from modelgates_server.cli.program import main
from modelgates_server.service.services import LedgerServices
from modelgates_server.store.sqlite.opening import open_store
from tests.deadlines import DEADLINE_S

EXECUTABLE = Path(sys.executable).with_name("modelgates")
_CALLERS = re.compile("MODELGATES_|PYTHONUNBUFFERED$")
T = TypeVar("T")


class Ended(NamedTuple):
    """The exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        assert self.out.count("\n") == 1, "JSON is one line"
        return json.loads(self.out)

    @property
    def refusal(self) -> str:
        """The one-line error message."""
        assert (self.code, self.out) == (1, ""), self
        assert self.err.startswith("Error: ")
        assert self.err.count("\n") == 1, self.err
        return self.err.removeprefix("Error: ").rstrip("\n")


class Console:
    """Runs `modelgates` in a folder, without the settings of the caller."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "modelgates.db"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not _CALLERS.match(name)},
            "MODELGATES_DATABASE_URL": f"sqlite:///{self.path}",
        }

    @contextmanager
    def start(self, *words: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
        """Starts a process whose standard streams are pipes, unless `options` override them."""
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        with subprocess.Popen(
            [EXECUTABLE, *words],
            cwd=self.folder,
            env=self.environment,
            **{**pipes, "text": True, "encoding": "utf-8", **options},
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def run(self, *words: str) -> Ended:
        """Runs a command as a process."""
        with self.start(*words) as process:
            out, err = process.communicate(timeout=DEADLINE_S)
        return Ended(process.returncode, out, err)

    def call(self, *words: str) -> Ended:
        """Runs a command in this process, which is faster."""
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
        handler = signal.getsignal(signal.SIGINT)
        with pytest.MonkeyPatch.context() as patch:
            for name in os.environ.keys() - self.environment.keys():
                patch.delenv(name)
            for name, value in self.environment.items():
                patch.setenv(name, value)
            patch.chdir(self.folder)
            patch.setattr(sys, "argv", ["modelgates", *words])
            patch.setattr(sys, "stdin", io.StringIO())
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            with pytest.raises(SystemExit) as ended:
                main()
        signal.signal(signal.SIGINT, handler)
        assert isinstance(ended.value.code, int)
        return Ended(ended.value.code, _text(out), _text(err))

    def account(self, credits_text: str = "0") -> str:
        """Creates an account; returns its id."""
        account: str = self.call("account", "create", "Acme Lab", "--json").json["id"]
        if credits_text != "0":
            self.call("credits", "grant", account, credits_text, "--json")
        return account

    def key(self, account: str, kind: str = "inference", *more: str) -> Any:
        """Creates a key; returns it as `key create --json` prints it."""
        return self.call(
            "key", "create", "--account", account, "--kind", kind, "--json", *more
        ).json

    def do(self, work: Callable[[LedgerServices], Coroutine[Any, Any, T]]) -> T:
        """Does work that no command does, on the same database."""

        async def on_open_store() -> T:
            store = open_store(self.path)
            try:
                return await work(ledger_services(store, now_ms, secrets.token_bytes))
            finally:
                await store.close()

        return asyncio.run(on_open_store())


def _text(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()
