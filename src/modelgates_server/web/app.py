"""The ASGI application: find the operation, admit the caller, answer; refusals have one way out."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import structlog

from modelgates_server.core.errors import GatewayError, NotPermitted, StoreUnavailable
from modelgates_server.core.keys import KeyKind
from modelgates_server.service.keys import KeyRing
from modelgates_server.web.errors import HttpRefusal, error_body
from modelgates_server.web.head import Head, Headers
from modelgates_server.web.metrics import Metrics
from modelgates_server.web.operations import (
    INFERENCE,
    BodyRoom,
    Call,
    Methods,
    Operation,
    Paths,
)
from modelgates_server.web.refusals import Refusals
from modelgates_server.web.reply import (
    JSON,
    Receive,
    Reply,
    Scope,
    Send,
    Stream,
    send_reply,
    send_stream,
)

log = structlog.get_logger()

Lifespan = Callable[[], AbstractAsyncContextManager[None]]

_NO_OPERATION = "none"


class App:
    """Serves a table of operations. `lifespan` is entered before the first request."""

    def __init__(
        self,
        operations: list[Operation],
        keys: KeyRing,
        metrics: Metrics,
        refusals: Refusals,
        lifespan: Lifespan,
        bodies_max_bytes: int,
    ) -> None:
        self._paths = Paths(operations)
        self._keys = keys
        self._metrics = metrics
        self._refusals = refusals
        self._lifespan = lifespan
        self._room = BodyRoom(bodies_max_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        call = Call(scope, receive, Head(scope["headers"]), self._room)
        try:
            operation_id, reply = await self._answer(scope, call)
            self._metrics.count_request(operation_id, reply.status)
            if isinstance(reply, Stream):
                await send_stream(send, call.head, reply)
            else:
                await send_reply(send, call.head, reply)
        finally:
            call.close()

    async def _answer(self, scope: Scope, call: Call) -> tuple[str, Reply | Stream]:
        operation_id = _NO_OPERATION
        try:
            methods, scope["path_params"] = self._paths.find(scope["path"])
            if scope["method"] == "OPTIONS":
                return operation_id, _preflight(methods, scope["headers"])
            operation = _choose(methods, scope["method"])
            operation_id = operation.id
            if operation.kinds:
                await self._admit(call, operation)
            return operation_id, await operation.answer(call)
        except (GatewayError, HttpRefusal) as refusal:
            return operation_id, self._refusal(refusal, call)
        except asyncio.CancelledError:
            # The grace after SIGTERM is over; the server is about to let go of the connection.
            return operation_id, self._refusal(StoreUnavailable("the server is stopping"), call)
        except Exception as error:
            log.exception("request failed", operation=operation_id, request_id=call.head.text_id)
            return operation_id, self._refusal(error, call)

    async def _admit(self, call: Call, operation: Operation) -> None:
        call.token = call.head.bearer_token()
        call.known_caller = caller = await self._keys.identify(call.token)
        if caller.kind not in operation.kinds:
            raise NotPermitted(_not_permitted(operation, caller.kind))

    def _refusal(self, error: Exception, call: Call) -> Reply:
        status, message, headers, metadata = self._refusals.describe(error)
        if status == 503:  # noqa: PLR2004
            log.warning("request refused", reason=str(error), request_id=call.head.text_id)
        caller = call.known_caller
        user_id = None if caller is None else caller.account_id
        return Reply(status, error_body(status, message, user_id, metadata), [JSON, *headers])

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


def _not_permitted(operation: Operation, kind: KeyKind) -> str:
    if operation.kinds == INFERENCE:
        return f"{kind.capitalize()} keys cannot call models. Create an inference key."
    return "Only management keys can perform this operation"


def _choose(methods: Methods, method: str) -> Operation:
    operation = methods.get("GET" if method == "HEAD" else method)
    if operation is None:
        raise HttpRefusal(405, "Method not allowed", [(b"allow", _allowed(methods))])
    return operation


def _allowed(methods: Methods) -> bytes:
    names = {*methods, "OPTIONS", *(["HEAD"] if "GET" in methods else [])}
    return ", ".join(sorted(names)).encode()


def _preflight(methods: Methods, headers: Headers) -> Reply:
    """CORS: what the browser asks for is allowed; a bare `*` would not cover Authorization."""
    asked = b"authorization, content-type"
    for name, value in headers:
        if name == b"access-control-request-headers" and value:
            asked = value
    allowed = _allowed(methods)
    return Reply(
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
