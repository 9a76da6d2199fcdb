"""The ASGI application: finds the route, admits the caller, responds, and reports all errors."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import msgspec
import structlog

from modelgates_server.core.errors import GatewayError, NotPermitted, Stopping
from modelgates_server.core.keys import KeyKind
from modelgates_server.service.keys import KeyService
from modelgates_server.telemetry.rejected_requests import RejectedRequests
from modelgates_server.web.body_budget import BodyBudget
from modelgates_server.web.error_responses import ErrorResponses
from modelgates_server.web.errors import HttpError, UnknownPath
from modelgates_server.web.head import Headers, RequestHead
from modelgates_server.web.pages.negotiation import KnownHosts
from modelgates_server.web.request import ON_CONNECTION_REJECTED, RequestContext
from modelgates_server.web.response import (
    ALWAYS,
    JSON,
    PRIVATE,
    HttpResponse,
    Receive,
    ResponseWriter,
    Scope,
    Send,
    StreamedResponse,
    send_response,
)
from modelgates_server.web.routing import INFERENCE, Methods, Route, RouteTable
from modelgates_server.web.unknown_paths import UnknownPaths

log = structlog.get_logger()

Lifespan = Callable[[], AbstractAsyncContextManager[None]]
CountRequest = Callable[[str, int], None]

_NO_ROUTE = "none"
_READINESS = "get-readiness"
_OK = 200
_REJECTED = 400


class App:
    """Serves a table of routes.

    `hosts` know the server's address for clients. `lifespan` is entered before the first request.
    `count_request` receives the route's id and the status of each response. `rejections` logs them,
    unless the app serves requests of another one.
    """

    def __init__(
        self,
        routes: list[Route],
        keys: KeyService,
        count_request: CountRequest,
        error_responses: ErrorResponses,
        lifespan: Lifespan,
        budget: BodyBudget,
        hosts: KnownHosts,
        rejections: RejectedRequests | None = None,
    ) -> None:
        self.routes = routes
        self._unknown_paths = UnknownPaths(routes, hosts)
        self._table = RouteTable(routes)
        self._keys = keys
        self._count_request = count_request
        self._error_responses = error_responses
        self._lifespan = lifespan
        self._budget = budget
        self._rejections = rejections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3."""
        if scope["type"] == "lifespan":
            if self._rejections is not None:
                scope.setdefault("state", {})[ON_CONNECTION_REJECTED] = (
                    self._rejections.of_connection
                )
            await self._live(receive, send)
            return
        context = RequestContext(scope, receive, RequestHead(scope["headers"]), self._budget)
        began_at_s = asyncio.get_running_loop().time()
        try:
            route_id, answer = await self._answer(scope, context)
            if isinstance(answer, StreamedResponse):
                response = await self._stream(send, context, route_id, answer)
            else:
                response = answer
            if response is not None:
                self._count_request(route_id, response.status)
                if response.status >= _REJECTED:
                    self._log_rejected(scope, context, route_id, response.status, began_at_s)
                await send_response(send, context.head, response)
        finally:
            context.close()

    async def _answer(
        self, scope: Scope, context: RequestContext
    ) -> tuple[str, HttpResponse | StreamedResponse]:
        route_id = _NO_ROUTE
        try:
            methods, scope["path_params"] = self._table.find(
                scope["path"], scope.get("raw_path", b"")
            )
            if scope["method"] == "OPTIONS":
                return route_id, _preflight(methods, scope["headers"])
            route = _choose(methods, scope["method"])
            route_id, context.dialect, context.path = route.id, route.dialect, route.path
            if route.kinds:
                await self._admit(context, route)
            return route_id, await route.answer(context)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - reported and logged
            return route_id, self._error_response(_to_report(error, route_id, context), context)

    async def _stream(
        self, send: Send, context: RequestContext, route_id: str, stream: StreamedResponse
    ) -> HttpResponse | None:
        """Send a response while it is written; return another one to send if nothing was written.

        A stream is counted as a 200 when its head is sent. A later failure is reported within it.
        """
        headers = [(b"x-request-id", context.head.request_id), *ALWAYS]
        writer = ResponseWriter(send, headers, lambda: self._count_request(route_id, _OK))
        try:
            return await stream.run(writer)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - reported and logged
            reported = _to_report(error, route_id, context)
            if not writer.started:
                return self._error_response(reported, context)
            await writer.fail(self._error_responses.report(reported, context.head.text_id))
            return None

    async def _admit(self, context: RequestContext, route: Route) -> None:
        context.token = context.head.key()
        context.known_caller = caller = await self._keys.identify(context.token)
        if caller.kind not in route.kinds:
            raise NotPermitted(_not_permitted(route, caller.kind))

    def _error_response(self, error: Exception, context: RequestContext) -> HttpResponse:
        context.error = error
        report, headers = self._error_responses.response(error, context.head.text_id)
        if isinstance(error, UnknownPath):
            message = self._unknown_paths.message(context)
            report = msgspec.structs.replace(report, message=message)
        caller = context.known_caller
        user_id = None if caller is None else caller.account_id
        body = context.dialect.error_body(report, user_id)
        if context.dialect.request_id_header is not None:
            headers = [*headers, (context.dialect.request_id_header, context.head.request_id)]
        return HttpResponse(context.dialect.status(report), body, [JSON, *headers])

    def _log_rejected(
        self, scope: Scope, context: RequestContext, route_id: str, status: int, began_at_s: float
    ) -> None:
        # Changes of readiness are logged by its parts, and it is checked every few seconds.
        if self._rejections is None or route_id == _READINESS:
            return
        if not self._rejections.admits(status):
            return
        client = scope.get("client")
        self._rejections.write(
            operation=route_id,
            method=scope["method"],
            path=context.path,
            status=status,
            error=context.error,
            caller=context.known_caller,
            client=client[0] or None if client else None,
            request_id=context.head.text_id,
            duration_ms=round((asyncio.get_running_loop().time() - began_at_s) * 1000),
        )

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            async with self._lifespan():
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except GatewayError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
        except asyncio.CancelledError:
            # A second SIGINT: the server stops waiting, but the lifespan has ended in good order.
            return
        else:
            await send({"type": "lifespan.shutdown.complete"})


