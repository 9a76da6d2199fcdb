"""GET /metrics for those who have the token; for others there is no such path."""

import hmac

from modelgates_server.telemetry.metrics import EXPOSITION_TYPE, Metrics
from modelgates_server.web.errors import HttpError
from modelgates_server.web.request import RequestContext
from modelgates_server.web.response import HttpResponse


class MetricsApi:
    """Serves the figures of this process; without a `token` nobody gets them."""

    def __init__(self, token: str | None, metrics: Metrics) -> None:
        self._token = token
        self._metrics = metrics

    async def show(self, context: RequestContext) -> HttpResponse:
        """GET /metrics."""
        given = (context.head.authorization or b"").removeprefix(b"Bearer ")
        if not self._token or not hmac.compare_digest(given, self._token.encode()):
            raise HttpError(404, "Resource not found")
        content_type = (b"content-type", EXPOSITION_TYPE.encode())
        return HttpResponse(200, await self._metrics.exposition(), [content_type])
