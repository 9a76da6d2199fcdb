"""The inference operations: `/chat/completions`, `/completions`, `/embeddings`.

The answer of a call is written after its cost is committed; the headers and the usage carry it. A
client that would not wait so long is shown before that the call is alive: see `web.keep_alive`.
"""

import asyncio

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.metering.generations import HEADER_MAX_CHARS, Origin, StoredAnswer
from modelgates_server.core.metering.request import Api, InferenceRequest
from modelgates_server.core.money import Pico, format_pico, parse_pico
from modelgates_server.dialects.openai_chat.request import parse_request
from modelgates_server.service.calls.call import Call
from modelgates_server.service.calls.registry import CallRequest, CallService
from modelgates_server.web.body import read_json
from modelgates_server.web.error_responses import ErrorResponses
from modelgates_server.web.keep_alive import COMMENT, WHITE_SPACE, KeepAlive, KeepAliveRules
from modelgates_server.web.request import RequestContext
from modelgates_server.web.response import JSON, HttpResponse, ResponseWriter, StreamedResponse

EVENT_STREAM = (b"content-type", b"text/event-stream; charset=utf-8")
_UNBUFFERED = (b"x-accel-buffering", b"no")
"""nginx holds a stream back unless it is told not to."""

_TITLES = (b"x-modelgates-title", b"x-openrouter-title", b"x-title")


class InferenceApi:
    """The operations, over the service. Bodies have at most `body_max_bytes`."""

    def __init__(
        self,
        generations: CallService,
        refusals: ErrorResponses,
        *,
        body_max_bytes: int,
        keep_alive: KeepAliveRules,
    ) -> None:
        self._generations = generations
        self._refusals = refusals
        self._body_max_bytes = body_max_bytes
        self._keep_alive = keep_alive

    async def chat(self, context: RequestContext) -> HttpResponse | StreamedResponse:
        """POST /chat/completions."""
        return await self._answer(Api.CHAT, context)

    async def complete(self, context: RequestContext) -> HttpResponse | StreamedResponse:
        """POST /completions."""
        return await self._answer(Api.COMPLETIONS, context)

    async def embed(self, context: RequestContext) -> HttpResponse | StreamedResponse:
        """POST /embeddings."""
        return await self._answer(Api.EMBEDDINGS, context)

    async def _answer(self, api: Api, context: RequestContext) -> HttpResponse | StreamedResponse:
        body = await read_json(context, self._body_max_bytes)
        # The client's patience begins here, not when the provider is asked.
        arrived_s = asyncio.get_running_loop().time()
        request = _request(context, parse_request(api, body), body)
        begun = await self._generations.begin(context.caller, request)
        if isinstance(begun, StoredAnswer):
            replayed = (b"idempotent-replayed", b"true")
            return HttpResponse(200, begun.body, [JSON, _id_header(begun.generation_id), replayed])
        begun.client_has_left = context.client_has_left
        if request.demand.stream:
            return self._stream(begun, arrived_s)
        user_agent = context.headers.get(b"user-agent", b"")
        if self._keep_alive.covers_plain(user_agent, context.http_version):
            return self._plain_kept_alive(begun, context.caller.account_id, arrived_s)
        try:
            return await _plain(begun)
        finally:
            await begun.close()

    def _stream(self, begun: Call, arrived_s: float) -> StreamedResponse:
        """Begins when the provider's answer does, or with a comment when that takes too long."""

        async def run(writer: ResponseWriter) -> None:
            try:
                async with self._signs(writer, COMMENT, arrived_s):
                    await begun.open()
                    await writer.start()
                    await begun.stream(writer.write, self._refusals.shown)
            except BaseException:
                await begun.close()
                raise

        def broken(error: Exception) -> bytes:
            return begun.error_end(self._refusals.shown(error))

        headers = [EVENT_STREAM, _UNBUFFERED, _id_header(begun.generation.id)]
        return StreamedResponse(headers, run, broken, begun.close)

    def _plain_kept_alive(self, begun: Call, account_id: str, arrived_s: float) -> StreamedResponse:
        """An ordinary answer, or, when it takes too long, one that begins with white space."""

        async def run(writer: ResponseWriter) -> HttpResponse | None:
            try:
                async with self._signs(writer, WHITE_SPACE, arrived_s):
                    reply = await _plain(begun)
            except BaseException:
                await begun.close()
                raise
            if not writer.started:
                return reply
            await writer.write(reply.body)
            return None

        def broken(error: Exception) -> bytes:
            told = {"error": self._refusals.shown(error), "user_id": account_id}
            return msgspec.json.encode(told)

        headers = [JSON, _UNBUFFERED, _id_header(begun.generation.id)]
        return StreamedResponse(headers, run, broken, begun.close)

    def _signs(self, writer: ResponseWriter, sign: bytes, arrived_s: float) -> KeepAlive:
        return KeepAlive(writer, sign, every_s=self._keep_alive.every_s, since_s=arrived_s)


async def _plain(begun: Call) -> HttpResponse:
    await begun.open()
    answer = await begun.answer()
    cost = format_pico(begun.generation.cost_pico).encode()
    headers = [JSON, _id_header(begun.generation.id), (b"x-modelgates-cost", cost)]
    return HttpResponse(200, answer, headers)


def _request(context: RequestContext, demand: InferenceRequest, body: bytes) -> CallRequest:
    headers = context.headers
    key = context.single_header("Idempotency-Key")
    if key is not None and not 1 <= len(key) <= HEADER_MAX_CHARS:
        raise InvalidInput(f"Idempotency-Key must have 1 to {HEADER_MAX_CHARS} bytes")
    return CallRequest(
        demand=demand,
        body=body,
        origin=_origin(context, demand, headers),
        idempotency_key=key,
        max_cost_pico=_max_cost(context),
    )


def _origin(
    context: RequestContext, demand: InferenceRequest, headers: dict[bytes, bytes]
) -> Origin:
    return Origin(
        request_id=context.head.text_id,
        user=demand.user,
        session_id=demand.session_id or _cut(headers, b"x-session-id"),
        title=next(filter(None, (_cut(headers, name) for name in _TITLES)), None),
        referer=_cut(headers, b"http-referer") or _cut(headers, b"referer"),
        user_agent=_cut(headers, b"user-agent"),
    )


def _max_cost(context: RequestContext) -> Pico | None:
    text = context.single_header("X-ModelGates-Max-Cost")
    if text is None:
        return None
    most = parse_pico(text)
    if most < 0:
        raise InvalidInput("X-ModelGates-Max-Cost may not be negative")
    return most


def _cut(headers: dict[bytes, bytes], name: bytes) -> str | None:
    text = _text(headers, name)
    return None if text is None else text[:HEADER_MAX_CHARS]


def _text(headers: dict[bytes, bytes], name: bytes) -> str | None:
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")


def _id_header(generation_id: str) -> tuple[bytes, bytes]:
    return (b"x-generation-id", generation_id.encode())
