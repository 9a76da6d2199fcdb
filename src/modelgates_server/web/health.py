"""/healthz: the process answers. /readyz: every part it needs works, or which one does not."""

import msgspec
import structlog

from modelgates_server.core.errors import StoreUnavailable
from modelgates_server.service.ports import Store
from modelgates_server.web.operations import Call
from modelgates_server.web.reply import Reply

log = structlog.get_logger()


class Health:
    """The two checks. Details of trouble go to the log: these paths are public."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def live(self, _: Call) -> Reply:
        """GET /healthz."""
        return Reply(200, b'{"status":"ok"}')

    async def ready(self, _: Call) -> Reply:
        """GET /readyz: 200, or 503 naming the part."""
        parts = {"database": "ok"}
        try:
            await self._store.ping()
        except StoreUnavailable as error:
            parts["database"] = "unavailable"
            log.warning("not ready", part="database", reason=str(error))
        ready = set(parts.values()) == {"ok"}
        body = {"status": "ok" if ready else "unavailable", "parts": parts}
        return Reply(200 if ready else 503, msgspec.json.encode(body))
