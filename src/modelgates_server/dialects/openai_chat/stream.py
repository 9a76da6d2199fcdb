"""Adapts one provider response for the client: server-sent events or a plain body."""

from collections.abc import Iterator
from typing import Any

from modelgates_server.core.errors import ProviderError, ProviderUnavailable
from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.metering.meter import FinishReason, InvalidAnswer
from modelgates_server.core.pricing.catalog import Api, Model
from modelgates_server.dialects.dialect import ErrorReport
from modelgates_server.dialects.json_object import JsonObject
from modelgates_server.dialects.openai_chat.errors import provider_error
from modelgates_server.dialects.openai_chat.exclude_reasoning import without_reasoning
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

_END = b"data: %b\n\ndata: [DONE]\n\n"


class OpenAiChatResponse:
    """See `ResponseAdapter`. A response beyond the limits cannot be genuine and is cut off."""

    def __init__(
        self,
        generation: Generation,
        api: Api,
        model: Model,
        *,
        text_max_bytes: int,
        media_max_bytes: int,
        excludes_reasoning: bool = False,
    ) -> None:
        self._cleaned = without_reasoning if excludes_reasoning else _unchanged
        self.meter = ChatResponseMeter.of(model)
        self.is_done = False
        self.is_over = False
        self._provider = generation.provider
        self._items = "data" if api is Api.EMBEDDINGS else "choices"
        self._fields = gateway_fields(generation)
        self._text_max_bytes = text_max_bytes
        self._media_max_bytes = media_max_bytes
        self._reader = SseReader()
        self._last: JsonObject = {}
        self._is_invalid = False

    def read_answer(self, payload: bytes) -> ProviderError | None:
        """See `ResponseAdapter`."""
        try:
            self._last = self.meter.observe(payload)
        except InvalidAnswer as error:
            raise self._no_answer() from error
        if not has_items(self._last, self._items):
            raise self._reported_error()
        if self.meter.finish_reason is not FinishReason.ERROR:
            return None
        if not self.meter.has_output:
            raise self._failed_end()
        return self._failed_end()

    def answer(self, generation: Generation) -> bytes:
        """See `ResponseAdapter`."""
        return self._cleaned(rewrite_answer(self._last, generation, self.meter))

    def unstreamed_error(self, payload: bytes) -> ProviderError:
        """See `ResponseAdapter`."""
        try:
            self.meter.observe(payload)
        except InvalidAnswer:
            return self._no_answer()
        return self._reported_error()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """See `ResponseAdapter`."""
        try:
            return self._chunks(self._reader.feed(data))
        except SseTooLong:
            raise self._no_answer() from None

    def finish(self) -> Iterator[bytes]:
        """See `ResponseAdapter`. Some servers forget the blank line after the last event."""
        try:
            return self._chunks(self._reader.close())
        except SseTooLong:
            raise self._no_answer() from None

    @property
    def awaits_usage(self) -> bool:
        """See `ResponseAdapter`: some servers report their usage after `[DONE]`."""
        if not self.is_done:
            return False
        reading = self.meter.reading()
        if reading.says_zero_output and not self.meter.has_output:
            return False
        is_old = self.meter.output.text_bytes > self.meter.text_bytes_at_usage
        return not reading.trusted_output or is_old

    def check_end(self) -> None:
        """See `ResponseAdapter`."""
        if self._is_invalid:
            raise self._no_answer()
        if self.meter.error is not None:
            raise self._reported_error()
        if self._is_too_long:
            raise self._unavailable(
                "sent more output than the request allows. If it was reasoning, raise `max_tokens`"
            )
        if not (self.is_done or self.meter.has_ended):
            raise self._unavailable("ended its response before it was complete")
        if self.meter.finish_reason is FinishReason.ERROR:
            raise self._failed_end()

    def end(self, generation: Generation) -> bytes:
        """See `ResponseAdapter`."""
        return _END % usage_chunk(generation, self._last)

    def error_end(self, generation: Generation, error: ErrorReport) -> bytes:
        """See `ResponseAdapter`."""
        return _END % error_chunk(generation, self._last, late_error(error))

    def _chunks(self, events: list[bytes]) -> Iterator[bytes]:
        """Meter events one by one, up to the end of the response, and yield the client's bytes."""
        for payload in events:
            chunk = self._observe_event(payload)
            if chunk is not None:
                yield b"data: %b\n\n" % self._cleaned(chunk)
            elif self.is_over and not self.is_done:
                return

    def _observe_event(self, payload: bytes) -> bytes | None:
        """Meter one event and return its chunk for the client, if it has one."""
        if self.is_done:
            self.meter.observe_usage(payload)
            return None
        if payload == DONE:
            self.is_done = self.is_over = True
            return None
        if not payload:  # some servers send empty events as keep-alives
            return None
        try:
            members = self.meter.observe(payload)
        except InvalidAnswer:
            self._is_invalid = self.is_over = True
            return None
        self._last = members
        if self.meter.error is not None or self._is_too_long:
            self.is_over = True
            return None
        return rewrite_chunk(members, self._fields, self.meter)

    @property
    def _is_too_long(self) -> bool:
        return self.meter.is_beyond(self._text_max_bytes, self._media_max_bytes)

    def _failed_end(self) -> ProviderError:
        """The error for a finish reason that means a failure."""
        word = self.meter.native_finish_reason
        return self._unavailable(f"ended its response with the finish reason {word!r:.80}")

    def _reported_error(self) -> ProviderError:
        error = self.meter.error
        return self._no_answer() if error is None else provider_error(self._provider, error)

    def _no_answer(self) -> ProviderError:
        return self._unavailable("sent an invalid response")

    def _unavailable(self, problem: str) -> ProviderError:
        text = f"The provider `{self._provider}` {problem}."
        return ProviderUnavailable(text, provider=self._provider)


def _unchanged(body: bytes) -> bytes:
    return body


def late_error(error: ErrorReport) -> dict[str, Any]:
    """`error` for a response whose headers are sent: `Retry-After` becomes part of `metadata`."""
    metadata = error.metadata
    if error.retry_after_s is not None:
        metadata = {**(metadata or {}), "retry_after_seconds": error.retry_after_s}
    late: dict[str, Any] = {"message": error.message, "code": error.status}
    return late if metadata is None else {**late, "metadata": metadata}
