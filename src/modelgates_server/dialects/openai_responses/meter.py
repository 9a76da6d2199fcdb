"""Meters a response of the Responses API, plain or event by event."""

from typing import Any

import msgspec

from modelgates_server.core.metering.meter import Ending, FinishReason, ResponseMeter
from modelgates_server.core.pricing.service_tiers import reported_service_tier
from modelgates_server.core.pricing.usage import UsageReading, UsageRules
from modelgates_server.dialects.openai_chat.finish_reasons import known_finish_reason
from modelgates_server.dialects.openai_chat.usage import read_usage
from modelgates_server.dialects.openai_responses.usage import usage_of

_TEXT_MAX_CHARS = 255
_CALLS = frozenset(
    {
        *("function_call", "custom_tool_call", "tool_search_call", "computer_call"),
        *("local_shell_call", "shell_call", "apply_patch_call", "mcp_approval_request"),
    }
)
"""Items that the client has to answer. The provider runs all other tools itself."""

_TEXTS = ("text", "refusal", "arguments", "input", "code")


class ResponsesMeter(ResponseMeter, kw_only=True):
    """Observes one response. `report` is its usage, in the provider's own form."""

    rules: UsageRules = UsageRules()
    report: dict[str, Any] = msgspec.field(default_factory=dict)
    _reading: UsageReading = UsageReading()

    @property
    def reported(self) -> dict[str, Any] | None:
        """See `ResponseMeter`."""
        return self.report or None

    def reading(self) -> UsageReading:
        """See `ResponseMeter`."""
        return self._reading

    def begin(self, response: dict[str, Any]) -> None:
        """Note the head of a response."""
        self.choices.add(0)
        self.upstream_id = self.upstream_id or _word(response.get("id"))
        self.served_model = _word(response.get("model")) or self.served_model

    def add_output(self, text: Any) -> None:
        """Measure a piece of text."""
        if isinstance(text, str):
            self.output.text_bytes += len(text.encode("utf-8", "replace"))

    def finish(self, response: dict[str, Any]) -> None:
        """Read the end of a response: why it ended, its usage, and output that had no events."""
        self.begin(response)
        items = _objects(response.get("output"))
        self.output.text_bytes = max(self.output.text_bytes, sum(map(_text_bytes, items)))
        self._note_end(response, items)
        usage = usage_of(response)
        if usage is not None:
            self.report, self._reading = response["usage"], read_usage(usage, self.rules)
            self.text_bytes_at_usage = self.output.text_bytes
        self.service_tier = reported_service_tier(response.get("service_tier"))

    def _note_end(self, response: dict[str, Any], items: list[dict[str, Any]]) -> None:
        status = _word(response.get("status")) or "completed"
        if status == "incomplete":
            details = response.get("incomplete_details")
            reason = details.get("reason") if isinstance(details, dict) else None
            native = _word(reason) or status
            self.endings[0] = Ending(native, known_finish_reason(native) or FinishReason.LENGTH)
        elif any(str(item.get("type")) in _CALLS for item in items):
            self.endings[0] = Ending(status, FinishReason.TOOL_CALLS)
        else:
            self.endings[0] = Ending(status, known_finish_reason(status))


def _text_bytes(item: dict[str, Any]) -> int:
    """The size of the texts in an item; encrypted reasoning has no size that means anything."""
    holders = [item, *_objects(item.get("content")), *_objects(item.get("summary"))]
    texts = [holder.get(name) for holder in holders for name in _TEXTS]
    return sum(len(text.encode("utf-8", "replace")) for text in texts if isinstance(text, str))


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _word(value: Any) -> str | None:
    return value[:_TEXT_MAX_CHARS] if isinstance(value, str) and value else None
