"""GET /metrics for clients with its token; without the token, the path does not exist."""

import hmac

from modelgates_server.telemetry.metrics import EXPOSITION_TYPE, Metrics
from modelgates_server.web.errors import UnknownPath
from modelgates_server.web.request import RequestContext
from modelgates_server.web.response import PRIVATE, HttpResponse


class MetricsApi:
    """Serves the metrics of this process; without a `token`, no client can read them."""

    def __init__(self, token: str | None, metrics: Metrics) -> None:
        self._token = token
        self._metrics = metrics

    async def show(self, context: RequestContext) -> HttpResponse:
        """GET /metrics."""
        given = context.head.bearer_token()
        if not self._token or not hmac.compare_digest(given, self._token.encode()):
            raise UnknownPath
        content_type = (b"content-type", EXPOSITION_TYPE.encode())
        return HttpResponse(200, await self._metrics.exposition(), [content_type], PRIVATE)
