"""The ASGI application: find the operation, admit the caller, answer; refusals have one way out."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import structlog

from modelgates_server.core.errors import GatewayError, NotPermitted, Stopping
from modelgates_server.core.keys import KeyKind
from modelgates_server.dialects.dialect import ErrorReport
from modelgates_server.service.keys import KeyService
from modelgates_server.telemetry.metrics import Metrics
from modelgates_server.web.error_responses import ErrorResponses
from modelgates_server.web.errors import HttpError
from modelgates_server.web.head import Headers, RequestHead
from modelgates_server.web.response import (
    ALWAYS,
    JSON,
    HttpResponse,
    Receive,
    ResponseWriter,
    Scope,
    Send,
    StreamedResponse,
    send_reply,
)
from modelgates_server.web.routing import (
    INFERENCE,
    BodyBudget,
    Methods,
    RequestContext,
    Route,
    RouteTable,
)

log = structlog.get_logger()

Lifespan = Callable[[], AbstractAsyncContextManager[None]]

_NO_OPERATION = "none"
_OK = 200


class App:
    """Serves a table of operations. `lifespan` is entered before the first request."""

    def __init__(
        self,
        operations: list[Route],
        keys: KeyService,
        metrics: Metrics,
        refusals: ErrorResponses,
        lifespan: Lifespan,
        bodies_max_bytes: int,
    ) -> None:
        self._paths = RouteTable(operations)
        self._keys = keys
        self._metrics = metrics
        self._refusals = refusals
        self._lifespan = lifespan
        self._room = BodyBudget(bodies_max_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        call = RequestContext(scope, receive, RequestHead(scope["headers"]), self._room)
        try:
            operation_id, answer = await self._answer(scope, call)
            if isinstance(answer, StreamedResponse):
                reply = await self._stream(send, call, operation_id, answer)
            else:
                reply = answer
            if reply is not None:
                self._metrics.count_request(operation_id, reply.status)
                await send_reply(send, call.head, reply)
        finally:
            call.close()

    async def _answer(
        self, scope: Scope, context: RequestContext
    ) -> tuple[str, HttpResponse | StreamedResponse]:
        operation_id = _NO_OPERATION
        try:
            methods, scope["path_params"] = self._paths.find(scope["path"])
            if scope["method"] == "OPTIONS":
                return operation_id, _preflight(methods, scope["headers"])
            operation = _choose(methods, scope["method"])
            operation_id, context.dialect = operation.id, operation.dialect
            if operation.kinds:
                await self._admit(context, operation)
            return operation_id, await operation.answer(context)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - told, and logged
            return operation_id, self._refusal(_told(error, operation_id, context), context)

    async def _stream(
        self, send: Send, context: RequestContext, operation_id: str, stream: StreamedResponse
    ) -> HttpResponse | None:
        """Send an answer as it is written; gives the one to send where nothing of it was written.

        It is counted when its head leaves, as a 200: what fails later is told within the answer.
        """
        headers = [(b"x-request-id", context.head.request_id), *ALWAYS]
        writer = ResponseWriter(
            send, headers, lambda: self._metrics.count_request(operation_id, _OK)
        )
        try:
            return await stream.run(writer)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - told, and logged
            told = _told(error, operation_id, context)
            if not writer.started:
                return self._refusal(told, context)
            await writer.fail(self._refusals.report(told))
            return None

    async def _admit(self, context: RequestContext, operation: Route) -> None:
        context.token = context.head.bearer_token()
        context.known_caller = caller = await self._keys.identify(context.token)
        if caller.kind not in operation.kinds:
            raise NotPermitted(_not_permitted(operation, caller.kind))

    def _refusal(self, error: Exception, context: RequestContext) -> HttpResponse:
        status, message, headers, metadata = self._refusals.describe(error)
        if status == 503:  # noqa: PLR2004
            log.warning("request refused", reason=str(error), request_id=context.head.text_id)
        caller = context.known_caller
        user_id = None if caller is None else caller.account_id
        body = context.dialect.error_body(ErrorReport(status, message, metadata), user_id)
        return HttpResponse(status, body, [JSON, *headers])

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            async with self._lifespan():
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except GatewayError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
        except asyncio.CancelledError:
            # A second SIGINT: the server waits for nobody, yet the lifespan was left in good order.
            return
        else:
            await send({"type": "lifespan.shutdown.complete"})


def _told(error: BaseException, operation_id: str, context: RequestContext) -> Exception:
    """What the client is told of an error; the log has the mistakes that are ours."""
    if isinstance(error, asyncio.CancelledError):
        # The grace after SIGTERM is over; the server is about to let go of the connection.
        return Stopping("The server is stopping.")
    assert isinstance(error, Exception)
    if not isinstance(error, GatewayError | HttpError):
        log.error(
            "request failed",
            operation=operation_id,
            request_id=context.head.text_id,
            exc_info=error,
        )
    return error


def _not_permitted(operation: Route, kind: KeyKind) -> str:
    if operation.kinds == INFERENCE:
        return f"{kind.capitalize()} keys cannot call models. Create an inference key."
    return "Only management keys can perform this operation"


def _choose(methods: Methods, method: str) -> Route:
    operation = methods.get("GET" if method == "HEAD" else method)
    if operation is None:
        raise HttpError(405, "Method not allowed", [(b"allow", _allowed(methods))])
    return operation


def _allowed(methods: Methods) -> bytes:
    names = {*methods, "OPTIONS", *(["HEAD"] if "GET" in methods else [])}
    return ", ".join(sorted(names)).encode()


def _preflight(methods: Methods, headers: Headers) -> HttpResponse:
    """CORS: what the browser asks for is allowed; a bare `*` would not cover Authorization."""
    asked = b"authorization, content-type"
    for name, value in headers:
        if name == b"access-control-request-headers" and value:
            asked = value
    allowed = _allowed(methods)
    return HttpResponse(
        204,
        b"",
        [
            (b"allow", allowed),
            (b"access-control-allow-methods", allowed),
            (b"access-control-allow-headers", asked),
            (b"access-control-max-age", b"86400"),
            (b"vary", b"access-control-request-headers"),
        ],
    )
