"""Kills a gateway under calls, again and again: `python -m tests.crash.calls --rounds 20`.

Two hundred clients at once spend what little one account has, plain and streamed, with the
gateway's own sandbox and one behind HTTP: both are slow, cut, fail, and report wrongly or not at
all. Some clients leave, some repeat a call of the round before. At the end no hold is open, nothing
was ever spent that was not there, the books verify, and whoever got an answer to its end was
charged what it said.
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
from modelgates_server.store.sqlite.store import open_store
from tests.cli.console import Console
from tests.deadlines import DEADLINE_S, async_http_client
from tests.e2e.calls import mortal_server, read
from tests.e2e.load import wait_until
from tests.server import RunningServer

CLIENTS = 200
CALLS = 3
"""What each client asks for in a round, one after the other."""

CREDITS = Decimal("0.08")
"""A call holds three quarters of a thousandth, and costs a tenth of one: it is soon spent."""

_KEYS = 4
_KEY_LIMIT_PICO = 5 * 10**9
_REPEATERS = 10  # one in so many
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
_WAYS: list[dict[str, Any]] = [
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
    *({"tokens": 10, "usage": how} for how in ("none", "wrong", "negative", "absurd", "huge")),
    {"tokens": 10, "usage": "late", "no_done": True, "crlf": True, "comments": True},
    {"tokens": 10, "usage": {"prompt_tokens": 0, "completion_tokens": 0}},
]


class Asked(NamedTuple):
    """One call; a client that leaves does so after so many lines."""

    body: dict[str, Any]
    key: str
    idempotency_key: str | None
    leaves_after: int | None


class Toll:
    """What became of the calls; `told` and `free` are about those on the present database.

    `told` has what answers said that they cost, by generation, `free` those that were refused.
    """

    def __init__(self) -> None:
        self.told: dict[str, Decimal] = {}
        self.free: set[str] = set()
        self.answered = 0
        self.statuses: Counter[int] = Counter()
        self.cut = self.left = self.kills = self.expired = 0
        self.problems: list[str] = []

    def __str__(self) -> str:
        statuses = dict(sorted(self.statuses.items()))
        return (
            f"kills {self.kills}, answered {self.answered}, cut {self.cut}, left {self.left}, "
            f"expired {self.expired}, statuses {statuses}, problems {len(self.problems)}"
        )

    def hear(self, generation_id: str, cost: Decimal) -> None:
        """An answer came to its end; a repeated one says the same."""
        if self.told.setdefault(generation_id, cost) != cost:
            self.problems.append(f"{generation_id} was told at two costs")


def draw(seed: str, number: int, keys: list[str]) -> Asked:
    """The call of one client in one round; a repeater makes the same one in each."""
    repeats = number % _REPEATERS == 0
    dice = random.Random(f"repeat {number}" if repeats else f"{seed} {number}")
    provider, name = (
        dice.choice(["sandbox", "remote"]),
        dice.choice(["echo", "lorem", "chaos", "chaos"]),
    )
    text = json.dumps(dice.choice(_WAYS)) if name == "chaos" else str(dice.randrange(5, 40))
    stream = not repeats and dice.random() < 0.6
    body = {
        "model": f"{provider}/{name}",
        "messages": [{"role": "user", "content": text}],
        "stream": stream,
        **({"max_tokens": 50} if dice.random() < 0.97 else {}),
    }
    leaves = stream and dice.random() < 0.3
    return Asked(
        body,
        keys[number % len(keys)],
        f"repeat {number}" if repeats else None,
        dice.randrange(1, 20) if leaves else None,
    )


class Round:
    """All clients at once; the server gets a signal at the end of so many of their calls."""

    def __init__(self, server: RunningServer, toll: Toll, end: int, after: int) -> None:
        self._server = server
        self._toll = toll
        self._end = end
        self._left = after

    async def run(self, calls: list[Asked]) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        async with async_http_client(base_url=self._server.api, limits=limits) as http:
            clients = [calls[first::CLIENTS] for first in range(CLIENTS)]
            await asyncio.gather(*(self._client(http, client) for client in clients))
        if self._left > 0:  # a second signal could meet a process that listens to none any more
            self._server.process.send_signal(self._end)
        code = self._server.process.wait(DEADLINE_S)
        assert code == (0 if self._end == SIGTERM else -self._end), code

    async def _client(self, http: httpx.AsyncClient, calls: list[Asked]) -> None:
        try:
            for call in calls:
                await self._make(http, call)
        except httpx.TransportError:
            self._toll.cut += 1

    async def _make(self, http: httpx.AsyncClient, call: Asked) -> None:
        headers = {"Authorization": f"Bearer {call.key}"}
        if call.idempotency_key is not None:
            headers["Idempotency-Key"] = call.idempotency_key
        async with http.stream(
            "POST", "/chat/completions", json=call.body, headers=headers
        ) as response:
            await self._hear(response, call)
        self._left -= 1
        if self._left == 0:
            self._server.process.send_signal(self._end)

    async def _hear(self, response: httpx.Response, call: Asked) -> None:
        self._toll.statuses[response.status_code] += 1
        generation_id = response.headers.get("x-generation-id")
        if response.status_code != 200:
            await response.aread()
            if generation_id is not None:
                self._toll.free.add(generation_id)
        elif call.body["stream"]:
            await self._listen(response, generation_id, call.leaves_after)
        else:
            told = read(await response.aread())
            self._toll.hear(told["id"], told["usage"]["cost"])

    async def _listen(
        self, response: httpx.Response, generation_id: str, leaves_after: int | None
    ) -> None:
        before = last = ""
        lines = 0
        async for line in response.aiter_lines():
            lines += 1
            if lines == leaves_after:
                self._toll.left += 1
                return
            if line:
                before, last = last, line
        if last == "data: [DONE]":
            told = read(before.removeprefix("data: "))
            self._toll.hear(generation_id, told["usage"]["cost"])
        else:
            self._toll.cut += 1


@contextmanager
def sandbox(folder: Path) -> Iterator[dict[str, str]]:
    """A sandbox of its own, and the settings of a gateway that has it for a provider."""
    with Console(folder).start("sandbox", "serve", "--port", "0") as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        path = folder / "modelgates.toml"
        models = "".join(_MODEL.format(name=name) for name in ("echo", "lorem", "chaos"))
        path.write_text(f'sandbox = true\n[providers.remote]\nbase_url = "{url}/v1"\n{models}')
        yield {"MODELGATES_CONFIG": str(path), "MODELGATES_HOLD_TTL_S": "3"}


def open_keys(console: Console) -> tuple[str, list[str]]:
    """An account with little money, and its keys; one has a limit."""
    account_id = console.account(str(CREDITS))

    async def create(gateway: Any) -> list[str]:
        limits = [_KEY_LIMIT_PICO, *[None] * (_KEYS - 1)]
        wanted = [NewKey(kind=KeyKind.INFERENCE, name="k", limit_pico=limit) for limit in limits]
        return [(await gateway.keys.create(account_id, one))[1] for one in wanted]

    return account_id, console.do(create)


def run(folder: Path, ends: list[int], seed: int, toll: Toll) -> None:
    """A round for each signal that ends one, and the look at what they left."""
    console = Console(folder)
    account_id, keys = open_keys(console)
    with sandbox(folder) as settings:
        for number, end in enumerate(ends):
            after = random.Random(seed + number).randrange(5, CALLS * CLIENTS)
            calls = [draw(f"{seed} {number}", client, keys) for client in range(CALLS * CLIENTS)]
            with mortal_server(folder, **settings) as server:
                asyncio.run(Round(server, toll, end, after).run(calls))
            toll.kills += end == SIGKILL
        resolve(console, settings)
    asyncio.run(look(console.path, account_id, toll))
    if "Traceback" in (folder / "server.log").read_text():
        toll.problems.append("the log has a traceback")
    verified = console.run("ledger", "verify")
    if verified.code != 0:
        toll.problems.append(f"ledger verify: {verified.out}{verified.err}")


def resolve(console: Console, settings: dict[str, str]) -> None:
    """Let the time of all open holds pass, and a server resolve them."""

    async def count(gateway: Any) -> tuple[int, int]:
        due = await gateway.store.expired_holds(time.time_ns() // 1_000_000, 1000)
        return len(due), (await gateway.store.all_open_holds()).count

    while (figures := console.do(count))[0] < figures[1]:
        pass
    with mortal_server(console.folder, **settings) as server:
        wait_until(lambda: console.do(count)[1] == 0, server.process)
        server.process.terminate()
        assert server.process.wait(DEADLINE_S) == 0


async def look(path: Path, account_id: str, toll: Toll) -> None:
    """Compare the books with what was told."""
    store = open_store(path)
    toll.problems += map(str, (await verify(store)).findings)
    async with store.account_snapshot(account_id) as snapshot:
        async for page in snapshot.entries():
            toll.problems += [
                f"below zero: {entry}"
                for entry in page
                if entry.balance_after_pico < entry.held_after_pico
            ]
        generations = {row.id: row.record async for page in snapshot.generations() for row in page}
        if snapshot.account.held_pico:
            toll.problems.append("something is still held")
        if sum(one.cost_pico for one in generations.values()) != snapshot.account.usage_pico:
            toll.problems.append("costs do not add up to the usage")
    await store.close()
    toll.expired += sum(one.state is HoldState.EXPIRED for one in generations.values())
    toll.problems += wrong(toll, generations)
    toll.answered += len(toll.told)
    toll.told.clear()
    toll.free.clear()


def wrong(toll: Toll, generations: dict[str, Generation]) -> Iterator[str]:
    """What is on the books otherwise than clients were told."""
    for generation_id, cost in toll.told.items():
        one = generations[generation_id]
        state = HoldState.CAPTURED if one.state is HoldState.CAPTURED else HoldState.VOIDED
        if dollars(one.cost_pico) != cost or one.state is not state:
            yield f"told {cost}, and there is {one}"
    for generation_id in toll.free:
        if generations[generation_id].state is not HoldState.VOIDED:
            yield f"refused, and there is {generations[generation_id]}"
    for one in generations.values():
        if total_of(one.lines) != dollars(one.cost_pico):
            yield f"lines do not add up: {one}"
    repeated = Counter(one.idempotency for one in generations.values() if one.cost_pico)
    yield from (f"billed twice: {key}" for key, count in repeated.items() if key and count > 1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="in fours, on a fresh database each")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    toll = Toll()
    for begun in range(0, asked.rounds, 4):
        with tempfile.TemporaryDirectory() as folder:
            run(Path(folder), [SIGKILL, SIGTERM, SIGKILL, SIGKILL], asked.seed + begun, toll)
        print(toll, flush=True)
    for problem in toll.problems:
        print(problem)
    return 1 if toll.problems else 0


if __name__ == "__main__":
    sys.exit(main())
