"""Adapts one provider response for the client: server-sent events or a plain body."""

from collections.abc import Iterator
from typing import Any

import msgspec

from modelgates_server.core.errors import ProviderError, ProviderUnavailable
from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.metering.meter import FinishReason, InvalidAnswer
from modelgates_server.core.metering.repairs import Repair
from modelgates_server.core.pricing.catalog import Api, Model
from modelgates_server.core.redaction import NO_SECRETS, Redactor
from modelgates_server.dialects.body_form import BodyForm, body_form, without_start
from modelgates_server.dialects.dialect import ErrorReport
from modelgates_server.dialects.json_object import JsonObject
from modelgates_server.dialects.openai_chat.accumulate import Accumulator
from modelgates_server.dialects.openai_chat.choices import tool_call_writer
from modelgates_server.dialects.openai_chat.chunks import ChunkWriter, error_chunk
from modelgates_server.dialects.openai_chat.errors import provider_error
from modelgates_server.dialects.openai_chat.exclude_reasoning import without_reasoning
from modelgates_server.dialects.openai_chat.halves import HalfJoiner
from modelgates_server.dialects.openai_chat.meter import ChatResponseMeter
from modelgates_server.dialects.openai_chat.response import has_items, rewrite_answer
from modelgates_server.dialects.openai_chat.to_chunks import to_chunks
from modelgates_server.dialects.sse import DONE, EVENT_MAX_BYTES, SseReader

_END = b"data: %b\n\ndata: [DONE]\n\n"


