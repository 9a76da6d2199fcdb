"""What an inference request asks for, as far as money and routing are concerned, and its way on.

All other members stay the bytes the client sent: tools, images and whatever a provider will invent
go through intact.
"""

from enum import StrEnum
from typing import Annotated, Any

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.prices import Bounds
from modelgates_server.core.usage import Meter

MODEL_MAX_CHARS = 255
CHOICES_MAX = 128
OUTPUT_MAX_TOKENS = 10**9

_REQUEST_TOKENS = 64
_TOOLS_TOKENS = 1024
_MESSAGE_TOKENS = 16
"""More than chat templates put around a message, a request, and a list of tools."""

Members = dict[str, msgspec.Raw]


class Api(StrEnum):
    """The inference operations; the value is the path below a provider's base URL."""

    CHAT = "chat/completions"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """One request. `members` is the body, each member as it was sent.

    `text_bytes` bounds its text from above, `media` counts parts that are not text, `choices` the
    answers it asks for, `cap_tokens` is its own limit for the output of each. `unlike_text` are
    the classes it asks for that are not charged like text.
    """

    api: Api
    model: str
    members: Members
    stream: bool
    text_bytes: int
    messages: int
    media: int
    has_tools: bool
    unlike_text: frozenset[Meter]
    choices: int
    cap_tokens: int | None
    user: str | None
    session_id: str | None

    def input_tokens(self, *, context_tokens: int, media_tokens: int | None) -> int:
        """A true upper bound of what the model can read.

        A byte-level tokenizer makes at most one token of a byte, templates add a few to each
        message, and nothing is longer than the context. An image or a recording may be as large as
        the context, unless it is known that a part takes at most `media_tokens`.
        """
        tokens = self.text_bytes + _REQUEST_TOKENS + _MESSAGE_TOKENS * self.messages
        if self.has_tools:
            tokens += _TOOLS_TOKENS
        if self.media:
            tokens += context_tokens if media_tokens is None else self.media * media_tokens
        return min(tokens, context_tokens)

    def bounds(
        self, *, context_tokens: int, media_tokens: int | None, output_tokens: int
    ) -> Bounds:
        """The most this request can use, if each choice puts out at most so many tokens."""
        return Bounds(
            input_tokens=self.input_tokens(
                context_tokens=context_tokens, media_tokens=media_tokens
            ),
            output_tokens=output_tokens * self.choices,
            media=bool(self.media),
        )


_Count = Annotated[int, msgspec.Meta(ge=1, le=CHOICES_MAX)]
_Tokens = Annotated[int, msgspec.Meta(ge=1, le=OUTPUT_MAX_TOKENS)]
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=MODEL_MAX_CHARS)]


class _Message(msgspec.Struct):
    content: msgspec.Raw = msgspec.Raw(b"null")


class _Part(msgspec.Struct):
    type: str = "text"


class _Tool(msgspec.Struct):
    type: str = "function"


class _Asked(msgspec.Struct):
    """The members that we read; their types are checked here, at the door."""

    model: _Text
    stream: bool | None = None
    messages: list[_Message] | None = None
    prompt: msgspec.Raw = msgspec.Raw(b"null")
    input: msgspec.Raw = msgspec.Raw(b"null")
    max_tokens: _Tokens | None = None
    max_completion_tokens: _Tokens | None = None
    n: _Count | None = None
    best_of: _Count | None = None
    tools: list[_Tool] | None = None
    functions: list[Any] | None = None
    modalities: list[str] | None = None
    user: Annotated[str, msgspec.Meta(max_length=MODEL_MAX_CHARS)] | None = None
    session_id: Annotated[str, msgspec.Meta(max_length=MODEL_MAX_CHARS)] | None = None
    service_tier: str | None = None
    web_search_options: Any = None
    plugins: list[Any] | None = None


_asked = msgspec.json.Decoder(_Asked)
_members = msgspec.json.Decoder(Members)
_parts = msgspec.json.Decoder(list[msgspec.Raw])
_part = msgspec.json.Decoder(_Part)
_prompts = msgspec.json.Decoder(list[Any])

_ROUTING = ("usage", "models", "route", "provider", "transforms", "plugins", "session_id")
"""Members that OpenRouter's clients address to the gateway; a provider would refuse them."""

_OUTPUT_OF = {"audio": Meter.OUTPUT_AUDIO, "image": Meter.OUTPUT_IMAGE}

_CAPS = ("max_tokens", "max_completion_tokens")
_NULL = msgspec.Raw(b"null")

_TIERS = (None, "auto", "default", "standard_only", "flex")


