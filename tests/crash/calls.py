"""Kills a gateway under calls, again and again: `python -m tests.crash.calls --rounds 20`.

Two hundred clients at once spend the few credits of one account, plain and streamed, with the
built-in sandbox and with one behind HTTP. Both are slow, cut responses off, fail, and report wrong
usage or none. Some clients leave; some repeat a call of the round before. At the end no hold is
open, the account never spent more than it had, the ledger verifies, and every client that got a
whole response was charged the cost in it.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Any, NamedTuple

import httpx

from modelgates_server.core.keys import KeyKind, NewKey
from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.pricing.prices import dollars, total_of
from modelgates_server.service.verify import verify
from modelgates_server.store.sqlite.opening import open_store
from tests.cli.console import Console
from tests.deadlines import DEADLINE_S, async_http_client
from tests.e2e.calls import mortal_server, read
from tests.e2e.load import wait_until
from tests.server import RunningServer

CLIENTS = 200
CALLS = 3
"""Calls of each client in a round, one after the other."""

CREDITS = Decimal("0.08")
"""Soon spent: a call holds about $0.00075 and costs about $0.0001."""

_KEYS = 4
_KEY_LIMIT_PICO = 5 * 10**9
_REPEATERS = 10  # one in this many makes the same call in every round
_MODEL = """
[models."remote/{name}"]
provider = "remote"
context_length = 131072
max_output_tokens = 16384
[[models."remote/{name}".prices]]
input = "0.000001"
output = "0.000002"
reasoning = "0.000003"
"""
_BEHAVIORS: list[dict[str, Any]] = [
    {"tokens": 30},
    {"tokens": 10, "usage": "twice"},
    *([{"tokens": 30, "chunk_ms": 100}] * 4),
    {"tokens": 10, "first_byte_ms": 300},
    {"tokens": 10, "cut_after": 5},
    {"tokens": 10, "error_after": 5},
    {"tokens": 10, "garbage_after": 5},
    {"status": 500},
    {"status": 429, "retry_after": 1},
    {"say": "", "finish": None},
    *({"tokens": 10, "usage": usage} for usage in ("none", "wrong", "negative", "absurd", "huge")),
    {"tokens": 10, "usage": "late", "no_done": True, "crlf": True, "comments": True},
    {"tokens": 10, "usage": {"prompt_tokens": 0, "completion_tokens": 0}},
]


class PlannedCall(NamedTuple):
    """One call. A client that leaves does so after `leaves_after` lines."""

    body: dict[str, Any]
    key: str
    idempotency_key: str | None
    leaves_after: int | None


class Tally:
    """The outcome of all calls; `costs` and `free` are those on the current database.

    `costs` has the cost in each whole response, by generation; `free` has the refused generations.
    """

    def __init__(self) -> None:
        self.costs: dict[str, Decimal] = {}
        self.free: set[str] = set()
        self.completed = 0
        self.statuses: Counter[int] = Counter()
        self.cut = self.left = self.kills = self.expired = 0
        self.problems: list[str] = []

    def __str__(self) -> str:
        statuses = dict(sorted(self.statuses.items()))
        return (
            f"kills {self.kills}, completed {self.completed}, cut off {self.cut}, "
            f"left {self.left}, expired {self.expired}, statuses {statuses}, "
            f"problems {len(self.problems)}"
        )

    def note_cost(self, generation_id: str, cost: Decimal) -> None:
        """Notes the cost in a whole response; a repeated one must have the same."""
        if self.costs.setdefault(generation_id, cost) != cost:
            self.problems.append(f"two costs reported for {generation_id}")


def draw(seed: str, number: int, keys: list[str]) -> PlannedCall:
    """The call of one client in one round; a repeater makes the same call in every round."""
    repeats = number % _REPEATERS == 0
    dice = random.Random(f"repeat {number}" if repeats else f"{seed} {number}")
    provider, name = (
        dice.choice(["sandbox", "remote"]),
        dice.choice(["echo", "lorem", "chaos", "chaos"]),
    )
    text = json.dumps(dice.choice(_BEHAVIORS)) if name == "chaos" else str(dice.randrange(5, 40))
    stream = not repeats and dice.random() < 0.6
    body = {
        "model": f"{provider}/{name}",
        "messages": [{"role": "user", "content": text}],
        "stream": stream,
        **({"max_tokens": 50} if dice.random() < 0.97 else {}),
    }
    leaves = stream and dice.random() < 0.3
    return PlannedCall(
        body,
        keys[number % len(keys)],
        f"repeat {number}" if repeats else None,
        dice.randrange(1, 20) if leaves else None,
    )


class Round:
    """All clients at once; the server gets a signal when a number of their calls have ended."""

    def __init__(self, server: RunningServer, tally: Tally, end: int, after: int) -> None:
        self._server = server
        self._tally = tally
        self._end = end
        self._left = after

    async def run(self, calls: list[PlannedCall]) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        async with async_http_client(base_url=self._server.api, limits=limits) as http:
            clients = [calls[first::CLIENTS] for first in range(CLIENTS)]
            await asyncio.gather(*(self._client(http, client) for client in clients))
        if self._left > 0:  # a second signal could reach a process that no longer handles it
            self._server.process.send_signal(self._end)
        code = self._server.process.wait(DEADLINE_S)
        assert code == (0 if self._end == SIGTERM else -self._end), code

    async def _client(self, http: httpx.AsyncClient, calls: list[PlannedCall]) -> None:
        try:
            for call in calls:
                await self._make(http, call)
        except httpx.TransportError:
            self._tally.cut += 1

    async def _make(self, http: httpx.AsyncClient, call: PlannedCall) -> None:
        headers = {"Authorization": f"Bearer {call.key}"}
        if call.idempotency_key is not None:
            headers["Idempotency-Key"] = call.idempotency_key
        async with http.stream(
            "POST", "/chat/completions", json=call.body, headers=headers
        ) as response:
            await self._read(response, call)
        self._left -= 1
        if self._left == 0:
            self._server.process.send_signal(self._end)

    async def _read(self, response: httpx.Response, call: PlannedCall) -> None:
        self._tally.statuses[response.status_code] += 1
        generation_id = response.headers.get("x-generation-id")
        if response.status_code != 200:
            await response.aread()
            if generation_id is not None:
                self._tally.free.add(generation_id)
        elif call.body["stream"]:
            await self._read_stream(response, generation_id, call.leaves_after)
        else:
            body = read(await response.aread())
            self._tally.note_cost(body["id"], body["usage"]["cost"])

    async def _read_stream(
        self, response: httpx.Response, generation_id: str, leaves_after: int | None
    ) -> None:
        before = last = ""
        lines = 0
        async for line in response.aiter_lines():
            lines += 1
            if lines == leaves_after:
                self._tally.left += 1
                return
            if line:
                before, last = last, line
        if last == "data: [DONE]":
            chunk = read(before.removeprefix("data: "))
            self._tally.note_cost(generation_id, chunk["usage"]["cost"])
        else:
            self._tally.cut += 1


@contextmanager
def sandbox(folder: Path) -> Iterator[dict[str, str]]:
    """Runs a separate sandbox; yields the settings of a gateway with this sandbox as a provider."""
    with Console(folder).start("sandbox", "serve", "--port", "0") as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        path = folder / "modelgates.toml"
        models = "".join(_MODEL.format(name=name) for name in ("echo", "lorem", "chaos"))
        path.write_text(f'sandbox = true\n[providers.remote]\nbase_url = "{url}/v1"\n{models}')
        yield {"MODELGATES_CONFIG": str(path), "MODELGATES_HOLD_TTL_S": "3"}


def open_keys(console: Console) -> tuple[str, list[str]]:
    """An account with few credits, and its keys; the first has a limit."""
    account_id = console.account(str(CREDITS))

    async def create(gateway: Any) -> list[str]:
        limits = [_KEY_LIMIT_PICO, *[None] * (_KEYS - 1)]
        new_keys = [NewKey(kind=KeyKind.INFERENCE, name="k", limit_pico=limit) for limit in limits]
        return [(await gateway.keys.create(account_id, new_key))[1] for new_key in new_keys]

    return account_id, console.do(create)


def run(folder: Path, ends: list[int], seed: int, tally: Tally) -> None:
    """Runs a round for each signal, which ends it, and checks what they left."""
    console = Console(folder)
    account_id, keys = open_keys(console)
    with sandbox(folder) as settings:
        for number, end in enumerate(ends):
            after = random.Random(seed + number).randrange(5, CALLS * CLIENTS)
            calls = [draw(f"{seed} {number}", client, keys) for client in range(CALLS * CLIENTS)]
            with mortal_server(folder, **settings) as server:
                asyncio.run(Round(server, tally, end, after).run(calls))
            tally.kills += end == SIGKILL
        resolve(console, settings)
    asyncio.run(check(console.path, account_id, tally))
    if "Traceback" in (folder / "server.log").read_text():
        tally.problems.append("the log has a traceback")
    verified = console.run("ledger", "verify")
    if verified.code != 0:
        tally.problems.append(f"ledger verify: {verified.out}{verified.err}")


def resolve(console: Console, settings: dict[str, str]) -> None:
    """Waits until all open holds are past their expiry, and lets a server resolve them."""

    async def count(gateway: Any) -> tuple[int, int]:
        due = await gateway.store.expired_holds(time.time_ns() // 1_000_000, 1000)
        return len(due), (await gateway.store.all_open_holds()).count

    while (figures := console.do(count))[0] < figures[1]:
        pass
    with mortal_server(console.folder, **settings) as server:
        wait_until(lambda: console.do(count)[1] == 0, server.process)
        server.process.terminate()
        assert server.process.wait(DEADLINE_S) == 0


async def check(path: Path, account_id: str, tally: Tally) -> None:
    """Compares the ledger with the responses."""
    store = open_store(path)
    tally.problems += map(str, (await verify(store)).findings)
    async with store.account_snapshot(account_id) as snapshot:
        async for page in snapshot.entries():
            tally.problems += [
                f"below zero: {entry}"
                for entry in page
                if entry.balance_after_pico < entry.held_after_pico
            ]
        generations = {row.id: row.record async for page in snapshot.generations() for row in page}
        if snapshot.account.held_pico:
            tally.problems.append("a hold is still open")
        if (
            sum(generation.cost_pico for generation in generations.values())
            != snapshot.account.usage_pico
        ):
            tally.problems.append("costs do not add up to the usage")
    await store.close()
    tally.expired += sum(
        generation.state is HoldState.EXPIRED for generation in generations.values()
    )
    tally.problems += differences(tally, generations)
    tally.completed += len(tally.costs)
    tally.costs.clear()
    tally.free.clear()


def differences(tally: Tally, generations: dict[str, Generation]) -> Iterator[str]:
    """The differences between the ledger and the responses, one line each."""
    for generation_id, cost in tally.costs.items():
        generation = generations[generation_id]
        state = HoldState.CAPTURED if generation.state is HoldState.CAPTURED else HoldState.VOIDED
        if dollars(generation.cost_pico) != cost or generation.state is not state:
            yield f"response with cost {cost}, but {generation}"
    for generation_id in tally.free:
        if generations[generation_id].state is not HoldState.VOIDED:
            yield f"refused, but {generations[generation_id]}"
    for generation in generations.values():
        if total_of(generation.lines) != dollars(generation.cost_pico):
            yield f"lines do not add up: {generation}"
    repeated = Counter(
        generation.idempotency for generation in generations.values() if generation.cost_pico
    )
    yield from (f"billed twice: {key}" for key, count in repeated.items() if key and count > 1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rounds",
        type=int,
        default=20,
        help="rounded up to a multiple of 4; every 4 rounds share a new database",
    )
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    tally = Tally()
    for number in range(0, arguments.rounds, 4):
        with tempfile.TemporaryDirectory() as folder:
            run(Path(folder), [SIGKILL, SIGTERM, SIGKILL, SIGKILL], arguments.seed + number, tally)
        print(tally, flush=True)
    for problem in tally.problems:
        print(problem)
    return 1 if tally.problems else 0


if __name__ == "__main__":
    sys.exit(main())
