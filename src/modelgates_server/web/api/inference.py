"""The inference operations, such as `/chat/completions` and `/messages`, in any dialect.

The response to a call is written after its cost is committed; the headers and the usage contain it.
Clients that would not wait that long get signs of life before it: see `web.keep_alive`.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from functools import partial

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.metering.generations import HEADER_MAX_CHARS, Origin, StoredAnswer
from modelgates_server.core.metering.request import InferenceRequest
from modelgates_server.core.money import Pico, format_pico, parse_pico
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.service.calls.call import Call, CallScope, CallService
from modelgates_server.service.calls.call_request import CallRequest
from modelgates_server.service.calls.joined import JoinedCall
from modelgates_server.web.body import read_json
from modelgates_server.web.head import Headers
from modelgates_server.web.keep_alive import KeepAlive, KeepAliveRules
from modelgates_server.web.request import RequestContext
from modelgates_server.web.response import JSON, HttpResponse, ResponseWriter, StreamedResponse

EVENT_STREAM = (b"content-type", b"text/event-stream; charset=utf-8")
_UNBUFFERED = (b"x-accel-buffering", b"no")
"""Without this header, nginx buffers a stream."""

_REPLAYED = (b"idempotent-replayed", b"true")

_RETRY_MARK = b"x-stainless-retry-count"
"""OpenAI's and Anthropic's clients send it with every request."""

_RETRY_COUNT = re.compile(rb"0*[1-9][0-9]*")

_UNPRINTABLE = re.compile(rb"[^ -~]")
_LIST_HEADER_MAX_BYTES = 2000

_SHAPING = (b"anthropic-", b"x-modelgates-metadata")
"""Headers whose names start like this may change the response."""

_TITLES = (b"x-modelgates-title", b"x-openrouter-title", b"x-title")


_Answer = HttpResponse | StreamedResponse


class InferenceApi:
    """The inference operations. Bodies have at most `body_max_bytes`."""

    def __init__(
        self,
        calls: CallService,
        *,
        body_max_bytes: int,
        keep_alive: KeepAliveRules,
        allowed_betas: frozenset[str],
    ) -> None:
        self._calls = calls
        self._body_max_bytes = body_max_bytes
        self._keep_alive = keep_alive
        self._allowed_betas = allowed_betas

    def operation(self, api: Api) -> Callable[[RequestContext], Awaitable[_Answer]]:
        """POST to the path of an API, in the dialect of the route."""
        return partial(self._answer, api)

    async def _answer(self, api: Api, context: RequestContext) -> _Answer:
        body = await read_json(context, self._body_max_bytes)
        # The client waits from now on, not only from the request to the provider.
        arrived_s = asyncio.get_running_loop().time()
        headers = context.joined_headers
        inference = context.dialect.parse_request(api, body, headers, self._allowed_betas)
        request = _request(context, inference, body)
        scope = self._calls.call(context.caller, request, context.client_has_left)
        if inference.stream:
            return StreamedResponse(partial(self._stream, context, scope, arrived_s))
        user_agent = context.headers.get(b"user-agent", b"")
        if self._keep_alive.covers_plain(user_agent, context.http_version):
            return StreamedResponse(partial(self._plain_kept_alive, context, scope, arrived_s))
        async with scope as call:
            if isinstance(call, StoredAnswer):
                return _repeated(call, context)
            return await _plain(call, context)

    async def _stream(
        self, context: RequestContext, scope: CallScope, arrived_s: float, writer: ResponseWriter
    ) -> HttpResponse | None:
        """Begin with the provider's response, or with a comment if that takes too long."""
        async with scope as call:
            if isinstance(call, StoredAnswer):
                return _repeated(call, context)
            headers = [EVENT_STREAM, _UNBUFFERED, *_call_headers(call, context)]
            writer.prepare(headers, call.error_end)
            async with self._signs(writer, context.dialect.stream_keep_alive, arrived_s):
                await call.open()
                await writer.start()
                async for piece in call.stream():
                    await writer.write(piece)
            await writer.end()
        return None

    async def _plain_kept_alive(
        self, context: RequestContext, scope: CallScope, arrived_s: float, writer: ResponseWriter
    ) -> HttpResponse | None:
        """An ordinary response, or one that begins with white space if it takes too long."""
        dialect, account_id = context.dialect, context.caller.account_id
        async with scope as call:
            if isinstance(call, StoredAnswer):
                return _repeated(call, context)
            headers = [JSON, _UNBUFFERED, *_call_headers(call, context)]
            writer.prepare(headers, partial(dialect.late_error_body, user_id=account_id))
            async with self._signs(writer, dialect.plain_keep_alive, arrived_s):
                response = await _plain(call, context)
        if not writer.started:
            return response
        await writer.write(response.body)
        await writer.end()
        return None

    def _signs(self, writer: ResponseWriter, sign: bytes, arrived_s: float) -> KeepAlive:
        return KeepAlive(writer, sign, every_s=self._keep_alive.every_s, since_s=arrived_s)


