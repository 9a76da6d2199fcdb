"""The time to the first byte of a documentation page, against that of /healthz."""

import statistics
from tempfile import TemporaryDirectory

from benchmarks.load import burst
from benchmarks.servers import HOST, Server, modelgates

REQUESTS = 500
ROUNDS = 7
HEALTH = "/healthz"
PAGES = {
    "front page": "/docs",
    "reference of GET /credits": "/docs/api/api-reference/credits/get-credits",
    "the same in Markdown": "/docs/api/api-reference/credits/get-credits.md",
}


def report() -> None:
    """Measure and print."""
    print("documentation: time to the first byte of a page, one connection, a browser's headers")
    with TemporaryDirectory() as folder, modelgates(f"sqlite:///{folder}/docs.db") as server:
        for path in PAGES.values():
            _first_byte_ms(server, path, 1)
        # In turns, so that other load of the machine affects all alike.
        rounds = [
            {path: _first_byte_ms(server, path, REQUESTS) for path in (HEALTH, *PAGES.values())}
            for _ in range(ROUNDS)
        ]
    health_ms = statistics.median(measured[HEALTH] for measured in rounds)
    print(f"  {'/healthz':26} {health_ms:.3f} ms")
    for name, path in PAGES.items():
        took_ms = statistics.median(measured[path] for measured in rounds)
        ratio = statistics.median(measured[path] / measured[HEALTH] for measured in rounds)
        print(f"  {name:26} {took_ms:.3f} ms, ratio {ratio:.2f} (bar: 3)")


def _first_byte_ms(server: Server, path: str, count: int) -> float:
    request = (
        f"GET {path} HTTP/1.1\r\nHost: localhost:{server.port}\r\n"
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
        "Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en\r\n"
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n\r\n"
    ).encode()
    load = burst(HOST, server.port, server.pid, request, clients=1, count=count)
    assert load.errors == 0, path
    return load.first_p50_ms
