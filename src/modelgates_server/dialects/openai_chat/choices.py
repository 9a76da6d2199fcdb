"""Choices in the form of OpenAI's API, with OpenRouter's fields, whatever the provider sends."""

from typing import Literal

import msgspec

from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.metering.meter import ResponseMeter, reason_or_default
from modelgates_server.core.metering.repairs import Repair
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.json_object import JsonObject
from modelgates_server.dialects.openai_chat.finish_reasons import is_an_end, known_finish_reason
from modelgates_server.dialects.openai_chat.frames import ROLE, Frame
from modelgates_server.dialects.openai_chat.message_parts import add_reasoning, flatten_content
from modelgates_server.dialects.openai_chat.tool_calls import ToolCallWriter

_NULL = msgspec.Raw(b"null")
_ASSISTANT = msgspec.Raw(b'"assistant"')
_CHOICES_MAX = 4096
_INDEX_MAX_DIGITS = 4

_OPTIONAL = ("tool_calls", "function_call", "images", "reasoning_details", "audio")
"""Fields that OpenRouter's clients accept as absent but not as null."""

_choices = msgspec.json.Decoder(list[JsonObject])
_members = msgspec.json.Decoder(JsonObject)


class _ArgumentsPart(msgspec.Struct, forbid_unknown_fields=True):
    arguments: str


class _CallPart(msgspec.Struct, forbid_unknown_fields=True):
    """More arguments of a tool call."""

    index: int
    function: _ArgumentsPart


class _SoundDelta(msgspec.Struct, forbid_unknown_fields=True):
    """A delta that needs no change. All others are looked at."""

    content: str | None = None
    role: Literal["assistant"] | None = None
    refusal: str | None = None
    reasoning: None = None
    reasoning_content: None = None
    tool_calls: list[_CallPart] | msgspec.UnsetType = msgspec.UNSET


class _SoundChoice(msgspec.Struct):
    """A choice of a chat's chunk that needs no change."""

    index: int
    delta: _SoundDelta
    finish_reason: None
    logprobs: msgspec.Raw = _NULL


class _ReasoningDelta(msgspec.Struct, forbid_unknown_fields=True):
    """A delta that needs no change but the other names of its reasoning."""

    content: Literal[""] | None = None
    role: Literal["assistant"] | None = None
    reasoning: str | msgspec.UnsetType = msgspec.UNSET
    reasoning_content: str | msgspec.UnsetType = msgspec.UNSET


class _ReasoningChoice(msgspec.Struct, forbid_unknown_fields=True):
    index: int
    delta: _ReasoningDelta
    finish_reason: None
    logprobs: None = None


_sound = msgspec.json.Decoder(list[_SoundChoice])
_reasoning = msgspec.json.Decoder(list[_ReasoningChoice])