async def _plain(call: Call | JoinedCall, context: RequestContext) -> HttpResponse:
    await call.open()
    answer = await call.answer()
    cost = format_pico(call.generation.cost_pico).encode()
    headers = [JSON, *_call_headers(call, context), (b"x-modelgates-cost", cost)]
    return HttpResponse(200, answer, headers)


def _repeated(answer: StoredAnswer, context: RequestContext) -> HttpResponse:
    headers = [JSON, *_ids(answer.generation_id, context), _REPLAYED]
    return HttpResponse(200, answer.body, headers)


def _call_headers(call: Call | JoinedCall, context: RequestContext) -> Headers:
    headers = _ids(call.generation.id, context)
    if call.generation.omitted:
        headers.append((b"x-modelgates-omitted", _list_header(call.generation.omitted)))
    if call.is_repeat:
        headers.append(_REPLAYED)
    return headers


def _ids(generation_id: str, context: RequestContext) -> Headers:
    headers = [(b"x-generation-id", generation_id.encode())]
    if context.dialect.request_id_header is not None:
        headers.append((context.dialect.request_id_header, context.head.request_id))
    return headers


def _list_header(names: tuple[str, ...]) -> bytes:
    """Names from a request as one header, cut off where it would be too long to be read."""
    text = ", ".join(names).encode("ascii", "replace")
    return _UNPRINTABLE.sub(b"?", text[:_LIST_HEADER_MAX_BYTES])


def _request(context: RequestContext, inference: InferenceRequest, body: bytes) -> CallRequest:
    headers = context.headers
    key = context.single_header("Idempotency-Key")
    if key is not None and not 1 <= len(key) <= HEADER_MAX_CHARS:
        raise InvalidInput(
            f"`Idempotency-Key` must have 1 to {HEADER_MAX_CHARS} bytes, not {len(key)}."
        )
    return CallRequest(
        inference=inference,
        dialect=context.dialect,
        body=body,
        origin=_origin(context, inference, headers),
        idempotency_key=key,
        max_cost_pico=_max_cost(context),
        is_retry=_RETRY_COUNT.fullmatch(headers.get(_RETRY_MARK, b"")) is not None,
        shaping_headers=tuple(pair for pair in headers.items() if pair[0].startswith(_SHAPING)),
    )


def _origin(
    context: RequestContext, inference: InferenceRequest, headers: dict[bytes, bytes]
) -> Origin:
    return Origin(
        request_id=context.head.text_id,
        user=inference.user,
        session_id=inference.session_id or _cut(headers, b"x-session-id"),
        title=next(filter(None, (_cut(headers, name) for name in _TITLES)), None),
        referer=_cut(headers, b"http-referer") or _cut(headers, b"referer"),
        user_agent=_cut(headers, b"user-agent"),
    )


def _max_cost(context: RequestContext) -> Pico | None:
    text = context.single_header("X-ModelGates-Max-Cost")
    if text is None:
        return None
    max_cost_pico = parse_pico(text)
    if max_cost_pico < 0:
        raise InvalidInput(
            f"`X-ModelGates-Max-Cost` must not be negative: {format_pico(max_cost_pico)}. "
            "Give an amount in US dollars."
        )
    return max_cost_pico


def _cut(headers: dict[bytes, bytes], name: bytes) -> str | None:
    text = _text(headers, name)
    return None if text is None else text[:HEADER_MAX_CHARS]


def _text(headers: dict[bytes, bytes], name: bytes) -> str | None:
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")
