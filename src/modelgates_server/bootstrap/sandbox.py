"""Runs the sandbox as a server of its own; it has no settings and keeps nothing."""

from collections.abc import Callable

from modelgates_server.bootstrap import now_ms
from modelgates_server.providers.sandbox.server import configuration
from modelgates_server.web.http import server


def serve_sandbox(host: str, port: int, on_started: Callable[[str], None]) -> None:
    """Run until SIGTERM or Ctrl-C; `on_started` gets the address. Raises `InvalidInput`."""
    server.run(configuration(now_ms, host=host, port=port), on_started)