class OpenAiChatResponse:
    """See `ResponseAdapter`. A response beyond the limits cannot be genuine and is cut off.

    `choices` is the number of choices that the client requested.
    """

    def __init__(
        self,
        generation: Generation,
        api: Api,
        model: Model,
        *,
        text_max_bytes: int,
        media_max_bytes: int,
        excludes_reasoning: bool = False,
        asks_for_usage: bool = False,
        choices: int = 1,
        redactor: Redactor = NO_SECRETS,
    ) -> None:
        self._cleaned = without_reasoning if excludes_reasoning else _unchanged
        self.meter = ChatResponseMeter.of(model, redactor)
        self.is_done = False
        self.is_over = False
        self._provider = generation.provider
        self._generation_id = generation.id
        self._api = api
        self._items = "data" if api is Api.EMBEDDINGS else "choices"
        self._writer = ChunkWriter(generation, self.meter, asks_for_usage=asks_for_usage)
        self._text_max_bytes = text_max_bytes
        self._media_max_bytes = media_max_bytes
        self._choices = choices
        self._reader = SseReader()
        self._head: bytes | None = b""  # None once the form of the body is known
        self._json: bytearray | None = None  # a JSON body that arrives instead of a stream
        self._last: JsonObject = {}
        self._skipped_bytes = self._bytes_after_cut = 0
        self._is_cut = self._is_plain = False

    def read_answer(self, payload: bytes, *, is_cut: bool = False) -> ProviderError | None:
        """See `ResponseAdapter`."""
        if body_form(payload) is BodyForm.EVENTS:
            self.meter.repaired(Repair.FORM_CHANGED)
            self._read_events(payload, is_cut=is_cut)
        else:
            self._read_json(payload)
        if self.meter.finish_reason is not FinishReason.ERROR:
            return None
        if not self.meter.has_output:
            raise self._failed_end()
        return self._failed_end()

    def answer(self, generation: Generation) -> bytes:
        """See `ResponseAdapter`."""
        return self._cleaned(rewrite_answer(self._last, generation, self.meter))

    def feed(self, data: bytes) -> Iterator[bytes]:
        """See `ResponseAdapter`."""
        if self._head is not None:
            data = self._begin(self._head + data)
        if self._json is not None:
            self._json += data
            if len(self._json) > EVENT_MAX_BYTES:
                self._json.clear()
                self._is_cut = self.is_over = True
            return iter(())
        events = self._reader.feed(data)
        if self._reader.splits or self._reader.is_too_long:
            self._note_deviations(len(data))
        return self._chunks(events)

    def finish(self) -> Iterator[bytes]:
        """See `ResponseAdapter`. Some servers forget the blank line after the last event."""
        if self._json is not None and not self._is_cut:
            return self._finish_json(bytes(self._json))
        if self._is_plain:
            return self._as_stream()
        return self._chunks(self._reader.close())

    @property
    def awaits_usage(self) -> bool:
        """See `ResponseAdapter`: some servers report their usage after `[DONE]`."""
        return self.is_done and not self._has_usage

    def is_whole(self, *, cleanly: bool) -> bool:
        """See `ResponseAdapter`."""
        meter = self.meter
        if self.is_done:
            # Some servers never say why a choice ended. One that does says it of each choice.
            return meter.has_ended or not meter.endings
        if not meter.has_ended:
            return False
        has_all = len(meter.endings) >= self._choices
        if cleanly:
            return has_all or self._has_usage
        return has_all and self._has_usage and not meter.has_resumed

    def check_end(self) -> None:
        """See `ResponseAdapter`."""
        if self.meter.error is not None:
            raise self._reported_error()
        if self._is_cut:
            raise self._unavailable(f"sent a response of more than {EVENT_MAX_BYTES} bytes")
        if self._is_too_long:
            raise self._unavailable(
                "sent more output than the request allows. If it was reasoning, raise `max_tokens`"
            )
        if not self.meter.choices:
            raise self._no_answer()
        if not self.is_whole(cleanly=True):
            raise self._unavailable("ended its response before it was complete")
        if self.meter.finish_reason is FinishReason.ERROR:
            raise self._failed_end()

    def end(self, generation: Generation) -> bytes:
        """See `ResponseAdapter`."""
        return _END % self._writer.usage_chunk(generation, self._last)

    def error_end(self, generation: Generation, error: ErrorReport) -> bytes:
        """See `ResponseAdapter`."""
        return error_end(generation, self._last, error)

    def _read_json(self, payload: bytes) -> None:
        try:
            self._last = self.meter.observe(payload)
        except InvalidAnswer as error:
            raise self._no_answer(payload) from error
        self._is_plain = True
        if not has_items(self._last, self._items):
            raise self._reported_error()

    def _read_events(self, payload: bytes, *, is_cut: bool) -> None:
        """Read a stream that arrived instead of a plain response."""
        whole = Accumulator(
            self._api, lambda index: tool_call_writer(self._generation_id, index, self.meter)
        )
        self.meter.halves = HalfJoiner()
        events = [*self._reader.feed(without_start(payload)), *self._reader.close()]
        self._note_deviations(0)
        for event in events:
            if (members := self._observe_event(event)) is not None:
                whole.add(members)
        self._last = whole.response()
        if not has_items(self._last, self._items):
            raise self._reported_error()
        if self.meter.error is not None:
            raise self._reported_error()
        if self._items == "choices" and not self.is_whole(cleanly=not is_cut):
            raise self._unavailable("ended its response before it was complete")

    def _begin(self, head: bytes) -> bytes:
        """Find out what form the body has; returns the bytes to read, none while it is unknown."""
        form = body_form(head)
        if form is None:
            self._head = head
            return b""
        self._head = None
        if form is BodyForm.JSON:
            self._json = bytearray()
        else:
            self.meter.halves = HalfJoiner()
        return without_start(head)

    def _finish_json(self, payload: bytes) -> Iterator[bytes]:
        """The chunks of a plain response, or of one chunk in each line."""
        lines = payload.splitlines()
        if len(lines) > 1 and all(body_form(line) is BodyForm.JSON for line in lines if line):
            self.meter.repaired(Repair.FORM_CHANGED)
            self.meter.halves = HalfJoiner()
            yield from self._chunks(lines)
            return
        self.meter.repaired(Repair.CONTENT_TYPE_IGNORED)
        self._read_json(payload)
        yield from self._as_stream()

    def _as_stream(self) -> Iterator[bytes]:
        """The chunks of a plain response that was read."""
        self.meter.repaired(Repair.FORM_CHANGED)
        self.is_done = self.is_over = True
        for members in to_chunks(self._last, self._api):
            if (chunk := self._writer.chunk(members)) is not None:
                yield b"data: %b\n\n" % self._cleaned(chunk)

    def _note_deviations(self, size: int) -> None:
        """Count missing blank lines, and stop a stream that does not end after its limit."""
        if self._reader.splits:
            self.meter.repairs[Repair.LINES_SPLIT] += self._reader.splits
            self._reader.splits = 0
        if self._reader.is_too_long:
            # The rest is read for its usage, which the provider bills.
            self._is_cut = True
            self._bytes_after_cut += size
            if self._bytes_after_cut > EVENT_MAX_BYTES:
                self.is_over = True

    def _chunks(self, events: list[bytes]) -> Iterator[bytes]:
        """Meter events one by one, up to the end of the response, and yield the client's bytes."""
        for payload in events:
            chunk = self._client_chunk(payload)
            if chunk is not None:
                yield b"data: %b\n\n" % self._cleaned(chunk)
            elif self.is_over and not self.is_done:
                return

    def _client_chunk(self, payload: bytes) -> bytes | None:
        """Meter one event and return its chunk for the client, if it has one."""
        members = self._observe_event(payload)
        if members is None:
            return None
        if self.meter.error is not None or self._is_too_long:
            self.is_over = True
            return None
        return None if self._is_cut else self._writer.chunk(members)

    def _observe_event(self, payload: bytes) -> JsonObject | None:
        """Meter one event and return its fields; None for data that is not a chunk."""
        if self.is_done:
            self.meter.observe_usage(payload)
            return None
        if payload == DONE:
            self.is_done = self.is_over = True
            return None
        try:
            self._last = self.meter.observe(payload)
        except InvalidAnswer as error:
            is_json = isinstance(error.__cause__, msgspec.ValidationError)
            self._skip(payload, is_chunk=is_json and payload.lstrip().startswith(b"{"))
            return None
        return self._last

    def _skip(self, payload: bytes, *, is_chunk: bool) -> None:
        """Pass over data that cannot be read, such as a keep-alive."""
        if payload.strip() == DONE:
            self.is_done = self.is_over = True
            return
        self.meter.repaired(Repair.CHUNK_DROPPED if is_chunk else Repair.DATA_SKIPPED)
        self._skipped_bytes += len(payload)
        if self._skipped_bytes > EVENT_MAX_BYTES:
            self._is_cut = self.is_over = True

    @property
    def _has_usage(self) -> bool:
        """Whether the usage was reported, and covers all output so far."""
        reading = self.meter.reading()
        if reading.says_zero_output and not self.meter.has_output:
            return True
        is_old = self.meter.output.text_bytes > self.meter.text_bytes_at_usage
        return reading.trusted_output and not is_old

    @property
    def _is_too_long(self) -> bool:
        return self.meter.is_beyond(self._text_max_bytes, self._media_max_bytes)

    def _failed_end(self) -> ProviderError:
        """The error for a finish reason that means a failure."""
        word = self.meter.redactor.text(self.meter.native_finish_reason or "")
        return self._unavailable(f"ended its response with the finish reason {word!r:.80}")

    def _reported_error(self) -> ProviderError:
        error = self.meter.error
        return self._no_answer() if error is None else provider_error(self._provider, error)

    def _no_answer(self, payload: bytes | None = None) -> ProviderError:
        is_empty = payload is not None and not payload.strip()
        return self._unavailable(f"sent an {'empty' if is_empty else 'invalid'} response")

    def _unavailable(self, problem: str) -> ProviderError:
        text = f"The provider `{self._provider}` {problem}."
        return ProviderUnavailable(text, provider=self._provider)


def _unchanged(body: bytes) -> bytes:
    return body


def error_end(generation: Generation, last: JsonObject, error: ErrorReport) -> bytes:
    """The last bytes of a stream that failed after its chunk `last`."""
    return _END % error_chunk(generation, last, late_error(error))


def late_error(error: ErrorReport) -> dict[str, Any]:
    """`error` for a response whose headers are sent: `Retry-After` becomes part of `metadata`."""
    metadata = error.metadata
    if error.retry_after_s is not None:
        metadata = {**(metadata or {}), "retry_after_seconds": error.retry_after_s}
    late: dict[str, Any] = {"message": error.message, "code": error.status}
    return late if metadata is None else {**late, "metadata": metadata}
