"""Meters a response of OpenAI's inference operations, plain or chunk by chunk."""

from typing import Any

import msgspec

from modelgates_server.core.metering.meter import (
    Ending,
    FinishReason,
    InvalidAnswer,
    ResponseMeter,
)
from modelgates_server.core.metering.repairs import Repair
from modelgates_server.core.money import Pico
from modelgates_server.core.pricing.catalog import Model
from modelgates_server.core.pricing.service_tiers import reported_service_tier
from modelgates_server.core.pricing.usage import UsageReading, UsageRules
from modelgates_server.core.redaction import NO_SECRETS, Redactor
from modelgates_server.dialects.body_form import without_start
from modelgates_server.dialects.json_object import JsonObject
from modelgates_server.dialects.json_repair import repair_json
from modelgates_server.dialects.openai_chat.error_shapes import error_in, foreign_error
from modelgates_server.dialects.openai_chat.finish_reasons import is_an_end, known_finish_reason
from modelgates_server.dialects.openai_chat.halves import HalfJoiner
from modelgates_server.dialects.openai_chat.output_meter import OutputMeter
from modelgates_server.dialects.openai_chat.reported_cost import read_cost
from modelgates_server.dialects.openai_chat.usage import add_choices, merge_reports, read_usage

_NULL = msgspec.Raw(b"null")
_TEXT_MAX_CHARS = 255
_CHOICES_MAX = 4096
_MEDIA = frozenset({"image", "audio", "video"})
_UNREADABLE = "unreadable"
_UNREADABLE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_INVALID_NUMBER = b'"NaN"'


class _Choice(msgspec.Struct):
    """A choice in a plain response or a chunk; its content is metered, not kept."""

    index: Any = None
    finish_reason: Any = None
    delta: msgspec.Raw = _NULL
    message: msgspec.Raw = _NULL
    text: msgspec.Raw = _NULL
    usage: msgspec.Raw = _NULL


class _Answer(msgspec.Struct):
    id: Any = None
    model: Any = None
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = _NULL
    x_groq: msgspec.Raw = _NULL
    error: Any = None
    service_tier: Any = None


_answer = msgspec.json.Decoder(_Answer)
_members = msgspec.json.Decoder(JsonObject)


