"""The words of a model in a chat completion, for the dialects that translate them.

The chat adapter has written it: there is one choice, and calls of tools have indexes and ids.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec


class Thought(msgspec.Struct, frozen=True):
    """A piece of reasoning: text, its signature, or encrypted `data` instead of both.

    `format` names whose signature or data it is.
    """

    text: str = ""
    signature: str | None = None
    data: str | None = None
    format: str | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the next piece is another thought: a signature ends a text."""
        return self.data is not None or self.signature is not None


def join_thoughts(pieces: Iterable[Thought]) -> list[Thought]:
    """Whole thoughts: a text without a signature continues in the next piece."""
    groups: list[list[Thought]] = []
    for piece in pieces:
        if not groups or groups[-1][-1].is_complete or piece.data is not None:
            groups.append([])
        groups[-1].append(piece)
    return [_joined(group) for group in groups]


def _joined(group: list[Thought]) -> Thought:
    formats = [piece.format for piece in group if piece.format]
    return Thought(
        "".join(piece.text for piece in group),
        group[-1].signature,
        group[-1].data,
        formats[-1] if formats else None,
    )


class _Detail(msgspec.Struct):
    type: str = ""
    text: str | None = None
    summary: str | None = None
    signature: str | None = None
    data: str | None = None
    format: str | None = None


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Custom(msgspec.Struct):
    name: str | None = None
    input: str | None = None


class ToolCallPart(msgspec.Struct):
    """A call of a tool, or the next piece of its arguments."""

    index: int = 0
    id: str | None = None
    function: _Function = msgspec.field(default_factory=_Function)
    custom: _Custom = msgspec.field(default_factory=_Custom)

    @property
    def name(self) -> str:
        """The name of the tool; empty in all pieces but the first."""
        return self.function.name or self.custom.name or ""

    @property
    def arguments(self) -> str:
        """The arguments, or a piece of them; the text for a custom tool."""
        return self.function.arguments or self.custom.input or ""


class Delta(msgspec.Struct):
    """A message, or a piece of one."""

    content: Any = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_details: list[_Detail] | None = None
    tool_calls: list[ToolCallPart] | None = None
    annotations: Any = None

    @property
    def text(self) -> str:
        """The text, also if it is in parts."""
        return _text(self.content)

    @property
    def spoken(self) -> str:
        """The text and the refusal, for a dialect that has no refusals."""
        return self.text + (self.refusal or "")

    @property
    def thoughts(self) -> Iterator[Thought]:
        """The reasoning. Details have the same text as `reasoning`, so it counts once."""
        details = self.reasoning_details or ()
        if self.reasoning and not any(each.text or each.summary for each in details):
            yield Thought(self.reasoning)
        for each in details:
            if each.data is not None:
                yield Thought(data=each.data, format=each.format)
            elif each.text or each.summary or each.signature:
                text = each.text or each.summary or ""
                yield Thought(text, each.signature or None, format=each.format)

    @property
    def joined_thoughts(self) -> list[Thought]:
        """The same for a whole message."""
        return join_thoughts(self.thoughts)


class Logprobs(msgspec.Struct):
    """The probabilities of the tokens in `content`."""

    content: list[Any] | None = None


class _ChunkChoice(msgspec.Struct):
    delta: Delta = msgspec.field(default_factory=Delta)
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class Chunk(msgspec.Struct):
    """A chunk of a stream."""

    choices: list[_ChunkChoice] = []


class Choice(msgspec.Struct):
    """The choice of a whole completion."""

    message: Delta = msgspec.field(default_factory=Delta)
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class Completion(msgspec.Struct):
    """A whole completion."""

    choices: list[Choice]


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = (part.get("text") for part in content if isinstance(part, dict))
    return "".join(text for text in texts if isinstance(text, str))
