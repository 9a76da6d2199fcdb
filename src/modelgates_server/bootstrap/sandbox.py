"""Runs the sandbox as a separate server, which has no settings and stores nothing."""

from collections.abc import Callable

from modelgates_server.bootstrap import now_ms
from modelgates_server.bootstrap.descriptors import raise_limit
from modelgates_server.providers.sandbox.server import configuration
from modelgates_server.web.http import server


def serve_sandbox(host: str, port: int, on_started: Callable[[str], None]) -> None:
    """Runs until SIGTERM or Ctrl-C. `on_started` receives the URL. Raises `InvalidInput`."""
    raise_limit()
    server.run(configuration(now_ms, host=host, port=port), on_started)
