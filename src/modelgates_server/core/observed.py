"""What goes by of one answer: how much was said, what was reported, how it ended.

Text is measured in UTF-8 bytes, and it counts under whatever name a provider has for it. Pictures
and sound are counted by the piece: their bytes say nothing about tokens.
"""

import re
from typing import Any

import msgspec

from modelgates_server.core.finish_reasons import FinishReason, finish_reason
from modelgates_server.core.members import Members
from modelgates_server.core.service_tiers import reported_service_tier
from modelgates_server.core.usage_reader import (
    UsageReading,
    UsageRules,
    add_choices,
    merge_reports,
    read_usage,
)

_NULL = msgspec.Raw(b"null")
_EMPTY = (b"null", b'""', b"[]", b"{}")
_TEXT_MAX_CHARS = 255
_CHOICES_MAX = 4096

_REASONING = ("reasoning", "reasoning_content", "reasoning_details", "reasoning_text", "thinking")
"""One text under several names: where a delta has more than one of them, the longest counts."""

_CALLS = ("tool_calls", "function_call")
_SILENT = frozenset(
    {
        "role",
        "index",
        "id",
        "object",
        "annotations",
        "citations",
        "logprobs",
        "provider_specific_fields",
    }
)
"""What a delta has besides what the model said."""

_LABELS = frozenset({"id", "type", "format", "index", "signature", "mime_type", "media_type"})
_PICTURES = frozenset({"image_url", "image", "b64_json", "inline_data", "inlineData"})
_SOUNDS = frozenset({"audio", "input_audio", "output_audio", "audio_url"})

_ESCAPES = re.compile(rb"\\u([0-9a-fA-F]{4})|\\.")


class InvalidAnswer(ValueError):
    """What a provider sent is not an answer of the API that was called."""


class _Choice(msgspec.Struct):
    """A choice, in a plain answer or a chunk; what it says is measured, not kept."""

    index: Any = None
    finish_reason: Any = None
    delta: msgspec.Raw = _NULL
    message: msgspec.Raw = _NULL
    text: msgspec.Raw = _NULL
    usage: msgspec.Raw = _NULL


class _Seen(msgspec.Struct):
    id: Any = None
    model: Any = None
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = _NULL
    x_groq: msgspec.Raw = _NULL
    error: Any = None
    service_tier: Any = None


_seen = msgspec.json.Decoder(_Seen)
_members = msgspec.json.Decoder(Members)


