"""What an inference request asks for, as far as money and routing are concerned, and its way on.

All other members stay the bytes the client sent: tools, images and whatever a provider will invent
go through intact.
"""

from enum import StrEnum
from typing import Annotated

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.prices import Bounds
from modelgates_server.core.usage import Meter

MODEL_MAX_CHARS = 255
CHOICES_MAX = 128
OUTPUT_MAX_TOKENS = 10**9

_REQUEST_TOKENS = 768
_TOOLS_TOKENS = 1024
_MESSAGE_TOKENS = 16
"""More than providers put before a request (grok-4's own takes about 700), add to a list of tools
and put around a message."""

_ASCII = bytes(range(128))
_HTML = b"<>&'"

Members = dict[str, msgspec.Raw]


class Api(StrEnum):
    """The inference operations; the value is the path below a provider's base URL."""

    CHAT = "chat/completions"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """One request. `members` is the body, each member as it was sent; a stream asks for its usage.

    `text_bytes` bounds its text from above; there are `texts` of them, each read in a context of
    its own. `escape_bytes` is what a template may add to the JSON of its tools and calls. `media`
    counts parts that are not text; with `has_files` some are neither one image nor one recording.
    `choices` are the answers it asks for, `cap_tokens` is its own limit for the output of each.
    `unlike_text` are the classes it asks for that are not charged like text.
    """

    api: Api
    model: str
    members: Members
    stream: bool
    text_bytes: int
    escape_bytes: int
    texts: int
    messages: int
    media: int
    has_files: bool
    has_tools: bool
    unlike_text: frozenset[Meter]
    choices: int
    cap_tokens: int | None
    user: str | None
    session_id: str | None

    def input_tokens(self, *, context_tokens: int, media_tokens: int | None) -> int:
        """A true upper bound of what the model can read.

        A byte-level tokenizer makes at most one token of a byte, templates add a few to each
        message and may escape tools, and no text is longer than the context. An image or a
        recording may be as large as the context, unless it is known that one takes at most
        `media_tokens`; a file always may.
        """
        most = self.texts * context_tokens
        if self.has_files or (self.media and media_tokens is None):
            return most
        tokens = self.text_bytes + self.escape_bytes + _REQUEST_TOKENS
        tokens += _MESSAGE_TOKENS * (self.messages + self.texts)
        if self.has_tools:
            tokens += _TOOLS_TOKENS
        return min(tokens + self.media * (media_tokens or 0), most)

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


_NULL = msgspec.Raw(b"null")

_Count = Annotated[int, msgspec.Meta(ge=1, le=CHOICES_MAX)]
_Tokens = Annotated[int, msgspec.Meta(ge=1, le=OUTPUT_MAX_TOKENS)]
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=MODEL_MAX_CHARS)]


class _Message(msgspec.Struct):
    """`audio` names what the model said before (OpenAI), `images` are what it drew (OpenRouter)."""

    content: msgspec.Raw = _NULL
    audio: msgspec.Raw = _NULL
    images: msgspec.Raw = _NULL
    tool_calls: msgspec.Raw = _NULL
    function_call: msgspec.Raw = _NULL


class _Typed(msgspec.Struct):
    """A part or a tool. What has no type would be whatever a provider takes it for."""

    type: str


class _Asked(msgspec.Struct):
    """The members that we read; their types are checked here, at the door."""

    model: _Text
    stream: bool | None = None
    stream_options: Members | None = None
    messages: list[_Message] | None = None
    prompt: msgspec.Raw = _NULL
    input: msgspec.Raw = _NULL
    max_tokens: _Tokens | None = None
    max_completion_tokens: _Tokens | None = None
    n: _Count | None = None
    best_of: _Count | None = None
    tools: list[_Typed] | None = None
    functions: list[msgspec.Raw] | None = None
    modalities: list[str] | None = None
    user: Annotated[str, msgspec.Meta(max_length=MODEL_MAX_CHARS)] | None = None
    session_id: Annotated[str, msgspec.Meta(max_length=MODEL_MAX_CHARS)] | None = None
    service_tier: str | None = None


_asked = msgspec.json.Decoder(_Asked)
_members = msgspec.json.Decoder(Members)
_parts = msgspec.json.Decoder(list[msgspec.Raw])
_part = msgspec.json.Decoder(_Typed)

_ROUTING = ("usage", "models", "route", "provider", "transforms", "plugins", "session_id")
"""Members that OpenRouter's clients address to the gateway; a provider would refuse them."""

