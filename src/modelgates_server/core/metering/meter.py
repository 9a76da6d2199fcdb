"""The meter of one response: how much output passed, what was reported, how it ended."""

from enum import StrEnum
from typing import Any

import msgspec

from modelgates_server.core.metering.repairs import Repair, Repairs
from modelgates_server.core.money import Pico
from modelgates_server.core.pricing.usage import UsageReading


class InvalidAnswer(ValueError):
    """The provider sent something that is not a response of the called API."""


class FinishReason(StrEnum):
    """Why a response ended, in OpenRouter's five words. `ERROR`: there is no good response."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    ERROR = "error"


class Ending(msgspec.Struct, frozen=True):
    """The provider's word for the end of a choice, and its meaning; None if it is unknown."""

    native: str
    reason: FinishReason | None


class Output(msgspec.Struct):
    """The output of a response so far.

    `text_bytes` are UTF-8. `media_bytes` allow no estimate of tokens. `pictures` and `sounds`
    identify the images and audio recordings, so that each counts once.
    """

    text_bytes: int = 0
    media_bytes: int = 0
    pictures: set[tuple[int, Any]] = set()
    sounds: set[int] = set()

    @property
    def has_output(self) -> bool:
        """Whether the model has put out any text, image or audio."""
        return bool(self.text_bytes or self.pictures or self.sounds)


class ResponseMeter(msgspec.Struct, kw_only=True):
    """The facts about one response so far, in no wire format. This base class observes nothing.

    A dialect's subclass observes the response, updates these fields and overrides the methods that
    read the provider's reports.

    `choices` are the choices that have begun, and `endings` describes those that have ended.
    `has_resumed`: a choice continued after its end, so that its ends mean nothing.
    `text_bytes_at_usage` is the amount of text that the newest usage report covers. `service_tier`
    is the provider's word for the tier that served the call. `error` is the provider's error, in
    the form in which it was sent; None if there is none. `repairs` counts the deviations that were
    repaired. With `reports_replace`, a usage report has all that earlier ones had, so that it
    replaces them; otherwise the dialect merges them.
    """

    upstream_id: str | None = None
    served_model: str | None = None
    service_tier: str | None = None
    choices: set[int] = set()
    endings: dict[int, Ending] = {}
    has_resumed: bool = False
    output: Output = msgspec.field(default_factory=Output)
    text_bytes_at_usage: int = 0
    error: Any = None
    repairs: Repairs = msgspec.field(default_factory=Repairs)
    reports_replace: bool = False

    def repaired(self, repair: Repair) -> None:
        """Count a deviation that was repaired or passed over."""
        self.repairs[repair] += 1

    def reading(self) -> UsageReading:
        """Returns the usage that the provider reported."""
        return UsageReading()

    @property
    def reported(self) -> dict[str, Any] | None:
        """The usage object to store, in the provider's own words; None if it reported nothing."""
        return None

    @property
    def reported_cost_pico(self) -> Pico | None:
        """The cost of the call that the provider reported; None if it reported none."""
        return None

    @property
    def has_output(self) -> bool:
        """Whether the model has put out any text, image or audio."""
        return self.output.has_output

    def is_beyond(self, text_max_bytes: int, media_max_bytes: int) -> bool:
        """Whether the provider sent more than was requested."""
        output = self.output
        return output.text_bytes > text_max_bytes or output.media_bytes > media_max_bytes

    @property
    def has_ended(self) -> bool:
        """Whether every choice that has begun has ended."""
        return bool(self.choices) and self.choices <= self.endings.keys()

    @property
    def native_finish_reason(self) -> str | None:
        """The provider's word for the end; of several choices, the last one without an error."""
        return self._end()[1]

    @property
    def finish_reason(self) -> FinishReason | None:
        """The finish reason in the words that clients know; None while no choice has ended."""
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
    """Returns a finish reason. An unknown one is a good end if there was output."""
    return reason or (FinishReason.STOP if has_output else FinishReason.ERROR)
