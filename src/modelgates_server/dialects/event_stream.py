"""The common part of the adapters of Anthropic's Messages and OpenAI's Responses.

The provider speaks the client's dialect, so that all values are kept except the gateway's own. A
subclass meters and rewrites single events; the last ones are held back until the call is charged.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

import msgspec

from modelgates_server.core.errors import ProviderError, ProviderUnavailable
from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.metering.meter import FinishReason, InvalidAnswer, ResponseMeter
from modelgates_server.core.metering.repairs import Repair
from modelgates_server.core.redaction import Redactor
from modelgates_server.dialects.body_form import BodyForm, body_form, without_start
from modelgates_server.dialects.dialect import ErrorReport
from modelgates_server.dialects.sse import DONE, EVENT_MAX_BYTES, SseReader

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def event_bytes(name: str, payload: bytes) -> bytes:
    """An event with its name in a line of its own, which some clients require."""
    if b"\n" in payload or b"\r" in payload:
        payload = msgspec.json.format(payload, indent=-1)
    return b"event: %b\ndata: %b\n\n" % (name.encode(), payload)


class EventStreamResponse(ABC):
    """See `ResponseAdapter`. A response beyond the limits cannot be genuine and is cut off."""

    def __init__(
        self,
        generation: Generation,
        meter: ResponseMeter,
        redactor: Redactor,
        *,
        text_max_bytes: int,
        media_max_bytes: int,
    ) -> None:
        self.meter = meter
        self.is_done = False
        self.is_over = False
        self._generation = generation
        self._redactor = redactor
        self._text_max_bytes = text_max_bytes
        self._media_max_bytes = media_max_bytes
        self._reader = SseReader()
        self._head: bytes | None = b""  # None once the form of the body is known
        self._json: bytearray | None = None  # a JSON body that arrives instead of a stream
        self._skipped_bytes = self._bytes_after_cut = 0
        self._is_cut = False

    @abstractmethod
    def _observe_event(self, payload: bytes) -> bytes:
        """Meter an event; returns the client's version, empty if there is none.

        Sets `is_done` at the end. Raises `InvalidAnswer` if it is not an event of this API.
        """

    @abstractmethod
    def _observe_whole(self, payload: bytes) -> None:
        """Meter a whole plain response; raises `InvalidAnswer` if it is none."""

    @abstractmethod
    def _observe_collected(self, events: Iterable[bytes]) -> None:
        """Meter the events of a stream that came instead of a plain response, and join them."""

    @abstractmethod
    def _whole_as_events(self) -> Iterator[bytes]:
        """The client's events of a plain response that was read, without those at the end."""

    @abstractmethod
    def _reported_error(self) -> ProviderError:
        """The error in `meter.error`."""

    @abstractmethod
    def answer(self, generation: Generation) -> bytes:
        """See `ResponseAdapter`."""

    @abstractmethod
    def end(self, generation: Generation) -> bytes:
        """See `ResponseAdapter`."""

    @abstractmethod
    def error_end(self, generation: Generation, error: ErrorReport) -> bytes:
        """See `ResponseAdapter`."""

    def read_answer(self, payload: bytes, *, is_cut: bool = False) -> ProviderError | None:
        """See `ResponseAdapter`."""
        payload = self._redactor.clean(payload)
        if body_form(payload) is BodyForm.EVENTS:
            self.meter.repaired(Repair.FORM_CHANGED)
            events = [*self._reader.feed(without_start(payload)), *self._reader.close()]
            self._observe_collected(events)
            if self.meter.error is None and not self.is_whole(cleanly=not is_cut):
                raise self._unavailable("ended its response before it was complete")
        else:
            self._read_whole(payload)
        if self.meter.error is not None:
            raise self._reported_error()
        if self.meter.finish_reason is not FinishReason.ERROR:
            return None
        if not self.meter.has_output:
            raise self._failed_end()
        return self._failed_end()

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
        return self._events(events)

    def finish(self) -> Iterator[bytes]:
        """See `ResponseAdapter`."""
        if self._json is not None and not self._is_cut:
            self.meter.repaired(Repair.CONTENT_TYPE_IGNORED)
            self.meter.repaired(Repair.FORM_CHANGED)
            self._read_whole(self._redactor.clean(bytes(self._json)))
            self.is_over = self.is_done = self.meter.error is None
            if self.is_done:
                yield from self._whole_as_events()
            return
        yield from self._events(self._reader.close())

    @property
    def awaits_usage(self) -> bool:
        """See `ResponseAdapter`: the usage comes with the end or not at all."""
        return False

    def is_whole(self, *, cleanly: bool) -> bool:
        """See `ResponseAdapter`. The reason of the end comes together with the usage."""
        del cleanly
        return self.is_done or self.meter.has_ended

    def check_end(self) -> None:
        """See `ResponseAdapter`."""
        if self.meter.error is not None:
            raise self._reported_error()
        if self._is_cut:
            raise self._unavailable(f"sent a response of more than {EVENT_MAX_BYTES} bytes")
        if self._is_too_long:
            raise self._unavailable(
                "sent more output than the request allows. If it was reasoning, raise the limit"
            )
        if not self.meter.choices:
            raise self._unavailable("sent an invalid response")
        if not self.is_whole(cleanly=True):
            raise self._unavailable("ended its response before it was complete")
        if self.meter.finish_reason is FinishReason.ERROR:
            raise self._failed_end()

    def _read_whole(self, payload: bytes) -> None:
        try:
            self._observe_whole(without_start(payload))
        except InvalidAnswer as error:
            problem = "an invalid" if payload.strip() else "an empty"
            raise self._unavailable(f"sent {problem} response") from error

    def _begin(self, head: bytes) -> bytes:
        form = body_form(head)
        if form is None:
            self._head = head
            return b""
        self._head = None
        if form is BodyForm.JSON:
            self._json = bytearray()
        return without_start(head)

    def _events(self, events: Iterable[bytes]) -> Iterator[bytes]:
        """Meter events one by one, up to the end of the response, and yield the client's bytes."""
        for payload in events:
            if self.is_over:
                return
            try:
                event = self._observe_event(self._redactor.clean(payload))
            except InvalidAnswer as error:
                self._skip(payload, error)
                continue
            if self.meter.error is not None or self._is_too_long:
                self.is_over = True
                return
            self.is_over = self.is_done
            if event and not self._is_cut:
                yield event

    def _skip(self, payload: bytes, error: InvalidAnswer) -> None:
        """Pass over data that cannot be read, such as a keep-alive."""
        if payload.strip() == DONE:
            return
        is_json = isinstance(error.__cause__, msgspec.ValidationError)
        self.meter.repaired(Repair.CHUNK_DROPPED if is_json else Repair.DATA_SKIPPED)
        self._skipped_bytes += len(payload)
        if self._skipped_bytes > EVENT_MAX_BYTES:
            self._is_cut = self.is_over = True

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

    @property
    def _is_too_long(self) -> bool:
        return self.meter.is_beyond(self._text_max_bytes, self._media_max_bytes)

    def _failed_end(self) -> ProviderError:
        word = self.meter.native_finish_reason or ""
        return self._unavailable(f"ended its response with the finish reason {word!r:.80}")

    def _unavailable(self, problem: str) -> ProviderError:
        provider = self._generation.provider
        text = f"The provider `{provider}` {problem}."
        return ProviderUnavailable(text, provider=provider)
