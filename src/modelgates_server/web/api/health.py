"""/healthz: whether the process runs. /readyz: whether each part works that it depends on."""

import msgspec
import structlog

from modelgates_server.core.errors import StoreUnavailable
from modelgates_server.service.ports import Store
from modelgates_server.web.errors import describe
from modelgates_server.web.request import RequestContext
from modelgates_server.web.response import JSON, HttpResponse

log = structlog.get_logger()


class Health:
    """The two checks. Details of a failure are only logged: these paths are public."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def live(self, _: RequestContext) -> HttpResponse:
        """GET /healthz."""
        return HttpResponse(200, b'{"status":"ok"}')

    async def ready(self, _: RequestContext) -> HttpResponse:
        """GET /readyz: 200, or an error that names the part."""
        try:
            await self._store.ping()
        except StoreUnavailable as error:
            log.warning("not ready", part="database", reason=str(error))
            status, message, headers = describe(error)
            error_body = {"error": {"message": message, "code": status}}
            return HttpResponse(status, _report("unavailable", **error_body), [JSON, *headers])
        return HttpResponse(200, _report("ok"))


def _report(status: str, **error_body: object) -> bytes:
    # The database is the only part so far, so its status is that of the whole server.
    return msgspec.json.encode({**error_body, "status": status, "parts": {"database": status}})