_MAX_TOKENS = "max_tokens"
_CAPS = (_MAX_TOKENS, "max_completion_tokens")
_ALIASES = {
    "n_predict": _MAX_TOKENS,
    "max_new_tokens": _MAX_TOKENS,
    "max_output_tokens": _MAX_TOKENS,
    "auto_max_new_tokens": _MAX_TOKENS,
    "n_cmpl": "n",
}
"""What llama.cpp's and other servers read first; `auto_max_new_tokens` makes text-generation-webui
write to the end of the context."""

_UNPRICED = (
    "web_search_options",
    "plugins",
    "search_parameters",
    "enable_search",
    "data_sources",
    "prediction",
    "chat_template",
)
"""Searches of OpenAI, OpenRouter, xAI and Qwen, and Azure's, which makes the prompt longer.

A prediction's rejected tokens are billed as output beyond `max_tokens`; a template of the client's
own can make a prompt of any length from its request.
"""

_TIERS = (None, "auto", "default", "standard_only", "flex")

_OUTPUT_OF = {"audio": Meter.OUTPUT_AUDIO, "image": Meter.OUTPUT_IMAGE}
_TEXTUAL = ("text", "refusal")
_AUDIBLE = ("input_audio", "audio_url", "audio")
_SINGLE = ("image_url", "input_audio", "audio_url")
"""One image or one recording each. Others may be documents of many pages, films, or text."""


class _Media(msgspec.Struct):
    """What a request has besides text. How many bytes it takes says nothing about tokens."""

    unlike_text: set[Meter]
    size: int = 0
    count: int = 0
    has_files: bool = False

    def add(self, kind: str, raw: msgspec.Raw) -> None:
        self.size += len(bytes(raw))
        self.count += 1
        self.has_files = self.has_files or kind not in _SINGLE
        if kind in _AUDIBLE:
            self.unlike_text.add(Meter.INPUT_AUDIO)


def read_demand(api: Api, body: bytes) -> Demand:
    """Read a request's body; raises `InvalidInput` that names the member at fault."""
    try:
        if not body.isascii():
            body.decode()
        return _demand(api, len(body), _asked.decode(body), _members.decode(body))
    except UnicodeDecodeError:
        raise InvalidInput("the body is not valid UTF-8") from None
    except RecursionError:
        raise InvalidInput("the body is nested too deeply") from None
    except msgspec.DecodeError as error:
        raise InvalidInput(f"the body does not fit: {error}") from None


def _demand(api: Api, size: int, asked: _Asked, members: Members) -> Demand:
    _refuse_other_names(members)
    _refuse_unpriced(asked, members)
    media = _media(asked)
    texts = _texts(api, asked, media)
    embeds = api is Api.EMBEDDINGS
    # What stands behind a prompt is read with each of them.
    suffix = b"" if api is not Api.COMPLETIONS else bytes(members.get("suffix", b""))
    if embeds:
        members.pop("stream", None)  # there are no streams of embeddings to meter
    stream = bool(asked.stream) and not embeds
    if stream:
        # Without the usage chunk a stream could only be estimated, so it is always asked for.
        options = {**(asked.stream_options or {}), "include_usage": msgspec.Raw(b"true")}
        members["stream_options"] = msgspec.Raw(msgspec.json.encode(options))
    return Demand(
        api=api,
        model=asked.model,
        members=members,
        stream=stream,
        text_bytes=size - media.size + (texts - 1) * len(suffix),
        escape_bytes=_escape_bytes(asked, members),
        texts=texts,
        messages=len(asked.messages or ()),
        media=media.count,
        has_files=media.has_files,
        has_tools=bool(asked.tools or asked.functions),
        unlike_text=frozenset(media.unlike_text),
        choices=1 if embeds else texts * max(asked.n or 1, asked.best_of or 1),
        cap_tokens=None if embeds else _cap(asked),
        user=asked.user,
        session_id=asked.session_id,
    )


def _escape_bytes(asked: _Asked, members: Members) -> int:
    """How much longer tools and calls get at most, if a template writes their JSON HTML-safe.

    Ollama and TGI write `<` in them as six characters, and others all that is not ASCII: at most
    three bytes for one.
    """
    written = [members.get("tools", _NULL), members.get("functions", _NULL)]
    for message in asked.messages or ():
        written += message.tool_calls, message.function_call
    text = b"".join(map(bytes, written))
    signs = len(text) - len(text.translate(None, _HTML))
    return 5 * signs + 2 * len(text.translate(None, _ASCII))


