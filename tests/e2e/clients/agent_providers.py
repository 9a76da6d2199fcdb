"""The scripted provider of `provider.py` behind Anthropic's API and OpenAI's Responses."""

import threading
from collections.abc import Iterator
from typing import Any

from tests.deadlines import DEADLINE_S
from tests.e2e.clients.provider import WAIT_S
from tests.e2e.dialects.speakers import SPEAKERS, named
from tests.e2e.dialects.turns import Counts
from tests.upstream import UpstreamReply, plain

COUNTS = Counts(input=11, cache_read=0, cache_write_5m=0, output=5, thinking=0)

_SLOW_DOWN = {"type": "rate_limit_error", "message": "Slow down"}
RATE_LIMITS: dict[str, Any] = {
    "anthropic": {"type": "error", "error": _SLOW_DOWN},
    "openai-responses": {"error": {**_SLOW_DOWN, "code": "rate_limit_exceeded"}},
}
_OUT: dict[str, Any] = {"code": "server_error", "message": "I am out"}
_FAILED = {"id": "resp_1", "object": "response", "status": "failed", "error": _OUT, "output": []}
FAILURES: dict[str, tuple[str, dict[str, Any]]] = {
    "anthropic": ("error", {"error": {"type": "api_error", "message": "I am out"}}),
    "openai-responses": ("response.failed", {"sequence_number": 9, "response": _FAILED}),
}


class AgentProvider:
    """Replies in one dialect, as `ScriptedModel` does in that of chat completions."""

    def __init__(self, dialect: str) -> None:
        self._dialect = dialect
        self._speaker = SPEAKERS[dialect]()
        self._speaker.counts = COUNTS
        self._left = threading.Event()

    def __call__(self, body: Any) -> UpstreamReply:
        if "stream" not in body and "max_tokens" not in body and self._dialect == "anthropic":
            return plain({"input_tokens": COUNTS.input})
        match self._speaker.prompt_of(body):
            case "limit":
                return plain(RATE_LIMITS[self._dialect], 429, **{"Retry-After": WAIT_S})
            case "break":
                told = [*self._told(body, b"wor"), *named(iter([FAILURES[self._dialect]]))]
                return UpstreamReply(told)
            case "wait":
                return UpstreamReply(self._until_left(body))
            case "I left":
                self._left.set()
        return self._speaker(body)

    def _told(self, body: Any, last: bytes) -> list[bytes]:
        """The events of a response up to the one with this text."""
        events = list(self._speaker(body).pieces)
        number = next(number for number, each in enumerate(events) if last in each)
        return events[: number + 1]

    def _until_left(self, body: Any) -> Iterator[bytes]:
        """A stream that continues when the client says that it left, in another call."""
        self._left.clear()
        events = list(self._speaker(body).pieces)
        first = self._told(body, b"Hello, ")
        yield from first
        assert self._left.wait(DEADLINE_S), "the client never said that it left"
        yield from events[len(first) :]
