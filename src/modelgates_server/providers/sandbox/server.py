"""Runs the sandbox as a separate server with OpenAI's HTTP API, which accepts any key."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from itertools import count
from typing import Any, cast

import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from modelgates_server.core.pricing.catalog import Api
from modelgates_server.providers.sandbox.models import NAMES, respond
from modelgates_server.providers.sandbox.script import Script, ScriptedError
from modelgates_server.service.ports import Clock

BODY_MAX_BYTES = 32 * 2**20

_CUT = "modelgates.cut"
_GRACE_S = 1
_JSON = (b"content-type", b"application/json")
_EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")
_PATHS = {f"/{api}": api for api in Api}

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class SandboxApp:
    """A plain ASGI 3 application: benchmarks call it and must not measure a framework."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._numbers = count()
        self._models = _models(clock() // 1000)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """See ASGI; lifespan is not supported."""
        try:
            script = await self._script(scope, receive)
        except ScriptedError as refused:
            script = refused.script()
        if script is not None:
            await _play(script, scope, receive, send)

    async def _script(self, scope: Message, receive: Receive) -> Script | None:
        """The response to a request; None if the client has disconnected."""
        method, path = scope["method"], scope["path"].removeprefix("/v1")
        if path == "/models" and method in ("GET", "HEAD"):
            return Script(body=self._models)
        api = _PATHS.get(path)
        if api is None or method != "POST":
            raise ScriptedError(404, f"Unknown operation: {method} {scope['path']!r:.80}.")
        body = await _read(receive)
        if body is None:
            return None
        return respond(api, body, at_ms=self._clock(), number=next(self._numbers))


class SandboxConnection(HttpToolsProtocol):
    """Lets an application cut a response off, which ASGI does not provide for."""

    def on_message_begin(self) -> None:
        """See uvicorn."""
        super().on_message_begin()
        # `close` first sends what was written; a reset would discard some of it.
        cast("Message", self.scope)[_CUT] = self.transport.close


def configuration(clock: Clock, *, host: str, port: int) -> uvicorn.Config:
    """The settings with which uvicorn runs the sandbox."""
    return uvicorn.Config(
        SandboxApp(clock),
        host=host,
        port=port,
        loop="uvloop",
        http=SandboxConnection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_S,
    )


async def _read(receive: Receive) -> bytes | None:
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        pieces = bytearray(body)
        while message.get("more_body"):
            message = await receive()
            pieces += message.get("body", b"")
            if len(pieces) > BODY_MAX_BYTES:
                raise ScriptedError(413, f"The request body is larger than {BODY_MAX_BYTES} bytes.")
        body = bytes(pieces)
    return None if message["type"] == "http.disconnect" else body


async def _play(script: Script, scope: Message, receive: Receive, send: Send) -> None:
    if not (script.head_ms or script.chunk_ms):
        await _write(script, scope, receive, send)
        return
    writing = asyncio.ensure_future(_write(script, scope, receive, send))
    gone = asyncio.ensure_future(receive())
    try:
        await asyncio.wait((writing, gone), return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        scope[_CUT]()  # the server stops, and its grace period is over
    finally:
        writing.cancel()
        gone.cancel()


async def _write(script: Script, scope: Message, receive: Receive, send: Send) -> None:
    if script.head_ms:
        await asyncio.sleep(script.head_ms / 1000)
    headers = [_EVENTS if script.is_stream else _JSON]
    if script.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % script.retry_after_s))
    if isinstance(script.body, bytes):
        headers.append((b"content-length", b"%d" % len(script.body)))
    begin: Message = {"type": "http.response.start", "status": script.status, "headers": headers}
    await send(begin)
    if isinstance(script.body, bytes):
        await send({"type": "http.response.body", "body": script.body})
        return
    for data in script.writes():
        if script.chunk_ms:
            await asyncio.sleep(script.chunk_ms / 1000)
        await send({"type": "http.response.body", "body": data, "more_body": True})
    if script.is_cut:
        scope[_CUT]()
        await receive()  # wait until it is closed: uvicorn would log an incomplete response
    else:
        await send({"type": "http.response.body"})


def _models(created_at_s: int) -> bytes:
    return msgspec.json.encode(
        {
            "object": "list",
            "data": [
                {"id": name, "object": "model", "created": created_at_s, "owned_by": "modelgates"}
                for name in NAMES
            ],
        }
    )
