"""Reads the sandbox's requests and splits texts into tokens.

A token is a run of visible characters with the space after it; space at the start of a text is a
separate token. So a text never has more tokens than bytes, and its tokens joined are the text.
"""

import re
from collections.abc import Iterable
from itertools import islice
from typing import Annotated, Any, Literal

import msgspec

from modelgates_server.core.metering.request import CHOICES_MAX
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.providers.sandbox.script import ScriptedError

CONTEXT_TOKENS = 131_072
OUTPUT_TOKENS = 16_384
DIMENSIONS_MAX = 1024

_MESSAGE_TOKENS = 4
_INPUTS_MAX = 2048
_TOKEN = re.compile(r"\S+\s*|\s+")

_Count = Annotated[int, msgspec.Meta(ge=1)]
_Texts = str | list[str | int | list[int]]


class Part(msgspec.Struct):
    """A content part of a message; only text is read."""

    type: str
    text: str | None = None


class Message(msgspec.Struct):
    """A message of a chat."""

    role: str = "user"
    content: str | list[Part] | None = None

    @property
    def text(self) -> str:
        """The text parts, joined."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text or "" for part in self.content or () if part.type == "text")


class Function(msgspec.Struct):
    """A function that may be called; its parameters are not read."""

    name: str


class Tool(msgspec.Struct):
    """A tool that may be called."""

    function: Function | None = None


class ResponseFormat(msgspec.Struct):
    """The requested output format: `text`, `json_object` or `json_schema`."""

    type: str = "text"


class StreamOptions(msgspec.Struct):
    """Options for streams."""

    include_usage: bool | None = None


class SandboxRequest(msgspec.Struct):
    """The parameters that change what the sandbox does; it ignores all others."""

    model: str
    messages: list[Message] | None = None
    prompt: _Texts | None = None
    input: _Texts | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: _Count | None = None
    max_completion_tokens: _Count | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=CHOICES_MAX)] | None = None
    tools: list[Tool] | None = None
    response_format: ResponseFormat | None = None
    dimensions: Annotated[int, msgspec.Meta(ge=1, le=DIMENSIONS_MAX)] | None = None
    encoding_format: Literal["float", "base64"] | None = None

    @property
    def has_cap(self) -> bool:
        """Whether the request limits its output."""
        return self.max_tokens is not None or self.max_completion_tokens is not None

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with a chunk that has the usage."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)


class ParsedRequest(msgspec.Struct, frozen=True):
    """A request with its texts: the last user message, each prompt, or each input.

    `cap_tokens` is the most tokens that one choice may have.
    """

    api: Api
    request: SandboxRequest
    texts: list[str]
    prompt_tokens: int
    cap_tokens: int


_request = msgspec.json.Decoder(SandboxRequest)


def read_request(api: Api, body: bytes) -> ParsedRequest:
    """Read a request's body; raises `ScriptedError`."""
    try:
        request = _request.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ScriptedError(400, f"Invalid request body: {error}.") from None
    if api is Api.CHAT:
        texts, prompt_tokens = _conversation(request)
    else:
        name = "prompt" if api is Api.COMPLETIONS else "input"
        texts = _texts(getattr(request, name), name)
        prompt_tokens = _count(texts)
    if prompt_tokens > CONTEXT_TOKENS:
        raise ScriptedError(
            400,
            f"This model's maximum context length is {CONTEXT_TOKENS} tokens. Shorten the input.",
            code="context_length_exceeded",
        )
    return ParsedRequest(api, request, texts, prompt_tokens, _cap(request, prompt_tokens))


def tokens_of(text: str) -> list[str]:
    """The tokens of a text, in order."""
    return _TOKEN.findall(text)


def _conversation(request: SandboxRequest) -> tuple[list[str], int]:
    """The last user message (the last of all if there is none), and the tokens of all messages."""
    messages = request.messages
    if not messages:
        raise ScriptedError(400, "Missing required parameter: 'messages'.", param="messages")
    from_user = (message for message in reversed(messages) if message.role == "user")
    last = next(from_user, messages[-1])
    tokens = _count(message.text for message in messages) + _MESSAGE_TOKENS * len(messages)
    return [last.text], tokens


def _texts(given: _Texts | None, name: str) -> list[str]:
    """One text or many, each a string or a list of token numbers, which are read as words."""
    if given is None:
        raise ScriptedError(400, f"Missing required parameter: '{name}'.", param=name)
    if isinstance(given, str):
        return [given]
    most = CHOICES_MAX if name == "prompt" else _INPUTS_MAX
    if given and all(isinstance(item, int) for item in given):
        return [_words(given)]
    texts = [
        item if isinstance(item, str) else _words(item)
        for item in given
        if not isinstance(item, int)
    ]
    if len(texts) != len(given) or not 1 <= len(texts) <= most:
        message = f"'{name}' must be a text or a list of 1 to {most} texts."
        raise ScriptedError(400, message, param=name)
    return texts


def _words(numbers: Iterable[Any]) -> str:
    return " ".join(map(str, numbers))


def _count(texts: Iterable[str]) -> int:
    """The tokens of all texts; counting stops for each text just above the context's size."""
    return sum(sum(1 for _ in islice(_TOKEN.finditer(text), CONTEXT_TOKENS + 1)) for text in texts)


def _cap(request: SandboxRequest, prompt_tokens: int) -> int:
    caps = [OUTPUT_TOKENS, CONTEXT_TOKENS - prompt_tokens]
    caps += [cap for cap in (request.max_tokens, request.max_completion_tokens) if cap is not None]
    return min(caps)
