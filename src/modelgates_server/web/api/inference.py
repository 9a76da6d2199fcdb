"""The inference operations: `/chat/completions`, `/completions`, `/embeddings`.

The answer of a call is written after its cost is committed; the headers and the usage carry it.
"""

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.generations import HEADER_MAX_CHARS, Origin, StoredAnswer
from modelgates_server.core.inference import Api, Demand, read_demand
from modelgates_server.core.money import Pico, format_pico, parse_pico
from modelgates_server.service.calls import Call as MeteredCall
from modelgates_server.service.generations import CallRequest, Generations
from modelgates_server.web.body import read_json
from modelgates_server.web.operations import Call
from modelgates_server.web.refusals import Refusals
from modelgates_server.web.reply import JSON, Reply, Stream, Write

EVENT_STREAM = (b"content-type", b"text/event-stream; charset=utf-8")
_UNBUFFERED = (b"x-accel-buffering", b"no")
"""nginx holds a stream back unless it is told not to."""

_TITLES = (b"x-modelgates-title", b"x-openrouter-title", b"x-title")


class InferenceApi:
    """The operations, over the service. Bodies have at most `body_max_bytes`."""

    def __init__(
        self, generations: Generations, refusals: Refusals, *, body_max_bytes: int
    ) -> None:
        self._generations = generations
        self._refusals = refusals
        self._body_max_bytes = body_max_bytes

    async def chat(self, call: Call) -> Reply | Stream:
        """POST /chat/completions."""
        return await self._answer(Api.CHAT, call)

    async def complete(self, call: Call) -> Reply | Stream:
        """POST /completions."""
        return await self._answer(Api.COMPLETIONS, call)

    async def embed(self, call: Call) -> Reply | Stream:
        """POST /embeddings."""
        return await self._answer(Api.EMBEDDINGS, call)

    async def _answer(self, api: Api, call: Call) -> Reply | Stream:
        body = await read_json(call, self._body_max_bytes)
        request = _request(call, read_demand(api, body), body)
        begun = await self._generations.begin(call.caller, request)
        if isinstance(begun, StoredAnswer):
            replayed = (b"idempotent-replayed", b"true")
            return Reply(200, begun.body, [JSON, _id_header(begun.generation_id), replayed])
        begun.client_has_left = call.client_has_left
        if request.demand.stream:
            return await self._stream(begun)
        try:
            await begun.open()
            answer = await begun.answer()
        finally:
            await begun.close()
        cost = format_pico(begun.generation.cost_pico).encode()
        headers = [JSON, _id_header(begun.generation.id), (b"x-modelgates-cost", cost)]
        return Reply(200, answer, headers)

    async def _stream(self, begun: MeteredCall) -> Stream:
        try:
            await begun.open()
        except BaseException:
            await begun.close()
            raise

        async def run(write: Write) -> None:
            await begun.stream(write, self._refusals.shown)

        headers = [EVENT_STREAM, _UNBUFFERED, _id_header(begun.generation.id)]
        return Stream(headers, run, begun.close)


def _request(call: Call, demand: Demand, body: bytes) -> CallRequest:
    headers = call.headers
    key = call.single_header("Idempotency-Key")
    if key is not None and not 1 <= len(key) <= HEADER_MAX_CHARS:
        raise InvalidInput(f"Idempotency-Key must have 1 to {HEADER_MAX_CHARS} bytes")
    return CallRequest(
        demand=demand,
        body=body,
        origin=_origin(call, demand, headers),
        idempotency_key=key,
        max_cost_pico=_max_cost(call),
    )


def _origin(call: Call, demand: Demand, headers: dict[bytes, bytes]) -> Origin:
    return Origin(
        request_id=call.head.text_id,
        user=demand.user,
        session_id=demand.session_id or _cut(headers, b"x-session-id"),
        title=next(filter(None, (_cut(headers, name) for name in _TITLES)), None),
        referer=_cut(headers, b"http-referer") or _cut(headers, b"referer"),
        user_agent=_cut(headers, b"user-agent"),
    )


def _max_cost(call: Call) -> Pico | None:
    text = call.single_header("X-ModelGates-Max-Cost")
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
