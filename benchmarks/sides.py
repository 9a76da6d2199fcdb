"""The sides of a comparison: the sandbox process, directly and through each gateway."""

import http.client
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import uvloop

from benchmarks.load import Load, burst
from benchmarks.servers import HOST, Server, modelgates, open_account, portkey, sandbox, verify
from modelgates_server.core.keys import KeyKind
from modelgates_server.core.money import PICOS_PER_DOLLAR

DIRECT, OURS, PORTKEY = "direct", "ModelGates", "Portkey"
MODELS = ("echo", "lorem", "chaos")
INPUT, OUTPUT = Decimal("0.0000011"), Decimal("0.0000023")
WARM_S = 3

_CREDITS_PICO = 100_000 * PICOS_PER_DOLLAR


class Shape(NamedTuple):
    """A request, whichever side it is sent through; `model` is the sandbox's name."""

    model: str
    message: str
    stream: bool = False
    max_tokens: int = 100

    def body(self, model: str) -> dict[str, Any]:
        """The request for a model of that name."""
        body: dict[str, Any] = {
            "model": model,
            "messages": [{"role": "user", "content": self.message}],
            "max_tokens": self.max_tokens,
        }
        if self.stream:
            # ModelGates always requests the usage; with this, all sides relay the same chunks.
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return body


class Side(NamedTuple):
    """A server, and how to call a model of the sandbox through it."""

    server: Server
    path: str
    before_model: str
    headers: dict[str, str]

    def request(self, shape: Shape) -> bytes:
        """The bytes of the whole request."""
        body = json.dumps(shape.body(self.before_model + shape.model)).encode()
        headers = {
            "Host": f"{HOST}:{self.server.port}",
            "Accept": "*/*",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **self.headers,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"POST {self.path} HTTP/1.1\r\n{lines}\r\n".encode() + body


class Sides:
    """All sides, by name; Portkey is one of them if it is installed.

    `check_ledger` compares the charges of ModelGates with the usage that the sandbox reports.
    """

    def __init__(self, by_name: dict[str, Side], url: str, management_key: str) -> None:
        self.by_name = by_name
        self._url = url
        self._management_key = management_key
        self._made: Counter[Shape] = Counter()

    @property
    def ours(self) -> Server:
        """ModelGates."""
        return self.by_name[OURS].server

    def burst(self, name: str, shape: Shape, *, clients: int, count: int) -> Load:
        """Send requests of a shape through one side."""
        side = self.by_name[name]
        if name == OURS:
            self._made[shape] += clients * count
        server = side.server
        request = side.request(shape)
        return burst(HOST, server.port, server.pid, request, clients=clients, count=count)

    def warm(self, *shapes: Shape) -> None:
        """Send each side the requests to be measured for a few seconds."""
        for name in self.by_name:
            until = time.monotonic() + WARM_S
            while time.monotonic() < until:
                for shape in shapes:
                    self.burst(name, shape, clients=8, count=10)

    def rounds(
        self, shape: Shape, *, clients: int, count: int, rounds: int
    ) -> list[dict[str, Load]]:
        """Measure all sides in turns; raises if a response failed."""
        measured = [
            {name: self.burst(name, shape, clients=clients, count=count) for name in self.by_name}
            for _ in range(rounds)
        ]
        for each in measured:
            assert not any(load.errors for load in each.values()), each
        return measured

    def check_ledger(self) -> None:
        """Check `GET /credits` against the sum of all calls, exactly, and verify the ledger."""
        due = sum((self._cost(shape) * calls for shape, calls in self._made.items()), Decimal(0))
        headers = {"Authorization": f"Bearer {self._management_key}"}
        answer = _ask(self.ours, "GET", "/api/v1/credits", headers)
        used = answer["data"]["total_usage"]
        assert used == due, f"{used} was charged for calls that cost {due}"
        calls, verdict = self._made.total(), verify(self._url)
        print(f"  ledger: {calls:,} calls cost {due} dollars, equal to GET /credits. {verdict}")

    def _cost(self, shape: Shape) -> Decimal:
        """The cost of a call, from the usage that the sandbox reports when called directly."""
        side = self.by_name[DIRECT]
        answer = _ask(
            side.server,
            "POST",
            side.path,
            side.headers,
            shape._replace(stream=False).body(shape.model),
        )
        usage = answer["usage"]
        return Decimal(usage["prompt_tokens"] * INPUT + usage["completion_tokens"] * OUTPUT)


@contextmanager
def sides(*, with_portkey: bool = True) -> Iterator[Sides]:
    """Start all servers, with an empty ledger in a file."""
    with TemporaryDirectory() as folder, ExitStack() as stack:
        url = f"sqlite:///{folder}/calls.db"
        management_key, inference_key = uvloop.run(
            open_account(url, _CREDITS_PICO, KeyKind.MANAGEMENT, KeyKind.INFERENCE)
        )
        upstream = stack.enter_context(sandbox())
        base_url = f"http://{HOST}:{upstream.port}/v1"
        ours = stack.enter_context(modelgates(url, configured(Path(folder), base_url)))
        bearer = {"Authorization": f"Bearer {inference_key}"}
        by_name = {
            DIRECT: Side(upstream, "/v1/chat/completions", "", {"Authorization": "Bearer sk-x"}),
            OURS: Side(ours, "/api/v1/chat/completions", "bench/", bearer),
        }
        if with_portkey and (other := stack.enter_context(portkey())):
            routed = {
                "Authorization": "Bearer sk-x",
                "x-portkey-provider": "openai",
                "x-portkey-custom-host": base_url,
            }
            by_name[PORTKEY] = Side(other, "/v1/chat/completions", "", routed)
        yield Sides(by_name, url, management_key)


def configured(folder: Path, base_url: str) -> Path:
    """The configuration file of ModelGates, with the sandbox at `base_url` as its provider."""
    path = folder / "modelgates.toml"
    tables = [f'sandbox = false\n[providers.bench]\nbase_url = "{base_url}"\n']
    tables += [
        f'[models."bench/{model}"]\nprovider = "bench"\nupstream_model = "{model}"\n'
        "context_length = 131072\nmax_output_tokens = 16384\n"
        f'prices = [{{ input = "{INPUT:f}", output = "{OUTPUT:f}" }}]\n'
        for model in MODELS
    ]
    path.write_text("".join(tables), encoding="utf-8")
    return path


def _ask(
    server: Server, method: str, path: str, headers: dict[str, str], body: Any = None
) -> dict[str, Any]:
    """Send one request and return the body, with numbers as exact decimals."""
    connection = http.client.HTTPConnection(HOST, server.port)
    try:
        payload = None if body is None else json.dumps(body)
        connection.request(method, path, payload, {**headers, "Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == 200, text
        members: dict[str, Any] = json.loads(text, parse_float=Decimal)
        return members
    finally:
        connection.close()
