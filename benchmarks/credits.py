"""GET /credits with a valid key and a fresh read, against a bare app with the same response."""

import http.client
import json
import shutil
import statistics
from contextlib import ExitStack
from tempfile import TemporaryDirectory

import uvloop

from benchmarks.load import Load, burst
from benchmarks.servers import HOST, Server, bare, fill, modelgates, nginx

CLIENTS = 32
REQUESTS = 500
ROUNDS = 7
BARE, OURS = "bare uvicorn, same bytes", "ModelGates"


def report() -> None:
    """Measure and print."""
    print(f"GET /credits: valid key, uncached read, {CLIENTS} connections")
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/credits.db"
        key_text = uvloop.run(fill(url))
        request = credits_request(key_text)
        with ExitStack() as stack:
            ours = stack.enter_context(modelgates(url))
            answer = _answer(ours.port, key_text)
            servers = {BARE: stack.enter_context(bare(answer)), OURS: ours}
            if shutil.which("nginx"):
                body = json.loads(answer)["body"]
                servers["nginx, static 200"] = stack.enter_context(nginx(body))
            rounds = [_round(servers, request) for _ in range(ROUNDS)]
    _print(rounds)


def credits_request(key_text: str) -> bytes:
    """The bytes of GET /credits with a key."""
    return (
        "GET /api/v1/credits HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n"
        f"Authorization: Bearer {key_text}\r\nX-Request-Id: bench-1\r\n\r\n"
    ).encode()


def _round(servers: dict[str, Server], request: bytes) -> dict[str, Load]:
    return {
        name: burst(HOST, server.port, server.pid, request, clients=CLIENTS, count=REQUESTS)
        for name, server in servers.items()
    }


def _print(rounds: list[dict[str, Load]]) -> None:
    for name in rounds[0]:
        load = _median([measured[name] for measured in rounds])
        print(
            f"  {name:26} {load.requests_s:8,.0f} requests/s  CPU {load.cpu_us:5.1f} us/request  "
            f"p50 {load.p50_ms:.2f} ms  p99 {load.p99_ms:.2f} ms"
        )
    for name in rounds[0].keys() - {OURS}:
        rate = statistics.median(
            measured[OURS].requests_s / measured[name].requests_s for measured in rounds
        )
        cpu = statistics.median(
            measured[name].cpu_us / measured[OURS].cpu_us for measured in rounds
        )
        bar = " (bar: 0.65)" if name == BARE else ""
        print(f"  ratio to {name}: {rate:.2f} by rate, {cpu:.2f} by CPU{bar}")


def _median(loads: list[Load]) -> Load:
    return sorted(loads)[len(loads) // 2]


def _answer(port: int, key_text: str) -> str:
    """The response of ModelGates, for the bare application to repeat."""
    connection = http.client.HTTPConnection(HOST, port)
    headers = {"Authorization": f"Bearer {key_text}", "X-Request-Id": "bench-1"}
    connection.request("GET", "/api/v1/credits", headers=headers)
    answer = connection.getresponse()
    kept = [(k, v) for k, v in answer.getheaders() if k.lower() != "date"]
    return json.dumps({"headers": kept, "body": answer.read().decode()})
