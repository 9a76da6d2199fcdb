"""/healthz: whether the process runs. /readyz: whether each part works that it depends on."""

import msgspec

from modelgates_server.core.errors import StoreUnavailable
from modelgates_server.service.part_states import PartStates, Status, database_state
from modelgates_server.service.ports import Store
from modelgates_server.web.errors import describe
from modelgates_server.web.request import RequestContext
from modelgates_server.web.response import JSON, HttpResponse

_DATABASE = "database"


class Health:
    """The two checks. Details of a failure are only logged: these paths are public."""

    def __init__(self, store: Store, parts: PartStates) -> None:
        self._store = store
        self._parts = parts

    async def live(self, _: RequestContext) -> HttpResponse:
        """GET /healthz."""
        return HttpResponse(200, b'{"status":"ok"}')

    async def ready(self, _: RequestContext) -> HttpResponse:
        """GET /readyz: 200, or an error that names the parts that do not work."""
        self._parts.report(_DATABASE, await database_state(self._store))
        states = self._parts.states()
        body: dict[str, object] = {
            "status": Status.OK,
            "parts": {part: state.status for part, state in states.items()},
        }
        causes = {part: state.cause for part, state in states.items() if state.cause}
        if causes:
            body["causes"] = causes
        if all(state.status is not Status.UNAVAILABLE for state in states.values()):
            return HttpResponse(200, msgspec.json.encode(body))
        status, message, headers = describe(StoreUnavailable())
        body["error"] = {"message": message, "code": status}
        body["status"] = Status.UNAVAILABLE
        return HttpResponse(status, msgspec.json.encode(body), [JSON, *headers])
