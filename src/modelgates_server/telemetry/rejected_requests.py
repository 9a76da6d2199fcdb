"""The access log: a line for each request that is rejected or fails, and none for the others."""

from collections.abc import Callable

import structlog

from modelgates_server.core.errors import GatewayError
from modelgates_server.core.keys import without_keys
from modelgates_server.service.ports import AuthenticatedKey
from modelgates_server.telemetry.line_budget import LineBudget
from modelgates_server.telemetry.logs import write_line

LINES_MAX_PER_S = 100
_WINDOW_S = 1
CONNECTION_LINES_MAX_PER_S = 10
"""Anybody can open connections: their lines must not take the places of others."""

_LOGGED = frozenset({401, 402, 403, 413, 429})
_FAILED = 500

log = structlog.get_logger()


class RejectedRequests:
    """Writes up to 100 lines a second, and then the number of those that were left out.

    `count_connection` receives the status of each response to what did not become a request.
    """

    def __init__(self, count_connection: Callable[[int], None] = lambda _: None) -> None:
        self._count_connection = count_connection
        self._budget = LineBudget(LINES_MAX_PER_S, _WINDOW_S, _report_left_out)
        self._connections = LineBudget(
            CONNECTION_LINES_MAX_PER_S, _WINDOW_S, _report_connections_left_out
        )

    def of_connection(self, status: int, reason: str, client: str | None) -> None:
        """Count, and log up to 10 times a second, what was rejected before it was a request."""
        self._count_connection(status)
        if self._connections.admits():
            write_line(
                "connection rejected",
                {"status": status, "reason": reason, "client": client or None},
                "warning" if status >= _FAILED else "info",
            )

    def admits(self, status: int) -> bool:
        """Whether to write a line for a response."""
        return (status >= _FAILED or status in _LOGGED) and self._budget.admits()

    def write(
        self,
        *,
        operation: str,
        method: str,
        path: str,
        status: int,
        error: Exception | None,
        caller: AuthenticatedKey | None,
        client: str | None,
        request_id: str,
        duration_ms: int,
    ) -> None:
        """Write a line. `path` is the template of the route: a real path may contain a key."""
        known = error if isinstance(error, GatewayError) else None
        has_failed = status >= _FAILED
        fields = {
            "operation": operation,
            "method": method,
            "path": path,
            "status": status,
            "error": None if known is None else known.code,
            # Other texts are for the client, and may repeat what it has sent.
            "reason": without_keys(str(known)) if known is not None and has_failed else None,
            "account_id": None if caller is None else caller.account_id,
            "key_hash": None if caller is None else caller.key_hash,
            "client": client,
            "generation_id": None if known is None else known.generation_id,
            "request_id": request_id,
            "duration_ms": duration_ms,
        }
        write_line("request rejected", fields, "warning" if has_failed else "info")


def _report_left_out(count: int) -> None:
    log.warning("more requests rejected", count=count, window_s=_WINDOW_S)


def _report_connections_left_out(count: int) -> None:
    log.info("more connections rejected", count=count, window_s=_WINDOW_S)
