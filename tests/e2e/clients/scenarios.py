"""What the clients that play scenarios share: their arguments, the tool, and their output."""

import asyncio
import inspect
import json
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from pydantic import BaseModel

UNKNOWN_KEY = "sk-mg-v1-" + "0" * 49
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather of a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]


class City(BaseModel):
    """The type of a response."""

    name: str
    people: int


def weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


class Setup(NamedTuple):
    """A model and how to call it. A client adds to `charged` the cost of each call that it sees.

    A cost is the shortest text of a float; a client that shows no costs adds input and output
    tokens.
    """

    base_url: str
    key: str
    poor_key: str
    model: str
    charged: list[Any]


class Player(Protocol):
    """A client that does not retry. Its methods return what an application sees, or await it."""

    def __init__(self, setup: Setup) -> None: ...

    def say(self, prompt: str, *, stream: bool) -> Any:
        """The text of the response."""

    def use_tools(self, prompt: str, *, stream: bool) -> Any:
        """The loop of an agent: its calls of tools, the reasons for each end, and the last text."""

    def typed(self, prompt: str, *, stream: bool) -> Any:
        """The fields of a `City`, which the client asks for and parses."""

    def think(self, prompt: str, *, stream: bool) -> Any:
        """The reasoning, and the text."""

    def status(self, model: str, key: str) -> Any:
        """The status of an error."""

    def limited(self, prompt: str, *, stream: bool) -> Any:
        """The status of an error, and the text of its `Retry-After`."""

    def broken(self, prompt: str) -> Any:
        """The text of a stream before its error."""

    def leave(self, prompt: str, farewell: str) -> Any:
        """The first text of a stream that the client leaves; then it says the farewell."""


SCENARIOS: Mapping[str, Callable[[Player, Setup], Any]] = {
    "text": lambda player, _: player.say("hello", stream=False),
    "text_stream": lambda player, _: player.say("hello", stream=True),
    "tool": lambda player, _: player.use_tools("Bern", stream=False),
    "tool_stream": lambda player, _: player.use_tools("Bern", stream=True),
    "tools": lambda player, _: player.use_tools("Bern, Oslo", stream=False),
    "tools_stream": lambda player, _: player.use_tools("Bern, Oslo", stream=True),
    "typed": lambda player, _: player.typed("city", stream=False),
    "typed_stream": lambda player, _: player.typed("city", stream=True),
    "think": lambda player, _: player.think("think", stream=False),
    "think_stream": lambda player, _: player.think("think", stream=True),
    "unknown_model": lambda player, setup: player.status("acme/unknown", setup.key),
    "unknown_key": lambda player, setup: player.status(setup.model, UNKNOWN_KEY),
    "no_credits": lambda player, setup: player.status(setup.model, setup.poor_key),
    "limited": lambda player, _: player.limited("limit", stream=False),
    "limited_stream": lambda player, _: player.limited("limit", stream=True),
    "broken": lambda player, _: player.broken("break"),
    "left": lambda player, _: player.leave("wait", "I left"),
}


def play(version: str, connect: Callable[[Setup], Player]) -> None:
    """Plays all scenarios with every model, and prints what the client saw, as JSON.

    Arguments: base URL, a key, a key without credits, and the models.
    """
    base_url, key, poor_key, *models = sys.argv[1:]
    output: dict[str, Any] = {"version": version}
    with asyncio.Runner() as runner:
        for model in models:
            setup = Setup(base_url, key, poor_key, model, [])
            player = connect(setup)
            seen = {name: _seen(name, player, setup, runner) for name in SCENARIOS}
            output[model] = {"seen": seen, "charged": setup.charged}
    print(json.dumps(output))


def _seen(name: str, player: Player, setup: Setup, runner: asyncio.Runner) -> Any:
    try:
        result = SCENARIOS[name](player, setup)
        return runner.run(result) if inspect.iscoroutine(result) else result
    except Exception as error:  # noqa: BLE001 - what a client raises is what it shows
        traceback.print_exc()
        return repr(error)


def raised(kind: type[Exception], call: Callable[[], object]) -> Any:
    """The error of a call."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"expected {kind}")


async def raised_later(kind: type[Exception] | tuple[type[Exception], ...], call: Any) -> Any:
    """The error of something that is awaited."""
    try:
        await call
    except kind as error:
        return error
    raise AssertionError(f"expected {kind}")
