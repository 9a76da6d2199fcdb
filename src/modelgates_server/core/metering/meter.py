"""What goes by of one answer: how much was put out, what was reported, how it ended."""

from enum import StrEnum
from typing import Any

import msgspec

from modelgates_server.core.money import Pico
from modelgates_server.core.pricing.usage import UsageReading


class InvalidAnswer(ValueError):
    """What a provider sent is not an answer of the API that was called."""


class FinishReason(StrEnum):
    """How an answer ended, in OpenRouter's five words. `ERROR`: there is no good answer."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    ERROR = "error"


class Ending(msgspec.Struct, frozen=True):
    """The provider's word for the end of a choice, and what it means; None: nobody knows."""

    native: str
    reason: FinishReason | None


class Output(msgspec.Struct):
    """What an answer has put out. `text_bytes` are UTF-8; `media_bytes` say nothing about tokens.

    `pictures` and `sounds` identify pieces, so that a piece counts once.
    """

    text_bytes: int = 0
    media_bytes: int = 0
    pictures: set[tuple[int, Any]] = set()
    sounds: set[int] = set()

    @property
    def has_output(self) -> bool:
        """Whether the model said, drew or spoke anything."""
        return bool(self.text_bytes or self.pictures or self.sounds)


class ResponseMeter(msgspec.Struct, kw_only=True):
    """What is known of one answer so far, in no wire format; this one has seen nothing.

    A dialect's own meter observes the answer, keeps these members and overrides what reads reports.

    `choices` are those that have begun, `endings` how some of them ended. `text_bytes_at_usage` is
    how much text the newest report covers. `service_tier` is the provider's word for the class it
    served. `error` is the provider's error, in whatever form it sent one; None: there is none.
    """

    upstream_id: str | None = None
    served_model: str | None = None
    service_tier: str | None = None
    choices: set[int] = set()
    endings: dict[int, Ending] = {}
    output: Output = msgspec.field(default_factory=Output)
    text_bytes_at_usage: int = 0
    error: Any = None

    def reading(self) -> UsageReading:
        """What the provider's reports say was used."""
        return UsageReading()

    @property
    def reported(self) -> dict[str, Any] | None:
        """The provider's own words for that, to be kept; None where it reported nothing."""
        return None

    @property
    def reported_cost_pico(self) -> Pico | None:
        """What the provider says that the call cost; None where it does not."""
        return None

    @property
    def has_output(self) -> bool:
        """Whether the model said, drew or spoke anything."""
        return self.output.has_output

    def is_beyond(self, text_max_bytes: int, media_max_bytes: int) -> bool:
        """Whether the provider sent more than was requested."""
        output = self.output
        return output.text_bytes > text_max_bytes or output.media_bytes > media_max_bytes

    @property
    def has_ended(self) -> bool:
        """Whether every choice that said something has come to its end."""
        return bool(self.choices) and self.choices <= self.endings.keys()

    @property
    def native_finish_reason(self) -> str | None:
        """The provider's word for the end; of several choices, that of the last one to end well."""
        return self._end()[1]

    @property
    def finish_reason(self) -> FinishReason | None:
        """The end in the words that clients know; None while no choice has ended."""
        return self._end()[0]

    def _end(self) -> tuple[FinishReason | None, str | None]:
        last: FinishReason | None = None
        word = None
        for ending in self.endings.values():
            reason = reason_or_default(ending.reason, has_output=self.has_output)
            if last is None or reason is not FinishReason.ERROR:
                last, word = reason, ending.native
        return last, word


def reason_or_default(reason: FinishReason | None, *, has_output: bool) -> FinishReason:
    """A finish reason; an unknown one is a good end where there was output."""
    return reason or (FinishReason.STOP if has_output else FinishReason.ERROR)
