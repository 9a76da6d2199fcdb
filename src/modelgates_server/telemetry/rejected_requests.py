"""The access log: a line for each request that is rejected or fails, and none for the others."""

import structlog

from modelgates_server.core.errors import GatewayError
from modelgates_server.core.keys import without_keys
from modelgates_server.service.ports import AuthenticatedKey
from modelgates_server.telemetry.line_budget import LineBudget
from modelgates_server.telemetry.logs import write_line

LINES_MAX_PER_S = 100
_WINDOW_S = 1

_LOGGED = frozenset({401, 402, 403, 413, 429})
_FAILED = 500

log = structlog.get_logger()


class RejectedRequests:
    """Writes up to 100 lines a second, and then the number of those that were left out."""

    def __init__(self) -> None:
        self._budget = LineBudget(LINES_MAX_PER_S, _WINDOW_S, _report_left_out)

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