class ChatResponseMeter(ResponseMeter, kw_only=True):
    """Observes one response, as a whole or chunk by chunk.

    `rules` says how the provider counts. `report` is the usage that it reported for the whole
    response, `choice_reports` the usage of single `choices`. An empty error (`""`, `{}`) counts as
    no error. `halves` joins characters that are cut between two chunks; None for plain responses.
    `redactor` knows the secrets of the provider, which may quote them anywhere.
    """

    rules: UsageRules = UsageRules()
    report: dict[str, Any] = msgspec.field(default_factory=dict)
    choice_reports: dict[int, dict[str, Any]] = msgspec.field(default_factory=dict)
    output: OutputMeter = msgspec.field(default_factory=OutputMeter)
    halves: HalfJoiner | None = None
    redactor: Redactor = NO_SECRETS
    _reading: UsageReading | None = None
    _with_delta: set[int] = msgspec.field(default_factory=set)

    @classmethod
    def of(cls, model: Model, redactor: Redactor) -> "ChatResponseMeter":
        """A meter for a response of this model, before the first byte."""
        makes_media = not _MEDIA.isdisjoint(model.output_modalities)
        return cls(
            rules=model.endpoint.usage_rules,
            output=OutputMeter(makes_media=makes_media),
            redactor=redactor,
        )

    def observe(self, payload: bytes) -> JsonObject:
        """Meter a response or a chunk and return its fields; raises `InvalidAnswer`.

        The fields are valid JSON: what strict parsers reject is repaired.
        """
        payload = self.redactor.clean(payload)
        try:
            answer, members = self._read(payload)
        except _UNREADABLE_ERRORS as error:
            if (reported := error_in(payload)) is None:
                raise InvalidAnswer(f"Not a response of this API: {error}") from error
            self.error = self.redactor.value(reported)
            return {}
        self._observe_choices(answer)
        if self.upstream_id is None:
            self.upstream_id = _word(answer.id)
        self.served_model = _word(answer.model) or self.served_model
        self._observe_reports(answer)
        if answer.error:
            self.error = self.redactor.value(answer.error)
        if not answer.choices and not self.error:
            self.error = self.redactor.value(foreign_error(members))
        return members

    def observe_usage(self, payload: bytes) -> None:
        """Read only the usage of data that arrives after the end of a stream."""
        try:
            self._observe_reports(self._read(self.redactor.clean(payload))[0])
        except _UNREADABLE_ERRORS:
            return  # the response is complete, so invalid data after it does no harm

    @property
    def reported(self) -> dict[str, Any] | None:
        """See `ResponseMeter`; if several choices have separate reports, all of them."""
        if self.report or not self.choice_reports:
            return self.report or None
        if len(self.choice_reports) == 1:
            return next(iter(self.choice_reports.values()))
        return {"choices": list(self.choice_reports.values())}

    @property
    def reported_cost_pico(self) -> Pico | None:
        """See `ResponseMeter`."""
        return read_cost(self.reported or {})

    def reading(self) -> UsageReading:
        """The usage in the reports. Reports of single choices fill in what the main one lacks."""
        if self._reading is None:
            self._reading = self._read_reports()
        return self._reading

    def _read_reports(self) -> UsageReading:
        whole = read_usage(self.report, self.rules) if self.report else UsageReading()
        if not self.choice_reports or (whole.trusted_input and whole.trusted_output):
            return whole
        parts = add_choices(
            [read_usage(report, self.rules) for report in self.choice_reports.values()]
        )
        return whole.filled_from(parts)

    def _observe_reports(self, answer: _Answer) -> None:
        """Read the usage next to the choices, in `x_groq` (Groq) or in a choice (Moonshot)."""
        if self._is_silent(answer):
            return
        for raw in (answer.usage, _member(answer.x_groq, "usage")):
            if whole := _report(raw):
                self.report = self._merged(self.report, whole)
        for position, choice in enumerate(answer.choices or ()):
            if report := _report(choice.usage):
                index = _index(choice, position)
                known = self.choice_reports.get(index, {})
                self.choice_reports[index] = self._merged(known, report)
        word = self.report.get("service_tier")
        if word is None:
            word = next((each.get("service_tier") for each in self.choice_reports.values()), None)
        self.service_tier = reported_service_tier(answer.service_tier, word) or self.service_tier

    def _merged(self, known: dict[str, Any], report: dict[str, Any]) -> dict[str, Any]:
        """Both reports as one, which covers all text so far if the new one adds to or repeats it.

        A report of zeros does neither: text after the last real report is in no report.
        """
        merged = report if self.reports_replace else merge_reports(known, report)
        if merged == report or merged != known:
            self.text_bytes_at_usage = self.output.text_bytes
        if merged != known:
            self._reading = None
        return merged

    def _is_silent(self, answer: _Answer) -> bool:
        """Whether the chunk has no usage, as is the case for most chunks."""
        if answer.service_tier is not None:
            return False
        if not (_is_null(answer.usage) and _is_null(answer.x_groq)):
            return False
        return all(_is_null(each.usage) for each in answer.choices or ())

    def _read(self, payload: bytes) -> tuple[_Answer, JsonObject]:
        if self.halves is not None and self.halves.is_holding:
            payload = self.halves.join(payload)
        try:
            return _decoded(payload)
        except _UNREADABLE_ERRORS:
            return self._read_repaired(payload)

    def _read_repaired(self, payload: bytes) -> tuple[_Answer, JsonObject]:
        """The same for JSON that is not valid; raises the errors of decoding if it stays so."""
        if not without_start(payload).startswith(b"{"):
            return _decoded(payload)
        joined = payload
        if self.halves is not None:
            joined = self.halves.join(payload.decode("utf-8", "replace").encode())
        repaired, repairs = repair_json(joined)
        if repaired == payload:
            return _decoded(payload)  # raises what is wrong with it
        answer, members = _decoded(repaired)
        if Repair.VALUE_REPLACED in repairs:
            # The client gets null for a number such as NaN; in a usage report, it is an invalid
            # count, which null is not.
            answer, _ = _decoded(repair_json(joined, _INVALID_NUMBER)[0])
        if joined != payload:
            repairs.add(Repair.TEXT_REPLACED)
        for repair in repairs:
            self.repaired(repair)
        return answer, members

    def _observe_choices(self, answer: _Answer) -> None:
        for position, choice in enumerate(answer.choices or ()):
            before = self.output.text_bytes, self.output.media_bytes
            try:
                self._observe_choice(choice, position)
            except _UNREADABLE_ERRORS:
                # Nested too deeply, or a number such as 1e999: the bytes are an estimate.
                self.output.text_bytes, self.output.media_bytes = before
                for raw in (choice.delta, choice.message):
                    self.output.text_bytes += 0 if _is_null(raw) else len(bytes(raw))

    def _observe_choice(self, choice: _Choice, position: int) -> None:
        index = _index(choice, position)
        self.choices.add(index)
        has_ended, before = index in self.endings, self.output.text_bytes
        if not _is_null(choice.text):
            self.output.add_text(bytes(choice.text), index)
        delta = bytes(choice.delta)
        # Clients of a plain response read the message, whatever is next to it.
        if self.halves is None and (members := _fields(choice.message)):
            self.output.add_part(members, index)
        elif delta.startswith(b"{") and (members := _members.decode(delta)):
            self._with_delta.add(index)
            self.output.add_part(members, index)
        # Some servers repeat the whole message so far with each delta, MiniMax at the end.
        elif index not in self._with_delta and (members := _fields(choice.message)):
            self.output.add_part(members, index)
        word = _word(choice.finish_reason)
        if word and is_an_end(word):
            self.endings[index] = self._ending(word, index)
        if has_ended and self.output.text_bytes > before:
            self.has_resumed = True

    def _ending(self, word: str, index: int) -> Ending:
        """The end of a choice; Gemini and others say `stop` even if the model called tools."""
        reason = known_finish_reason(word)
        if index not in self.output.callers or reason not in (None, FinishReason.STOP):
            return Ending(word, reason)
        self.repaired(Repair.FINISH_REASON_CORRECTED)
        return Ending(word, FinishReason.TOOL_CALLS)


