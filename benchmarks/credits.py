"""GET /credits with a valid key and a fresh read, against a bare app with the same answer."""

import http.client
import json
from tempfile import TemporaryDirectory

import uvloop

from benchmarks.load import Load, burst
from benchmarks.servers import HOST, bare, fill, modelgates

CLIENTS = 32
REQUESTS = 500
ROUNDS = 7


def report() -> None:
    """Measure and print."""
    print(f"GET /credits: valid key, fresh read, {CLIENTS} connections")
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/credits.db"
        key_text = uvloop.run(fill(url))
        request = (
            "GET /api/v1/credits HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n"
            f"Authorization: Bearer {key_text}\r\nX-Request-Id: bench-1\r\n\r\n"
        ).encode()
        with modelgates(url) as ours, bare(_answer(ours.port, key_text)) as plain:
            rounds = []
            for _ in range(ROUNDS):
                pair = [
                    burst(HOST, port, pid, request, clients=CLIENTS, count=REQUESTS)
                    for pid, port in (plain, ours)
                ]
                rounds.append(pair)
    _print(rounds)


def _print(rounds: list[list[Load]]) -> None:
    for index, name in enumerate(("bare uvicorn, same bytes", "ModelGates")):
        load = _median([pair[index] for pair in rounds])
        print(
            f"  {name:32} {load.requests_s:8,.0f} requests/s  CPU {load.cpu_us:5.1f} us/request  "
            f"p50 {load.p50_ms:.2f} ms  p99 {load.p99_ms:.2f} ms"
        )
    rate = sorted(ours.requests_s / bare.requests_s for bare, ours in rounds)[ROUNDS // 2]
    cpu = sorted(bare.cpu_us / ours.cpu_us for bare, ours in rounds)[ROUNDS // 2]
    print(f"  ratio {rate:.2f} by rate, {cpu:.2f} by CPU (bar: 0.65)")


def _median(loads: list[Load]) -> Load:
    return sorted(loads)[len(loads) // 2]


def _answer(port: int, key_text: str) -> str:
    """Our answer, for the bare application to repeat."""
    connection = http.client.HTTPConnection(HOST, port)
    headers = {"Authorization": f"Bearer {key_text}", "X-Request-Id": "bench-1"}
    connection.request("GET", "/api/v1/credits", headers=headers)
    answer = connection.getresponse()
    kept = [(k, v) for k, v in answer.getheaders() if k.lower() != "date"]
    return json.dumps({"headers": kept, "body": answer.read().decode()})
