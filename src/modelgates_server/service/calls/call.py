"""One metered call on its way: from its hold to its provider, through the answer, to its end.

A call is run by one task. Others may look at it (`heartbeat`) and tell it that its client has left.
Whatever happens on the way, `_end` is reached once, and with it the end of the hold.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import msgspec

from modelgates_server.core.errors import (
    GatewayError,
    ProviderError,
    ProviderUnavailable,
    Stopping,
)
from modelgates_server.core.metering.generations import Attempt, Generation, StoredAnswer
from modelgates_server.core.metering.meter import FinishReason, InvalidAnswer
from modelgates_server.core.metering.request import Api, InferenceRequest
from modelgates_server.core.metering.settlement import checkpoint, settle
from modelgates_server.core.pricing.catalog import Model
from modelgates_server.core.pricing.prices import Price
from modelgates_server.dialects.json_object import JsonObject
from modelgates_server.dialects.openai_chat.errors import provider_error, provider_error_of_body
from modelgates_server.dialects.openai_chat.meter import ChatResponseMeter
from modelgates_server.dialects.openai_chat.response import (
    DONE,
    error_chunk,
    gateway_fields,
    has_items,
    rewrite_answer,
    rewrite_chunk,
    usage_chunk,
)
from modelgates_server.dialects.sse import SseReader, SseTooLong
from modelgates_server.service.calls.stream_tail import TAIL_MAX_S, misses_usage, read_tail
from modelgates_server.service.ports import Clock, PendingSettlement, Provider, ProviderReply

ANSWER_MAX_BYTES = 64 * 1024 * 1024
STORED_ANSWER_MAX_BYTES = 1024 * 1024
"""A larger answer is not kept for repeats: a day of them would fill the database."""

_REFUSAL_MAX_BYTES = 64 * 1024
_BYTES_PER_TOKEN_MAX = 32
_OUTPUT_SLACK_BYTES = 64 * 1024
"""More text than honest tokens hold, on average: a stream beyond that is cut."""

_OK = 200
_END = b"data: %b\n\ndata: [DONE]\n\n"

Write = Callable[[bytes], Awaitable[None]]
ShowError = Callable[[GatewayError], dict[str, Any]]
CommitEnd = Callable[["Call", PendingSettlement], Awaitable[None]]

replace = msgspec.structs.replace


class Call:
    """A call that has its hold. `open` it, then take the `answer` or `stream` it, then `close` it.

    `client_has_left` tells whether anybody still reads; `body` is what goes to the provider.
    `commit_end` commits the end, or keeps it until it can be.
    """

    def __init__(
        self,
        generation: Generation,
        demand: InferenceRequest,
        model: Model,
        price: Price,
        provider: Provider,
        body: bytes,
        *,
        commit_end: CommitEnd,
        clock: Clock,
    ) -> None:
        self.generation = generation
        self.provider_done_ms = generation.created_at_ms
        self.client_has_left: Callable[[], bool] = lambda: False
        self._demand = demand
        self._model = model
        self._price = price
        self._provider = provider
        self._body = body
        self._settle_now = commit_end
        self._clock = clock
        self._observed = ChatResponseMeter.of(self._model)
        self._ours = gateway_fields(generation)
        tokens_max = generation.completion_tokens_max
        said_bytes = _OUTPUT_SLACK_BYTES + _BYTES_PER_TOKEN_MAX * tokens_max
        self._output_max_bytes = said_bytes + demand.echo_bytes
        self._reply: ProviderReply | None = None
        self._chunks: AsyncIterator[bytes] | None = None
        self._started_at_ms: int | None = None
        self._first_byte_at_ms: int | None = None
        self._last: JsonObject = {}
        self._done = False
        self._broken: InvalidAnswer | None = None
        self._write: Write | None = None
        self._client_left_at_ms: int | None = None
        self._abandoned = False
        self._settled = False

    async def open(self) -> None:
        """Send the request; raises the provider's refusal once the hold is void."""
        self._started_at_ms = self._clock()
        try:
            self._reply = await self._provider.send(self._demand.api, self._body)
            await self._check_head(self._reply)
        except asyncio.CancelledError:
            raise await self._fail(Stopping("The server is stopping.")) from None
        except GatewayError as error:
            await self._fail(error)
            raise

    async def answer(self) -> bytes:
        """The whole answer, once it is paid for; raises what went wrong, once the hold is void."""
        assert self._reply is not None, "an answer comes after `open`"
        try:
            payload = await self._reply.read(ANSWER_MAX_BYTES)
            self._first_byte_at_ms = self._clock()
            members = self._observed.observe(payload)
            self._check_answer(members)
        except asyncio.CancelledError:
            raise await self._fail(Stopping("The server is stopping.")) from None
        except InvalidAnswer as error:
            raise await self._fail(self._no_answer()) from error
        except GatewayError as error:
            await self._fail(error)
            raise
        body = b""

        def kept(generation: Generation) -> StoredAnswer | None:
            nonlocal body
            body = rewrite_answer(members, generation, self._observed)
            if generation.idempotency is None or len(body) > STORED_ANSWER_MAX_BYTES:
                return None
            return StoredAnswer(generation.account_id, generation.id, body, self._clock())

        # What was said is handed on and charged, also where the provider says that it failed.
        await self._end(self._finish_failure(), kept)
        return body

    async def stream(self, write: Write, show_error: ShowError) -> None:
        """Hand the answer on as it comes; what ends it is written after the commit.

        Goes on when the client has left, for the usage that comes at the end. A failure becomes a
        chunk of its own, as `show_error` says it.
        """
        self._write = write
        failure = await self._relay()
        await self._end(failure)
        if failure is None:
            await write(_END % usage_chunk(self.generation, self._last))
        else:
            await write(self.error_end(show_error(failure)))

    def error_end(self, error: dict[str, Any]) -> bytes:
        """The end of a stream that failed, with what it cost; comes after the commit."""
        return _END % error_chunk(self.generation, self._last, error)

    async def close(self) -> None:
        """Let go of the provider's connection; one that has only its end to send may be reused.

        A call that a mistake of ours has stopped on its way is settled here.
        """
        if not self._settled:
            await self._settle_mistake(GatewayError("failed within the gateway"))
        if self._reply is None:
            return
        if self._done and self._chunks is not None:
            try:
                async with asyncio.timeout(TAIL_MAX_S):
                    async for _ in self._chunks:
                        pass
            except (GatewayError, TimeoutError):
                pass  # the answer was whole; the connection is closed below
        self._reply.close()

    async def _settle_mistake(self, failure: GatewayError) -> None:
        """What a stream has handed on was had; a plain answer was not."""
        try:
            await (self._end(failure) if self._demand.stream else self._fail(failure))
        except Exception:
            # Even what was seen cannot be settled. Nothing is charged, but the hold must end.
            await self._fail(failure)
            raise

    def stop_draining(self, now_ms: int, drain_ms: int) -> None:
        """Stop reading for a client that was seen to have left so long ago."""
        if not self.client_has_left():
            return
        if self._client_left_at_ms is None:
            self._client_left_at_ms = now_ms
        if now_ms - self._client_left_at_ms >= drain_ms and self._reply is not None:
            self._abandoned = self._reply.status == _OK  # a refusal costs nothing, read or not
            self._reply.close()

    @property
    def checkpoint(self) -> Generation:
        """The generation with the cost of what has come so far."""
        media_tokens = self._model.media_tokens
        return checkpoint(self.generation, self._price, self._demand, self._observed, media_tokens)

    async def _check_head(self, reply: ProviderReply) -> None:
        if reply.status != _OK:
            try:
                body = await reply.read(_REFUSAL_MAX_BYTES)
            except ProviderError:
                body = b""  # cut, or a page too large to be an error of this API: the status tells
            raise provider_error_of_body(
                self.generation.provider, reply.status, body, reply.retry_after_s
            )
        if self._demand.stream and not reply.is_stream:
            body = await reply.read(_REFUSAL_MAX_BYTES)
            observed = ChatResponseMeter()
            try:
                observed.observe(body)
            except InvalidAnswer:
                raise self._no_answer() from None
            raise self._no_answer() if observed.error is None else self._own_error(observed.error)

    def _check_answer(self, members: JsonObject) -> None:
        """An error in an answer of status 200, or no answer at all."""
        name = "data" if self._demand.api is Api.EMBEDDINGS else "choices"
        if not has_items(members, name):
            error = self._observed.error
            raise self._no_answer() if error is None else self._own_error(error)
        if not self._observed.has_output and (failure := self._finish_failure()):
            raise failure

    def _finish_failure(self) -> GatewayError | None:
        """What the provider's own word for the end says, where it says that it failed."""
        if self._observed.finish_reason is not FinishReason.ERROR:
            return None
        name, word = self.generation.provider, self._observed.native_finish_reason
        return ProviderUnavailable(
            f"{name} ended its answer with the finish reason {word!r:.80}", provider=name
        )

    def _own_error(self, error: Any) -> GatewayError:
        return provider_error(self.generation.provider, error)

    def _no_answer(self) -> GatewayError:
        name = self.generation.provider
        return ProviderUnavailable(f"{name} sent what is no answer", provider=name)

    async def _relay(self) -> GatewayError | None:
        """Read to the end of the answer; returns what went wrong."""
        assert self._reply is not None, "a stream comes after `open`"
        reader = SseReader()
        self._chunks = self._reply.chunks()
        try:
            async for data in self._chunks:
                await self._forward(reader.feed(data))
                if self._is_over:
                    break
            else:
                await self._forward(reader.close())
            if self._done and misses_usage(self._observed):
                await read_tail(self._chunks, reader, self._observed)
        except asyncio.CancelledError:
            return Stopping("The server is stopping.")
        except SseTooLong:
            return self._no_answer()
        except GatewayError as error:
            return error
        return self._stream_failure()

    async def _forward(self, events: list[bytes]) -> None:
        assert self._write is not None, "only a running stream writes"
        coming = self._observed_events(events)
        first = asyncio.create_task(self._begin(coming)) if self._first_byte_at_ms is None else None
        try:
            if first is not None:
                # The first word leaves before the others are looked at: one turn to write it, and
                # one for the transport to send it.
                await asyncio.sleep(0)
                await asyncio.sleep(0)
        finally:
            # All is taken note of, however slow the client is to read the first word, and also if
            # we are stopped: the usage may have come with it.
            rest = b"".join(coming)
        if first is not None:
            await first
        if rest:
            await self._write(rest)

    async def _begin(self, coming: Iterator[bytes]) -> None:
        """Write the first word that there is."""
        assert self._write is not None, "only a running stream writes"
        first = next(coming, None)
        if first is not None:
            self._first_byte_at_ms = self._clock()
            await self._write(first)

    def _observed_events(self, events: list[bytes]) -> Iterator[bytes]:
        """Take note of events one by one, up to the end of the answer; what the client gets."""
        for payload in events:
            chunk = self._observe_event(payload)
            if self._is_over and not self._done:
                return
            if chunk is not None:
                yield b"data: %b\n\n" % chunk

    def _observe_event(self, payload: bytes) -> bytes | None:
        """Take note of one event, and give what the client gets of it."""
        if self._done:
            self._observed.observe_usage(payload)  # some servers report it after the end
            return None
        if payload == DONE:
            self._done = True
            return None
        if not payload:  # a sign of life, as some servers send it
            return None
        try:
            members = self._observed.observe(payload)
        except InvalidAnswer as error:
            self._broken = error
            return None
        self._last = members
        return rewrite_chunk(members, self._ours, self._observed)

    @property
    def _is_over(self) -> bool:
        """Whether the end was said, or nothing good can follow."""
        if self._done or self._broken is not None or self._observed.error is not None:
            return True
        return self._observed.is_beyond(self._output_max_bytes, ANSWER_MAX_BYTES)

    def _stream_failure(self) -> GatewayError | None:
        if self._broken is not None:
            return self._no_answer()
        if self._observed.error is not None:
            return self._own_error(self._observed.error)
        name = self.generation.provider
        if self._observed.is_beyond(self._output_max_bytes, ANSWER_MAX_BYTES):
            return ProviderUnavailable(
                f"{name} said more than it was asked for; if that was thinking, raise max_tokens",
                provider=name,
            )
        if self._done or self._observed.has_ended:
            return self._finish_failure()
        return ProviderUnavailable(f"{name} ended its answer before its end", provider=name)

    async def _fail(self, error: GatewayError) -> GatewayError:
        """End a call of which the client has seen nothing; gives the error to raise."""
        if self._reply is not None:
            self._reply.close()
        self._observed = ChatResponseMeter.of(self._model)
        await self._end(error)
        error.generation_id = self.generation.id
        return error

    async def _end(
        self,
        failure: GatewayError | None,
        kept: Callable[[Generation], StoredAnswer | None] = lambda _: None,
    ) -> None:
        """Settle the call. It stays open to others until its end is committed or kept."""
        now_ms = self.provider_done_ms = self._clock()
        error = None if failure is None else failure.code
        ended = settle(
            replace(
                self.generation,
                cancelled=self.client_has_left(),
                attempts=self._attempts(now_ms, error),
            ),
            self._price,
            self._demand,
            self._observed,
            media_tokens=self._model.media_tokens,
            failure=error,
            abandoned=self._abandoned,
            at_ms=now_ms,
        )
        settlement = PendingSettlement(ended, kept(ended))
        self._settled = True
        await self._settle_now(self, settlement)
        self.generation = ended

    def _attempts(self, now_ms: int, error: str | None) -> tuple[Attempt, ...]:
        generation = self.generation
        if self._started_at_ms is None:
            return generation.attempts
        attempt = Attempt(
            provider=generation.provider,
            upstream_model=generation.endpoint_id.partition(":")[2],
            started_at_ms=self._started_at_ms,
            first_byte_at_ms=self._first_byte_at_ms,
            ended_at_ms=now_ms,
            status=None if self._reply is None else self._reply.status,
            upstream_id=self._observed.upstream_id,
            error=error,
        )
        return (*generation.attempts, attempt)