def _decoded(payload: bytes) -> tuple[_Answer, JsonObject]:
    """A response for metering, and its fields for forwarding."""
    if not payload.isascii():
        payload.decode()  # msgspec does not check values that stay raw
    return _answer.decode(payload), _members.decode(payload)


def _is_null(raw: msgspec.Raw) -> bool:
    """Whether a field is absent or null. Nearly always it is absent, so that check comes first."""
    return raw is _NULL or bytes(raw) == b"null"


def _report(raw: msgspec.Raw) -> dict[str, Any] | None:
    """A usage object, or None. An unreadable field makes only its own count invalid."""
    text = bytes(raw)
    if not text.startswith(b"{"):
        return None
    try:
        return msgspec.json.decode(text, type=dict[str, Any]) or None
    except (msgspec.DecodeError, RecursionError):
        return {name: _value(inner) for name, inner in _members.decode(text).items()}


def _value(raw: msgspec.Raw, depth: int = 3) -> Any:
    text = bytes(raw)
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        if not text.startswith(b"{") or not depth:
            return _UNREADABLE
    return {name: _value(inner, depth - 1) for name, inner in _members.decode(text).items()}


def _fields(raw: msgspec.Raw) -> JsonObject:
    """The fields of an object; none for any other value."""
    return _members.decode(raw) if bytes(raw).startswith(b"{") else {}


def _member(raw: msgspec.Raw, name: str) -> msgspec.Raw:
    return _fields(raw).get(name, _NULL)


def _index(choice: _Choice, position: int) -> int:
    index = choice.index
    named = type(index) is int and 0 <= index < _CHOICES_MAX
    return index if named else min(position, _CHOICES_MAX)


def _word(value: Any) -> str | None:
    return value[:_TEXT_MAX_CHARS] if isinstance(value, str) and value else None
