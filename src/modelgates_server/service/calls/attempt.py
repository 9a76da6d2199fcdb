"""An attempt: one request to one endpoint, and the part of its response received so far.

A fallback replaces it with another attempt, as long as nothing was relayed.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec

from modelgates_server.core.errors import GatewayError, ProviderError, ProviderRefused
from modelgates_server.core.metering.generations import Attempt, Generation
from modelgates_server.core.metering.repairs import Repair, Repairs
from modelgates_server.core.metering.settlement import checkpoint, settle
from modelgates_server.dialects.body_form import BodyForm, body_form
from modelgates_server.dialects.dialect import ResponseAdapter
from modelgates_server.service.calls.admission import AdmittedCall
from modelgates_server.service.calls.body import ANSWER_MAX_BYTES, Body
from modelgates_server.service.calls.outgoing import OutgoingRequest
from modelgates_server.service.ports import Clock, ProviderReply

_ERROR_MAX_BYTES = 64 * 1024
_BYTES_PER_TOKEN_MAX = 32
_OUTPUT_SLACK_BYTES = 64 * 1024
"""A stream with more text per token, plus the slack, is cut: no tokenizer averages that much."""

_OK, _REDIRECTS = 200, 300

replace = msgspec.structs.replace


class _ReportedWords(msgspec.Struct, array_like=True):
    """The parts of a generation that the provider words freely."""

    served_model: str | None
    native_finish_reason: str | None
    service_tier: str | None
    reported: dict[str, Any] | None
    upstream_ids: tuple[str | None, ...]


class RunningAttempt:
    """A request to the endpoint that serves an admitted call, at the price of that endpoint.

    `response` meters the response; `unread` yields chunks that arrived and are not yet relayed.
    `is_drain_stopped` says that the gateway itself ended a response that no client waits for.
    """

    def __init__(self, call: AdmittedCall, clock: Clock) -> None:
        self.unread: Iterator[bytes] = iter(())
        self.response = _adapter(call)
        self._call = call
        self._clock = clock
        self._reply: ProviderReply | None = None
        self._body: Body | None = None
        self._started_at_ms: int | None = None
        self._first_byte_at_ms: int | None = None
        self._repeated: tuple[Attempt, ...] = ()
        self.is_drain_stopped = False
        self._discarded_repairs = Repairs()

    async def open(self) -> None:
        """Send the request and check the response headers; raises the provider's error."""
        call, served = self._call, self._call.served
        request, endpoint = call.pairing.outgoing, served.model.endpoint
        dialect = call.pairing.upstream
        path, headers = dialect.path(request.api), dialect.upstream_headers(request)
        outgoing = OutgoingRequest(
            request, endpoint, dialect, served.price, call.cap_tokens, served.refused
        )
        while True:
            self._reply, self._started_at_ms = None, self._clock()
            self._reply = reply = await served.provider.send(path, outgoing.body, headers)
            if _is_success(reply):
                break
            try:
                error = await reply.read(_ERROR_MAX_BYTES)
            except ProviderError:
                error = b""  # cut, or too large to be an error of this API: the status must do
            if not outgoing.repair(reply.status, error):
                raise dialect.provider_error(
                    endpoint.provider, reply.status, error, reply.retry_after_s
                )
            self._note_repeat()
        outgoing.confirm()
        self._body = Body(endpoint.provider, reply.chunks())
        if reply.status != _OK:
            self.response.meter.repaired(Repair.STATUS_IGNORED)
        if reply.is_compressed:
            self.response.meter.repaired(Repair.DECOMPRESSED)
        if request.stream and not reply.is_stream:
            await self._open_unnamed()

    async def _open_unnamed(self) -> None:
        """Begin a response that is not called a stream: read it whole, unless it is one anyway."""
        if await self._opened.form() is BodyForm.EVENTS:
            self.response.meter.repaired(Repair.CONTENT_TYPE_IGNORED)
        else:
            await self.read_answer()

    def _note_repeat(self) -> None:
        """Record a request that is repeated without a parameter that the provider rejected."""
        self._repeated = self._recorded(self._clock(), ProviderRefused.code)
        self.response.meter.repaired(Repair.REQUEST_REPEATED)
        self.close()

    async def read_answer(self) -> ProviderError | None:
        """Read a whole plain response; see `ResponseAdapter.read_answer`."""
        body, meter = self._opened, self.response.meter
        payload = await body.rest()
        self.note_first_byte()
        assert self._reply is not None
        if (body_form(payload) is BodyForm.EVENTS) != self._reply.is_stream:
            meter.repaired(Repair.CONTENT_TYPE_IGNORED)
        try:
            failure = self.response.read_answer(payload, is_cut=body.broken is not None)
        except ProviderError:
            if body.broken is not None:
                raise body.broken from None
            raise
        if body.broken is not None:
            meter.repaired(Repair.END_MISSING)
        return failure

    def chunks(self) -> AsyncIterator[bytes]:
        """The provider's bytes as they arrive; see `ProviderReply.chunks`."""
        return self._opened.chunks()

    def note_first_byte(self) -> None:
        """Record that the first bytes for the client have arrived, if they are the first."""
        if self._first_byte_at_ms is None:
            self._first_byte_at_ms = self._clock()

    def checkpoint(self) -> Generation:
        """The open generation with the cost so far."""
        call, served = self._call, self._call.served
        # Consuming the chunks meters them, even if the client is slow to read earlier ones.
        self.unread = iter(list(self.unread))
        return self._without_secrets(
            checkpoint(
                call.generation,
                served.price,
                call.pairing.outgoing,
                self.response.meter,
                served.model.media_tokens,
            )
        )

    def settle(self, failure: GatewayError | None, *, cancelled: bool) -> Generation:
        """The ended generation, with this attempt and the cost of everything received."""
        for _ in self.unread:
            pass  # consuming the chunks meters them, even if the client was slow
        now_ms, call, served = self._clock(), self._call, self._call.served
        error = None if failure is None else failure.code
        attempts = (*call.generation.attempts, *self._recorded(now_ms, error))
        return self._without_secrets(
            settle(
                replace(call.generation, cancelled=cancelled, attempts=attempts),
                served.price,
                call.pairing.outgoing,
                self.response.meter,
                media_tokens=served.model.media_tokens,
                failure=error,
                drain_stopped=self.is_drain_stopped,
                at_ms=now_ms,
            )
        )

    def _without_secrets(self, generation: Generation) -> Generation:
        """The generation, in whose words from the provider no secret is left in any encoding."""
        words = _ReportedWords(
            generation.served_model,
            generation.native_finish_reason,
            generation.service_tier,
            generation.reported,
            tuple(attempt.upstream_id for attempt in generation.attempts),
        )
        sent = msgspec.json.encode(words)
        cleaned = self._call.served.provider.redactor.clean_words(sent)
        if cleaned is sent:
            return generation
        words = msgspec.json.decode(cleaned, type=_ReportedWords)
        ids = zip(generation.attempts, words.upstream_ids, strict=True)
        return replace(
            generation,
            served_model=words.served_model,
            native_finish_reason=words.native_finish_reason,
            service_tier=words.service_tier,
            reported=words.reported,
            attempts=tuple(replace(attempt, upstream_id=each) for attempt, each in ids),
        )

    def _recorded(self, now_ms: int, error: str | None) -> tuple[Attempt, ...]:
        """The records of the attempt to store; empty if no request was sent."""
        if self._started_at_ms is None:
            return ()
        endpoint = self._call.served.model.endpoint
        attempt = Attempt(
            provider=endpoint.provider,
            upstream_model=endpoint.upstream_model,
            started_at_ms=self._started_at_ms,
            first_byte_at_ms=self._first_byte_at_ms,
            ended_at_ms=now_ms,
            status=None if self._reply is None else self._reply.status,
            upstream_id=self.response.meter.upstream_id,
            error=error,
        )
        return (*self._repeated, attempt)

    def discard(self) -> None:
        """Drop everything received: the client gets none of it, and is not charged for it."""
        self.unread = iter(())
        self._discarded_repairs += self.response.meter.repairs
        self.response = _adapter(self._call)
        self.close()

    @property
    def repairs(self) -> Repairs:
        """The deviations that were repaired so far, in discarded responses too."""
        return self._discarded_repairs + self.response.meter.repairs

    def stop_draining(self) -> None:
        """Stop reading a response that no client waits for; the part that was read is charged."""
        if self._reply is not None:
            # An error response costs nothing in any case.
            self.is_drain_stopped = _is_success(self._reply)
            self._reply.close()

    def close(self) -> None:
        """Release the provider's connection."""
        if self._reply is not None:
            self._reply.close()

    @property
    def _opened(self) -> Body:
        assert self._body is not None, "a response comes after `open`"
        return self._body


def _is_success(reply: ProviderReply) -> bool:
    return _OK <= reply.status < _REDIRECTS


def _adapter(call: AdmittedCall) -> ResponseAdapter:
    """The adapter from the endpoint's dialect to the client's; equal dialects pass through."""
    generation, pairing = call.generation, call.pairing
    text_max_bytes = _OUTPUT_SLACK_BYTES + _BYTES_PER_TOKEN_MAX * generation.completion_tokens_max
    return pairing.response(
        generation,
        call.served.model,
        text_max_bytes=text_max_bytes + pairing.outgoing.echo_bytes,
        media_max_bytes=ANSWER_MAX_BYTES,
        redactor=call.served.provider.redactor,
    )
