"""Separate processes on a test's database, driven over pipes: one line of JSON per job and result.

A worker opens the database on command, so that several can open it at the same moment.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from modelgates_server.core.errors import GatewayError
from modelgates_server.core.ledger.commands import Command
from modelgates_server.service.ports import Store
from tests.deadlines import within
from tests.support import capture, open_database, opening, place

ROOT = Path(__file__).resolve().parents[2]


class Job(msgspec.Struct):
    """`count` calls, `at_once` of them concurrently; without `used_pico` their holds stay open.

    The ids of the holds start with `prefix`. Without a key, the account is opened instead.
    """

    account_id: str
    prefix: str
    count: int
    at_once: int
    key_hash: str = ""
    amount_pico: int = 0
    used_pico: int | None = None

    def steps(self, number: int) -> list[Command]:
        if not self.key_hash:
            return [opening(self.account_id)]
        hold_id = f"{self.prefix}{number}"
        steps: list[Command] = [place(self.account_id, self.key_hash, hold_id, self.amount_pico)]
        if self.used_pico is not None:
            steps.append(capture(self.account_id, self.key_hash, hold_id, self.used_pico))
        return steps


async def work(store: Store, job: Job) -> Counter[str]:
    """Counts the outcomes of the calls: `done`, `again`, or the name of a refusal."""
    outcomes: Counter[str] = Counter()
    numbers = iter(range(job.count))

    async def client() -> None:
        for number in numbers:
            try:
                receipts = [await store.execute(step) for step in job.steps(number)]
            except GatewayError as refusal:
                outcomes[type(refusal).__name__] += 1
            else:
                outcomes["again" if receipts[-1].replayed else "done"] += 1

    await asyncio.gather(*(client() for _ in range(job.at_once)))
    return outcomes


class Worker:
    """The test's end of one process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, question: object) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(msgspec.json.encode(question) + b"\n")
        async with within():
            return json.loads(await self._process.stdout.readline())

    async def open(self) -> str:
        """Returns `open`, or the reason for the failure."""
        answer: str = await self.ask("open")
        return answer

    async def do(self, job: Job) -> Counter[str]:
        return Counter(await self.ask(job))


@asynccontextmanager
async def started(url: str) -> AsyncIterator[Worker]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, url, cwd=ROOT, stdin=-1, stdout=-1
    )
    try:
        yield Worker(process)
    finally:
        assert process.stdin
        process.stdin.close()
        async with within():
            assert await process.wait() == 0


@asynccontextmanager
async def several(url: str, count: int) -> AsyncIterator[list[Worker]]:
    """Starts workers that have not opened the database yet."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(started(url)) for _ in range(count)]


async def main(url: str) -> None:
    assert sys.stdin.readline() == '"open"\n'
    try:
        store = open_database(url)
    except GatewayError as refusal:
        print(json.dumps(str(refusal)), flush=True)
        return
    print(json.dumps("open"), flush=True)
    for line in sys.stdin:
        print(json.dumps(await work(store, msgspec.json.decode(line, type=Job))), flush=True)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
