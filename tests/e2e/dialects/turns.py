"""A scripted model in no wire format: what it says depends on the last message of the user."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

CITIES = ("Bern", "Oslo")
SIGNATURE = "c2lnbmVkIGJ5IHRoZSBtb2RlbA=="


SHELL, COMMAND = "exec_command", "echo modelgates-was-here"
"""The tool with which Codex runs commands, and the command that the model asks for."""


class ToolCall(NamedTuple):
    """A call of a tool; its arguments are JSON."""

    id: str
    arguments: str
    name: str = "weather"


class Counts(NamedTuple):
    """Disjoint counts of input tokens; `thinking` is a part of `output`."""

    input: int = 20
    cache_read: int = 30
    cache_write_5m: int = 10
    cache_write_1h: int = 0
    output: int = 12
    thinking: int = 4


class Turn(NamedTuple):
    """One response of the model. `stop` is one of `end`, `tools` and `length`."""

    thoughts: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    stop: str = "end"
    counts: Counts = Counts()


class RequestView(NamedTuple):
    """The parts of a request that the model looks at."""

    prompt: str
    tools: tuple[str, ...]
    results: Mapping[str, str]
    """The results of earlier calls, by the id of the call."""
    system: str


_HELLO = Turn(texts=("Hello, ", "wörld."))
_TURNS = {
    "think": Turn(thoughts=("Let me ", "think."), texts=("42",)),
    "short": Turn(texts=("Hello, wor",), stop="length"),
    "break": Turn(texts=("Hello, ", "wor")),
    "city": Turn(texts=('{"name": "Bern",', ' "people": 137000}')),
}


def turn_for(view: RequestView, counts: Counts) -> Turn:
    """The model's response."""
    if cities := tuple(city for city in CITIES if city in view.prompt):
        assert view.tools == ("weather",), view
        calls = tuple(ToolCall(f"call_{city}", json.dumps({"city": city})) for city in cities)
        if not view.results:
            return Turn(calls=calls, stop="tools", counts=counts)
        reports = "; ".join(view.results[call.id] for call in calls)
        return Turn(texts=(reports,), counts=counts)
    if SHELL in view.tools:
        if view.results:
            return Turn(texts=("It printed: ", *view.results.values()), counts=counts)
        call = ToolCall("call_1", json.dumps({"cmd": COMMAND}), SHELL)
        return Turn(calls=(call,), stop="tools", counts=counts)
    if view.prompt == "system":
        return Turn(texts=(view.system,), counts=counts)
    return _TURNS.get(view.prompt, _HELLO)._replace(counts=counts)


def text_of(content: Any) -> str:
    """The text of a string, or of the parts of a list."""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or ())