def _to_report(error: BaseException, route_id: str, context: RequestContext) -> Exception:
    """The error that the client sees; bugs are logged."""
    if isinstance(error, asyncio.CancelledError):
        # The grace period after SIGTERM is over; the server is about to drop the connection.
        return Stopping("The server is stopping.")
    assert isinstance(error, Exception)
    if not isinstance(error, GatewayError | HttpError):
        log.error(
            "request failed",
            operation=route_id,
            request_id=context.head.text_id,
            exc_info=error,
        )
    return error


def _not_permitted(route: Route, kind: KeyKind) -> str:
    if route.kinds == INFERENCE:
        return f"{kind.capitalize()} keys cannot call models. Create an inference key."
    return "Only management keys can perform this operation"


def _choose(methods: Methods, method: str) -> Route:
    route = methods.get("GET" if method == "HEAD" else method)
    if route is None:
        allowed = _allowed(methods)
        message = f"Method not allowed: {method}. Use one of: {allowed.decode()}."
        raise HttpError(405, message, [(b"allow", allowed)])
    return route


def _allowed(methods: Methods) -> bytes:
    names = {*methods, "OPTIONS", *(["HEAD"] if "GET" in methods else [])}
    return ", ".join(sorted(names)).encode()


def _preflight(methods: Methods, headers: Headers) -> HttpResponse:
    """CORS: allow the headers the browser asks for; a bare `*` would not cover Authorization."""
    if not all(route.is_cross_origin for route in methods.values()):
        return HttpResponse(204, b"", [(b"allow", _allowed(methods))], PRIVATE)
    requested_headers = b"authorization, x-api-key, api-key, content-type"
    for name, value in headers:
        if name == b"access-control-request-headers" and value:
            requested_headers = value
    allowed = _allowed(methods)
    return HttpResponse(
        204,
        b"",
        [
            (b"allow", allowed),
            (b"access-control-allow-methods", allowed),
            (b"access-control-allow-headers", requested_headers),
            (b"access-control-max-age", b"86400"),
            (b"vary", b"access-control-request-headers"),
        ],
    )