def read_demand(api: Api, body: bytes) -> Demand:
    """Read a request's body; raises `InvalidInput` that names the member at fault."""
    try:
        if not body.isascii():
            body.decode()
        asked, members = _asked.decode(body), _members.decode(body)
    except UnicodeDecodeError:
        raise InvalidInput("the body is not valid UTF-8") from None
    except RecursionError:
        raise InvalidInput("the body is nested too deeply") from None
    except msgspec.DecodeError as error:
        raise InvalidInput(f"the body does not fit: {error}") from None
    _refuse_unpriced(asked)
    media_bytes, media, unlike_text = _media(asked)
    return Demand(
        api=api,
        model=asked.model,
        members=members,
        stream=bool(asked.stream) and api is not Api.EMBEDDINGS,
        text_bytes=len(body) - media_bytes,
        messages=len(asked.messages or ()),
        media=media,
        has_tools=bool(asked.tools or asked.functions),
        unlike_text=unlike_text,
        choices=max(asked.n or 1, asked.best_of or 1) * _inputs(api, asked),
        cap_tokens=_cap(asked),
        user=asked.user,
        session_id=asked.session_id,
    )


def _inputs(api: Api, asked: _Asked) -> int:
    """How many texts are to be continued; raises where there is none."""
    if api is Api.CHAT:
        if not asked.messages:
            raise InvalidInput('Input required: specify "prompt" or "messages"')
        return 1
    given = asked.input if api is Api.EMBEDDINGS else asked.prompt
    raw = bytes(given)
    if raw == b"null":
        name = "input" if api is Api.EMBEDDINGS else "prompt"
        raise InvalidInput(f'Input required: specify "{name}"')
    if api is Api.EMBEDDINGS or not raw.startswith(b"["):
        return 1
    prompts = _prompts.decode(raw)
    # A list of numbers is one prompt in tokens.
    count = 1 if prompts and isinstance(prompts[0], int) else len(prompts)
    if not 1 <= count <= CHOICES_MAX:
        raise InvalidInput(f"prompt must have 1 to {CHOICES_MAX} texts")
    return count


def _cap(asked: _Asked) -> int | None:
    caps = [cap for cap in (asked.max_tokens, asked.max_completion_tokens) if cap is not None]
    return max(caps, default=None)


def _media(asked: _Asked) -> tuple[int, int, frozenset[Meter]]:
    """Bytes and number of the parts that are not text: their size says nothing about tokens."""
    size = count = 0
    unlike_text = {_OUTPUT_OF[name] for name in asked.modalities or () if name in _OUTPUT_OF}
    for message in asked.messages or ():
        content = bytes(message.content)
        if not content.startswith(b"["):
            continue
        for raw in _parts.decode(content):
            kind = _type_of(raw)
            if kind not in ("text", "refusal"):
                size += len(bytes(raw))
                count += 1
            if kind == "input_audio":
                unlike_text.add(Meter.INPUT_AUDIO)
    return size, count, frozenset(unlike_text)


def _type_of(raw: msgspec.Raw) -> str:
    try:
        return _part.decode(raw).type
    except msgspec.DecodeError:
        raise InvalidInput("a part of a message's content must be an object with a type") from None


def _refuse_unpriced(asked: _Asked) -> None:
    """What changes a provider's bill without a trace in the usage would be paid by nobody."""
    if asked.service_tier not in _TIERS:
        raise InvalidInput(f"service_tier {asked.service_tier!r:.80} has no price here")
    if asked.web_search_options is not None or asked.plugins:
        raise InvalidInput("web search and plugins have no price here; leave them out")
    for tool in asked.tools or ():
        if tool.type not in ("function", "custom"):
            raise InvalidInput(f"tools of type {tool.type!r:.80} have no price here")


def upstream_body(
    demand: Demand, upstream_model: str, *, cap_parameter: str, cap_tokens: int | None
) -> bytes:
    """The body for the provider: its own name of the model, our cap, and usage asked for."""
    members = {name: raw for name, raw in demand.members.items() if name not in _ROUTING}
    members["model"] = msgspec.Raw(msgspec.json.encode(upstream_model))
    if cap_tokens is not None:
        names = [name for name in _CAPS if bytes(members.get(name, _NULL)) != b"null"]
        members.update(dict.fromkeys(names or [cap_parameter], msgspec.Raw(b"%d" % cap_tokens)))
    if demand.stream:
        members["stream_options"] = _with_usage(members.get("stream_options"))
    return msgspec.json.encode(members)


def _with_usage(options: msgspec.Raw | None) -> msgspec.Raw:
    """Without the usage chunk a stream could only be estimated, so it is always asked for."""
    given: Members = {}
    if options is not None and bytes(options) != b"null":
        try:
            given = _members.decode(options)
        except msgspec.DecodeError:
            raise InvalidInput("stream_options must be an object") from None
    return msgspec.Raw(msgspec.json.encode({**given, "include_usage": msgspec.Raw(b"true")}))
