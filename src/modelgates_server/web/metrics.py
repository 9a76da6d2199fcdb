"""Prometheus figures, at /metrics for who has the token; for others there is no such path."""

import hmac
import os

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector

from modelgates_server.web.errors import HttpRefusal
from modelgates_server.web.operations import Call
from modelgates_server.web.reply import Reply

MULTIPROCESS_DIR = "PROMETHEUS_MULTIPROC_DIR"
"""Where several worker processes add up their figures; set before this module is imported."""


class Metrics:
    """The figures of this process, and those of its siblings when there are several workers."""

    def __init__(self, token: str | None) -> None:
        self._token = token
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "modelgates_http_requests",
            "Answered HTTP requests by operation and status.",
            ["operation", "status"],
            registry=self._registry,
        )
        # `labels()` takes a lock and builds text; the hot path keeps what it returns.
        self._children: dict[tuple[str, int], Counter] = {}

    def count_request(self, operation: str, status: int) -> None:
        """Count one answer."""
        child = self._children.get((operation, status))
        if child is None:
            child = self._requests.labels(operation, str(status))
            self._children[operation, status] = child
        child.inc()

    async def show(self, call: Call) -> Reply:
        """GET /metrics."""
        given = (call.head.authorization or b"").removeprefix(b"Bearer ")
        if not self._token or not hmac.compare_digest(given, self._token.encode()):
            raise HttpRefusal(404, "Resource not found")
        registry = self._registry
        if MULTIPROCESS_DIR in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        content_type = (b"content-type", CONTENT_TYPE_PLAIN_0_0_4.encode())
        return Reply(200, generate_latest(registry), [content_type])
