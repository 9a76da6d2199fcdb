"""Meters a response of the Messages API, plain or event by event."""

from collections.abc import Mapping
from typing import Any

import msgspec

from modelgates_server.core.metering.meter import Ending, FinishReason, ResponseMeter
from modelgates_server.core.pricing.service_tiers import reported_service_tier
from modelgates_server.core.pricing.usage import UsageReading, UsageRules
from modelgates_server.dialects.anthropic.usage import chat_usage, merged_usage
from modelgates_server.dialects.json_object import JsonObject
from modelgates_server.dialects.openai_chat.finish_reasons import known_finish_reason
from modelgates_server.dialects.openai_chat.usage import read_usage

_TEXT_MAX_CHARS = 255
_TEXTS = ("text", "thinking", "partial_json", "name")
"""Fields of blocks and deltas that are the model's output."""

_SILENT = frozenset(
    {"type", "id", "index", "citations", "caller", "cache_control", "tool_use_id", "input"}
)


class MessagesMeter(ResponseMeter, kw_only=True):
    """Observes one response. `report` is the usage so far, in Anthropic's form.

    `writes_1h`: see `chat_usage`. `knows_output`: the report has the final number of output tokens.
    """

    rules: UsageRules = UsageRules()
    writes_1h: bool = False
    report: dict[str, Any] = msgspec.field(default_factory=dict)
    knows_output: bool = False
    _reading: UsageReading | None = None

    @property
    def reported(self) -> dict[str, Any] | None:
        """See `ResponseMeter`."""
        return self.report or None

    def reading(self) -> UsageReading:
        """See `ResponseMeter`."""
        if self._reading is None and self.report:
            chat = chat_usage(self.report, writes_1h=self.writes_1h, has_output=self.knows_output)
            self._reading = read_usage(chat, self.rules)
        return self._reading or UsageReading()

    def begin(self, upstream_id: Any, model: Any) -> None:
        """Note the head of the response."""
        self.choices.add(0)
        self.upstream_id = self.upstream_id or _word(upstream_id)
        self.served_model = _word(model) or self.served_model

    def add_report(self, usage: Mapping[str, Any], *, is_final: bool) -> None:
        """Merge a usage object; the final one covers all output so far."""
        self.report = merged_usage(self.report, usage)
        self._reading = None
        self.service_tier = reported_service_tier(usage.get("service_tier")) or self.service_tier
        if is_final and usage.get("output_tokens") is not None:
            self.knows_output = True
            self.text_bytes_at_usage = self.output.text_bytes

    def add_ending(self, word: Any) -> None:
        """Note why the response ended."""
        if native := _word(word):
            reason = known_finish_reason(native)
            self.endings[0] = Ending(native, reason or FinishReason.STOP)

    def add_output(self, members: JsonObject) -> None:
        """Measure a block or a delta: known texts as text, everything else by its bytes."""
        for name, raw in members.items():
            text = bytes(raw)
            if name in _TEXTS:
                self.output.text_bytes += utf8_bytes(text)
            elif name not in _SILENT and text not in (b"null", b'""'):
                # Signatures, encrypted thinking and results of tools: limited, but not counted.
                self.output.media_bytes += len(text)

    def add_input(self, raw: msgspec.Raw | None) -> None:
        """Measure the input of a tool call that was not sent piece by piece."""
        text = b"" if raw is None else bytes(raw)
        if text not in (b"", b"{}", b"null"):
            self.output.text_bytes += len(text)


def utf8_bytes(raw: bytes) -> int:
    """The size of a JSON string's text in UTF-8; 0 for any other value."""
    if not raw.startswith(b'"'):
        return 0
    if b"\\" not in raw:
        return len(raw) - 2
    return len(msgspec.json.decode(raw).encode("utf-8", "replace"))


def _word(value: Any) -> str | None:
    return value[:_TEXT_MAX_CHARS] if isinstance(value, str) and value else None