def _texts(api: Api, asked: _Asked, media: _Media) -> int:
    """How many texts are read, each by itself; raises where there is none."""
    if api is Api.CHAT:
        if not asked.messages:
            raise InvalidInput('Input required: specify "prompt" or "messages"')
        return 1
    name, given = ("input", asked.input) if api is Api.EMBEDDINGS else ("prompt", asked.prompt)
    if _is_null(given):
        raise InvalidInput(f'Input required: specify "{name}"')
    each = _parts.decode(given) if bytes(given).startswith(b"[") else [given]
    for raw in each:
        # An object, also within a list, may be an image (OpenRouter's embeddings, llama.cpp).
        if b"{" in bytes(raw) and not bytes(raw).startswith(b'"'):
            media.add("object", raw)
    # A list of numbers is one text in tokens.
    numbers = all(bytes(raw)[:1].isdigit() for raw in each)
    count = 1 if numbers else len(each)
    if not each or (api is Api.COMPLETIONS and count > CHOICES_MAX):
        raise InvalidInput(f"{name} must have at least one text, and prompt {CHOICES_MAX} at most")
    return count


def _cap(asked: _Asked) -> int | None:
    caps = [cap for cap in (asked.max_tokens, asked.max_completion_tokens) if cap is not None]
    return max(caps, default=None)


def _media(asked: _Asked) -> _Media:
    media = _Media({_OUTPUT_OF[name] for name in asked.modalities or () if name in _OUTPUT_OF})
    for message in asked.messages or ():
        for kind, raw in (("audio", message.audio), ("images", message.images)):
            if not _is_null(raw):
                media.add(kind, raw)
        content = bytes(message.content)
        if content.startswith(b"["):
            for raw in _parts.decode(content):
                if (kind := _type_of(raw)) not in _TEXTUAL:
                    media.add(kind, raw)
        elif not content.startswith(b'"') and content != b"null":
            raise InvalidInput("the content of a message must be a text or a list of parts")
    return media


def _type_of(raw: msgspec.Raw) -> str:
    try:
        return _part.decode(raw).type
    except msgspec.DecodeError:
        raise InvalidInput("a part of a message's content must be an object with a type") from None


def _is_null(raw: msgspec.Raw) -> bool:
    return bytes(raw) == b"null"


def _refuse_other_names(members: Members) -> None:
    """Servers in Go read `Max_Tokens` as `max_tokens`: what we do not see we would not hold for."""
    for name in members:
        folded = name.casefold()
        ours = _ALIASES.get(folded, folded)
        if ours != name and (ours in _Asked.__struct_fields__ or ours in _UNPRICED):
            raise InvalidInput(f"write {ours} instead of {name:.80}")


def _refuse_unpriced(asked: _Asked, members: Members) -> None:
    """What changes a provider's bill without a trace in the usage would be paid by nobody."""
    if asked.service_tier not in _TIERS:
        raise InvalidInput(f"service_tier {asked.service_tier!r:.80} has no price here")
    for name in _UNPRICED:
        if bytes(members.get(name, _NULL)) not in (b"null", b"[]", b"false"):
            raise InvalidInput(f"{name} has no price here; leave it out")
    for tool in asked.tools or ():
        if tool.type not in ("function", "custom"):
            raise InvalidInput(f"tools of type {tool.type!r:.80} have no price here")


def upstream_body(
    demand: Demand, upstream_model: str, *, cap_parameter: str, cap_tokens: int | None
) -> bytes:
    """The body for the provider: its own name of the model, and the cap under the name it reads.

    Ollama passes over the other name, and its answer would not end at the cap. The older operation
    knows `max_tokens` alone.
    """
    members = {name: raw for name, raw in demand.members.items() if name not in _ROUTING}
    members["model"] = msgspec.Raw(msgspec.json.encode(upstream_model))
    cap_tokens = demand.cap_tokens if cap_tokens is None else cap_tokens
    if demand.api is not Api.EMBEDDINGS:
        read = _MAX_TOKENS if demand.api is Api.COMPLETIONS else cap_parameter
        for name in _CAPS:
            if name != read:
                members.pop(name, None)  # Mistral refuses it even where it is null
        if cap_tokens is not None:
            members[read] = msgspec.Raw(b"%d" % cap_tokens)
    return msgspec.json.encode(members)