class Observed(msgspec.Struct):
    """Takes note of one answer; chunks add to it.

    `rules` is what is known of how the provider counts. `report` is what it reported for the whole
    answer, `choice_reports` what it reported for single choices. `native_finish_reasons` has its
    word for the end of each choice, `service_tier` that for the class it served. An error that says
    nothing (`""`, `{}`) is none.
    """

    rules: UsageRules = UsageRules()
    upstream_id: str | None = None
    served_model: str | None = None
    native_finish_reasons: dict[int, str] = {}
    report: dict[str, Any] = {}
    choice_reports: dict[int, dict[str, Any]] = {}
    output_bytes: int = 0
    output_bytes_at_usage: int = 0
    pictures: int = 0
    sounds: set[int] = set()
    media_bytes: int = 0
    service_tier: str | None = None
    error: Any = None

    def see(self, payload: bytes) -> Members:
        """Take note of an answer or a chunk, and give its members; raises `InvalidAnswer`."""
        try:
            if not payload.isascii():
                payload.decode()  # what is kept raw is not checked by msgspec
            seen, members = _seen.decode(payload), _members.decode(payload)
            for position, choice in enumerate(seen.choices or ()):
                self._see_choice(choice, position)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidAnswer(f"not an answer of this API: {error}") from error
        if self.upstream_id is None:
            self.upstream_id = _word(seen.id)
        self.served_model = _word(seen.model) or self.served_model
        self._see_usage(seen)
        self.error = seen.error or self.error
        return members

    def see_usage(self, payload: bytes) -> None:
        """Take note of the usage alone in what comes after the end of a stream."""
        try:
            self._see_usage(_seen.decode(payload))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return  # the answer is whole; what follows it may be anything

    @property
    def has_output(self) -> bool:
        """Whether the model said, drew or spoke anything."""
        return bool(self.output_bytes or self.pictures or self.sounds)

    @property
    def native_finish_reason(self) -> str | None:
        """The provider's word for the end; of several choices, that of the last one to end well."""
        return self._end()[1]

    @property
    def finish_reason(self) -> FinishReason | None:
        """The end in the words that clients know; None while no choice has ended."""
        return self._end()[0]

    def _end(self) -> tuple[FinishReason | None, str | None]:
        reason: FinishReason | None = None
        word = None
        for native in self.native_finish_reasons.values():
            known = finish_reason(native, has_output=self.has_output)
            if reason is None or known is not FinishReason.ERROR:
                reason, word = known, native
        return reason, word

    @property
    def reported(self) -> dict[str, Any] | None:
        """The provider's own words; None where it reported nothing."""
        if self.report or not self.choice_reports:
            return self.report or None
        if len(self.choice_reports) == 1:
            return next(iter(self.choice_reports.values()))
        return {"choices": list(self.choice_reports.values())}

    def reading(self) -> UsageReading:
        """What the reports say. Those of single choices fill in what that of the whole lacks."""
        whole = read_usage(self.report, self.rules) if self.report else UsageReading()
        if not self.choice_reports or (whole.trusted_input and whole.trusted_output):
            return whole
        parts = add_choices(
            [read_usage(report, self.rules) for report in self.choice_reports.values()]
        )
        return whole.filled_from(parts)

    def _see_usage(self, seen: _Seen) -> None:
        """Usage stands beside the choices, in `x_groq` (Groq) or in a choice (Moonshot)."""
        reported = [_report(seen.usage), _report(_member(seen.x_groq, "usage"))]
        before = self.report, self.choice_reports
        for whole in filter(None, reported):
            self.report = merge_reports(self.report, whole)
        for position, choice in enumerate(seen.choices or ()):
            if report := _report(choice.usage):
                index = _index(choice, position)
                merged = merge_reports(self.choice_reports.get(index, {}), report)
                self.choice_reports = {**self.choice_reports, index: merged}
        within = self.report.get("service_tier")
        self.service_tier = reported_service_tier(seen.service_tier, within) or self.service_tier
        if before != (self.report, self.choice_reports):
            self.output_bytes_at_usage = self.output_bytes

    def _see_choice(self, choice: _Choice, position: int) -> None:
        index = _index(choice, position)
        if word := _word(choice.finish_reason):
            self.native_finish_reasons = {**self.native_finish_reasons, index: word}
        self._measure(bytes(choice.text), index)
        for part in (bytes(choice.delta), bytes(choice.message)):
            if part.startswith(b"{"):
                self._measure_part(_members.decode(part), index)

    def _measure_part(self, members: Members, index: int) -> None:
        before, longest = self.output_bytes, 0
        for name in _REASONING:
            if name in members:
                self._measure(bytes(members[name]), index, encrypted=True)
                longest = max(longest, self.output_bytes - before)
                self.output_bytes = before
        self.output_bytes += longest
        for name, raw in members.items():
            if name in _CALLS:
                self._measure_call(bytes(raw))
            elif name in _SOUNDS or name == "images":
                self._measure_media(name, bytes(raw), index)
            elif name not in _SILENT and name not in _REASONING:
                self._measure(bytes(raw), index)

    def _measure(self, raw: bytes, index: int, *, encrypted: bool = False) -> None:
        if raw.startswith(b'"'):
            self.output_bytes += _utf8_bytes(raw)
        elif raw.startswith((b"[", b"{")) and raw not in _EMPTY:
            self._walk(msgspec.json.decode(raw), "", index, encrypted=encrypted)

    def _measure_call(self, raw: bytes) -> None:
        """Only its texts: forty bytes of JSON stand around each piece of the arguments."""
        if raw not in _EMPTY:
            self.output_bytes += max(1, _text_bytes(msgspec.json.decode(raw)))

    def _measure_media(self, name: str, raw: bytes, index: int) -> None:
        if raw not in _EMPTY:
            value = msgspec.json.decode(raw)
            if name == "images":
                value = value if isinstance(value, list) else [value]
                self.pictures += len(value)
                self.media_bytes += len(raw)
            else:
                self._walk({name: value}, "", index)

    def _walk(self, value: Any, name: str, index: int, *, encrypted: bool = False) -> None:
        """Measure all texts within a value, and count its pictures and sounds."""
        if isinstance(value, str):
            if name not in _LABELS:
                self.output_bytes += len(value.encode())
        elif isinstance(value, list):
            for inner in value:
                self._walk(inner, name, index, encrypted=encrypted)
        elif isinstance(value, dict):
            self._walk_members(value, index, encrypted=encrypted)

    def _walk_members(self, members: dict[str, Any], index: int, *, encrypted: bool) -> None:
        kind = str(members.get("type", ""))
        if members.keys() & _PICTURES or ("image" in kind and not encrypted):
            self.pictures += 1
        if members.keys() & _SOUNDS or ("audio" in kind and not encrypted):
            self.sounds = {*self.sounds, index}
        for name, inner in members.items():
            if name in _PICTURES or (name == "data" and not encrypted):
                self.media_bytes += _text_bytes(inner)
            elif name in _SOUNDS and isinstance(inner, str):
                self.media_bytes += len(inner)
            else:
                self._walk(inner, name, index, encrypted=encrypted)


def _utf8_bytes(raw: bytes) -> int:
    """The size of a JSON text in UTF-8, without decoding it: it may hold half of a pair."""
    size = len(raw) - 2
    if b"\\" in raw:
        size -= sum(len(match[0]) - _escaped_bytes(match[1]) for match in _ESCAPES.finditer(raw))
    return size


def _escaped_bytes(digits: bytes | None) -> int:
    """The size of what an escape stands for: a code point by its digits, or one letter."""
    point = 0 if digits is None else int(digits, 16)
    if 0xD800 <= point <= 0xDFFF:  # noqa: PLR2004 - half of a pair that takes four bytes
        return 2
    return len(chr(point).encode())


def _text_bytes(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode())
    within = value.values() if isinstance(value, dict) else value
    return sum(map(_text_bytes, within)) if isinstance(value, dict | list) else 0


def _report(raw: msgspec.Raw) -> dict[str, Any] | None:
    """A usage object; one that cannot be read is none, and does not spoil the answer."""
    if not bytes(raw).startswith(b"{"):
        return None
    try:
        return msgspec.json.decode(raw, type=dict[str, Any]) or None
    except (msgspec.DecodeError, RecursionError):
        return None


def _member(raw: msgspec.Raw, name: str) -> msgspec.Raw:
    if not bytes(raw).startswith(b"{"):
        return _NULL
    return _members.decode(raw).get(name, _NULL)


def _index(choice: _Choice, position: int) -> int:
    index = choice.index
    return index if type(index) is int and 0 <= index < _CHOICES_MAX else position


def _word(value: Any) -> str | None:
    return value[:_TEXT_MAX_CHARS] if isinstance(value, str) and value else None
