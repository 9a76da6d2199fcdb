"""POST /messages/count_tokens: the input tokens of a request. It needs a key, but no credits."""

import msgspec

from modelgates_server.core.pricing.catalog import Api
from modelgates_server.service.calls.token_counts import TokenCounts
from modelgates_server.service.ports import Clock
from modelgates_server.web.body import read_json
from modelgates_server.web.errors import HttpError
from modelgates_server.web.rate_limit import RateLimiter
from modelgates_server.web.request import RequestContext
from modelgates_server.web.response import JSON, HttpResponse

_BURST, _EVERY_MS = 60, 500
_UPPER_BOUND = (b"x-modelgates-token-count", b"upper-bound")


class TokenCountsApi:
    """The operation on token counts. Each key may count twice a second, and 60 times at once."""

    def __init__(
        self,
        counts: TokenCounts,
        clock: Clock,
        *,
        body_max_bytes: int,
        allowed_betas: frozenset[str],
    ) -> None:
        self._counts = counts
        self._limiter = RateLimiter(clock, burst=_BURST, every_ms=_EVERY_MS)
        self._body_max_bytes = body_max_bytes
        self._allowed_betas = allowed_betas

    async def count(self, context: RequestContext) -> HttpResponse:
        """POST /messages/count_tokens."""
        caller = context.caller
        if wait_s := self._limiter.wait_s(caller.key_hash, 1):
            raise HttpError(
                429,
                "Too many requests to count tokens with this key. Wait, or count them locally.",
                [(b"retry-after", b"%d" % wait_s)],
            )
        body = await read_json(context, self._body_max_bytes)
        request = context.dialect.parse_request(
            Api.MESSAGES, body, context.joined_headers, self._allowed_betas
        )
        counted = await self._counts.count(caller.account_id, request)
        headers = [JSON] if counted.is_exact else [JSON, _UPPER_BOUND]
        name = context.dialect.request_id_header
        if name is not None:
            headers.append((name, context.head.request_id))
        return HttpResponse(200, msgspec.json.encode({"input_tokens": counted.tokens}), headers)