class ChoiceWriter:
    """Writes the choices of one response, as a whole or chunk by chunk."""

    def __init__(self, generation: Generation, meter: ResponseMeter) -> None:
        self._meter = meter
        self._generation_id = generation.id
        self._is_chat = generation.api is Api.CHAT
        self._begun: set[int] = set()
        self._with_delta: set[int] = set()
        self._tool_calls: dict[int, ToolCallWriter] = {}
        self._frame: Frame | None = None

    def of_chunk(self, raw: msgspec.Raw) -> msgspec.Raw | list[JsonObject]:
        """The choices of a chunk; nearly always the bytes that the provider sent."""
        if not self._is_chat or self._meter.endings:
            return self._all(raw, "delta")
        sent = bytes(raw)
        if self._frame is not None and (written := self._frame.write(sent)) is not None:
            return msgspec.Raw(written)
        self._frame = None
        return self._as_sent(sent) or self._framed(raw)

    def of_answer(self, raw: msgspec.Raw) -> msgspec.Raw | list[JsonObject]:
        """The choices of a plain response."""
        return self._all(raw, "message")

    def _all(self, raw: msgspec.Raw, own: str) -> msgspec.Raw | list[JsonObject]:
        try:
            return [
                self._choice(choice, position, own)
                for position, choice in enumerate(_choices.decode(raw))
            ]
        except (msgspec.DecodeError, RecursionError):
            return raw  # nested so deeply that it can only be forwarded

    def _as_sent(self, raw: bytes) -> msgspec.Raw | None:
        """The choices if they need no change; a repeated role, which clients would join, is cut."""
        try:
            choices = _sound.decode(raw)
        except (msgspec.DecodeError, RecursionError):
            return None
        written = raw
        for choice in choices:
            if choice.index not in self._begun or not _is_object_or_null(choice.logprobs):
                return None
            if choice.delta.role is not None:
                written = raw.replace(ROLE, b"")
                if b'"role"' in written:
                    return None
            calls = choice.delta.tool_calls
            if calls is not msgspec.UNSET and not self._continue(calls, choice.index):
                return None
            self._with_delta.add(choice.index)
        self._frame = Frame.of_text(raw)
        return msgspec.Raw(written)

    def _framed(self, raw: msgspec.Raw) -> msgspec.Raw | list[JsonObject]:
        """Any choices; if they are those of ordinary reasoning, the next ones cost little."""
        written = self._all(raw, "delta")
        if b'"reasoning' in bytes(raw) and self._is_reasoning(bytes(raw)):
            self._frame = Frame.of_reasoning(bytes(raw))
        return written

    def _is_reasoning(self, raw: bytes) -> bool:
        """Whether these choices are one with a text of reasoning under one name, and no other."""
        try:
            (choice,) = _reasoning.decode(raw)
        except (msgspec.DecodeError, RecursionError, ValueError):
            return False
        delta = choice.delta
        if choice.index not in self._begun or (delta.role and ROLE not in raw):
            return False
        return msgspec.UNSET in (delta.reasoning, delta.reasoning_content)

    def _continue(self, parts: list[_CallPart], index: int) -> bool:
        """Whether these are parts of calls that the choice has begun, and there are any."""
        writer = self._tool_calls.get(index)
        if writer is None or not parts:
            return False
        return all(writer.is_known(part.index) for part in parts)

    def _choice(self, choice: JsonObject, position: int, own: str) -> JsonObject:
        index = self._index(choice, position)
        if self._is_chat:
            part = self._part(choice, index, own)
            written = self._written(part, index, own)
            if not _is_object(choice.get(own)) or written != _object(choice[own]):
                choice[own] = msgspec.Raw(msgspec.json.encode(written))
        elif not bytes(choice.get("text", _NULL)).startswith(b'"'):
            choice["text"] = self._text(choice)
        native = choice.get("finish_reason", _NULL)
        choice["finish_reason"] = self._finish_reason(native, index)
        if own == "message" or self._meter.endings:
            choice.setdefault("native_finish_reason", native)
        if not _is_object_or_null(choice.get("logprobs", _NULL)):
            del choice["logprobs"]
        return choice

    def _index(self, choice: JsonObject, position: int) -> int:
        """The number of a choice, as the meter counts it."""
        text = bytes(choice.get("index", _NULL))
        if text.isdigit() and len(text) <= _INDEX_MAX_DIGITS and int(text) < _CHOICES_MAX:
            return int(text)
        self._meter.repaired(Repair.FIELD_REPAIRED)
        index = min(position, _CHOICES_MAX)
        choice["index"] = msgspec.Raw(b"%d" % index)
        return index

    def _part(self, choice: JsonObject, index: int, own: str) -> JsonObject:
        """The fields of a delta or a message, under whatever name it was sent."""
        if members := _object(choice.get(own)):
            self._with_delta.add(index)
            return members
        other = _object(choice.pop("message" if own == "delta" else "delta", None))
        # MiniMax repeats the whole message after its deltas.
        if other and not (own == "delta" and index in self._with_delta):
            self._meter.repaired(Repair.MESSAGE_ADDED)
            return other
        if bytes(choice.get(own, _NULL)) != b"{}":
            self._meter.repaired(Repair.MESSAGE_ADDED)
        text = choice.get("text")
        return {} if text is None or not bytes(text).startswith(b'"') else {"content": text}

    def _text(self, choice: JsonObject) -> msgspec.Raw:
        """The text of a legacy completion that was sent in the form of a chat."""
        self._meter.repaired(Repair.MESSAGE_ADDED)
        part = _object(choice.get("delta")) or _object(choice.get("message"))
        text = part.get("content", _NULL)
        return text if bytes(text).startswith(b'"') else msgspec.Raw(b'""')

    def _written(self, members: JsonObject, index: int, own: str) -> JsonObject:
        """A delta or a message in the form that clients know."""
        written = {
            name: raw
            for name, raw in members.items()
            if name not in _OPTIONAL or bytes(raw) != b"null"
        }
        self._write_role(written, index, own)
        if flatten_content(written):
            self._meter.repaired(Repair.FIELD_REPAIRED)
        if not bytes(written.get("refusal", _NULL)).startswith((b'"', b"null")):
            del written["refusal"]
        add_reasoning(written)
        if "tool_calls" in written:
            self._write_calls(written, index, own)
        if own == "message":
            written.setdefault("content", _NULL)
        return written

    def _write_role(self, members: JsonObject, index: int, own: str) -> None:
        """The first delta has a role; a later one would be joined to it by some clients."""
        role = members.pop("role", None)
        if own == "message" or index not in self._begun:
            self._begun.add(index)
            others = dict(members)
            members.clear()
            members["role"] = _ASSISTANT
            members.update(others)
            if role is not None and bytes(role) not in (b"null", b'"assistant"'):
                self._meter.repaired(Repair.FIELD_REPAIRED)

    def _write_calls(self, members: JsonObject, index: int, own: str) -> None:
        writer = self._tool_calls.get(index)
        if writer is None:
            writer = self._tool_calls[index] = tool_call_writer(
                self._generation_id, index, self._meter
            )
        raw = members["tool_calls"]
        calls = writer.message(raw) if own == "message" else writer.delta(raw)
        if not calls:
            del members["tool_calls"]
        elif calls != _calls_sent(raw):
            members["tool_calls"] = msgspec.Raw(msgspec.json.encode(calls))

    def _finish_reason(self, native: msgspec.Raw, index: int) -> msgspec.Raw:
        word = msgspec.json.decode(native)
        if not isinstance(word, str) or not word or not is_an_end(word):
            return _NULL
        ending = self._meter.endings.get(index)
        meant = known_finish_reason(word) if ending is None else ending.reason
        reason = reason_or_default(meant, has_output=self._meter.has_output)
        return msgspec.Raw(b'"%b"' % reason.encode())


def tool_call_writer(generation_id: str, index: int, meter: ResponseMeter) -> ToolCallWriter:
    """A writer for the tool calls of the choice with this index."""
    return ToolCallWriter(f"{generation_id}/{index}", meter.repaired)


def _is_object_or_null(raw: msgspec.Raw) -> bool:
    return raw is _NULL or bytes(raw).startswith((b"null", b"{"))


def _calls_sent(raw: msgspec.Raw) -> list[JsonObject] | None:
    try:
        return _choices.decode(raw)
    except msgspec.DecodeError:
        return None


def _object(raw: msgspec.Raw | None) -> JsonObject:
    """The fields of an object; empty for anything else."""
    return _members.decode(raw) if raw is not None and _is_object(raw) else {}


def _is_object(raw: msgspec.Raw | None) -> bool:
    return raw is not None and bytes(raw).startswith(b"{")
