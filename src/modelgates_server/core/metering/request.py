"""What an inference request asks for, as far as money and routing are concerned, and its way on.

All other members stay the bytes the client sent: tools, images and whatever a provider will invent
go through intact.
"""

from enum import StrEnum
from typing import Annotated, Literal

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.metering.contents import (
    Media,
    escape_bytes,
    new_media,
    read_messages,
    read_tools,
)
from modelgates_server.core.metering.members import (
    Grammar,
    JsonObject,
    misfit,
    read_object,
    refuse_too_long,
    refuse_too_many_values,
    says_nothing,
)
from modelgates_server.core.metering.preferences import Preferences, read_preferences
from modelgates_server.core.metering.unserved import UNPRICED, refuse_unserved
from modelgates_server.core.pricing.prices import Bounds
from modelgates_server.core.pricing.usage import Meter

MODEL_MAX_CHARS = 255
MODELS_MAX = 100
CHOICES_MAX = 128
TEXTS_MAX = 10_000
OUTPUT_MAX_TOKENS = 10**9

_REQUEST_TOKENS = 768
_TOOLS_TOKENS = 1024
_MESSAGE_TOKENS = 16
"""More than providers put before a request (grok-4's own takes about 700), add to a list of tools
and put around a message."""


class Api(StrEnum):
    """The inference operations; the value is the path below a provider's base URL."""

    CHAT = "chat/completions"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"


class InferenceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request. `members` is the body, each member as it was sent; a stream asks for its usage.

    `text_bytes` bounds its text from above; there are `texts` of them, each read in a context of
    its own. `escape_bytes` is what a template may add to the JSON of its tools and calls,
    `echo_bytes` what an answer repeats of the prompts. `media` counts parts that are not text,
    `sounds` those of them to be heard; with `has_files` some are neither one image nor one
    recording. `choices` are the answers it asks for, `cap_tokens` is its own limit for the output
    of each. `unlike_text` are the classes it asks for that are not charged like text.

    `models` are those it may go to, in its order. `parts` are the types of what is not text, with
    the modality a model must read for each. `service_tier` is its word for it, which only a price
    can tell the meaning of.
    """

    api: Api
    models: tuple[str, ...]
    preferences: Preferences
    members: JsonObject
    stream: bool
    text_bytes: int
    escape_bytes: int
    echo_bytes: int
    texts: int
    messages: int
    media: int
    sounds: int
    parts: dict[str, str]
    has_files: bool
    has_tools: bool
    unlike_text: frozenset[Meter]
    choices: int
    cap_tokens: int | None
    user: str | None
    session_id: str | None
    service_tier: str | None

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


class _Asked(msgspec.Struct):
    """The members that we read; their types are checked here, at the door."""

    model: _Text | None = None
    models: Annotated[list[_Text], msgspec.Meta(max_length=MODELS_MAX)] | None = None
    route: Literal["fallback", "sort"] | None = None
    provider: msgspec.Raw = _NULL
    stream: bool | None = None
    stream_options: msgspec.Raw = _NULL
    messages: msgspec.Raw = _NULL
    prompt: msgspec.Raw = _NULL
    input: msgspec.Raw = _NULL
    max_tokens: _Tokens | None = None
    max_completion_tokens: _Tokens | None = None
    n: _Count | None = None
    best_of: _Count | None = None
    echo: bool | None = None
    tools: msgspec.Raw = _NULL
    functions: msgspec.Raw = _NULL
    tool_choice: msgspec.Raw = _NULL
    function_call: msgspec.Raw = _NULL
    modalities: list[str] | None = None
    user: Annotated[str, msgspec.Meta(max_length=MODEL_MAX_CHARS)] | None = None
    session_id: Annotated[str, msgspec.Meta(max_length=MODEL_MAX_CHARS)] | None = None
    service_tier: Annotated[str, msgspec.Meta(max_length=MODEL_MAX_CHARS)] | None = None


_LONG = ("messages", "prompt", "input", "tools", "functions", "tool_choice", "function_call")

_SHORT = tuple(name for name in _Asked.__struct_fields__ if name not in _LONG)

_NUMERIC = b"0123456789+-.eE, \t\r\n"

_asked = msgspec.json.Decoder(_Asked)
_parts = msgspec.json.Decoder(list[msgspec.Raw])

_ROUTING = (
    *("usage", "models", "route", "provider", "transforms", "plugins", "session_id"),
    *("debug", "trace"),
)
"""Members that OpenRouter's clients address to the gateway; a provider would refuse them."""

_MAX_TOKENS = "max_tokens"
_CAPS = (_MAX_TOKENS, "max_completion_tokens")
_ALIASES = {
    "n_predict": _MAX_TOKENS,
    "max_new_tokens": _MAX_TOKENS,
    "max_output_tokens": _MAX_TOKENS,
    "auto_max_new_tokens": _MAX_TOKENS,
    "n_cmpl": "n",
    "num_return_sequences": "n",
    "num_choices": "n",
    "candidate_count": "n",
}
"""What llama.cpp's and other servers read first; `auto_max_new_tokens` makes text-generation-webui
write to the end of the context."""

_ROOT = Grammar((*_Asked.__struct_fields__, *_ROUTING, *UNPRICED, *_ALIASES), _ALIASES)
_ENLARGING = ("mm_processor_kwargs", "media_io_kwargs", "vl_high_resolution_images")
_STREAM_OPTIONS = Grammar(("include_usage",))


def parse_request(api: Api, body: bytes) -> InferenceRequest:
    """Read a request's body; raises `InvalidInput` that names the member at fault."""
    try:
        if not body.isascii():
            body.decode()
        refuse_too_many_values(body)
        members = read_object(body, "", _ROOT)
        _drop_aliases(members)
        refuse_unserved(members)
        return _demand(api, len(body), _read(members), members)
    except UnicodeDecodeError:
        raise InvalidInput("the body is not valid UTF-8") from None
    except RecursionError:
        raise InvalidInput("the body is nested too deeply") from None
    except msgspec.DecodeError as error:
        raise misfit(error, body=body) from None


def _read(members: JsonObject) -> _Asked:
    """The members that are short. Those that may be long are decoded once, where they are used."""
    short = {name: members[name] for name in _SHORT if name in members}
    return _asked.decode(msgspec.json.encode(short))


def _demand(api: Api, size: int, asked: _Asked, members: JsonObject) -> InferenceRequest:
    media = new_media(asked.modalities)
    messages = _messages(members, media)
    texts = _texts(api, messages, members, media)
    embeds = api is Api.EMBEDDINGS
    # What stands behind a prompt is read with each of them.
    suffix = b"" if api is not Api.COMPLETIONS else bytes(members.get("suffix", b""))
    if embeds:
        members.pop("stream", None)  # there are no streams of embeddings to meter
    stream = bool(asked.stream) and not embeds
    options = _stream_options(members)
    if stream:
        # Without the usage chunk a stream could only be estimated, so it is always asked for.
        options["include_usage"] = msgspec.Raw(b"true")
        members["stream_options"] = msgspec.Raw(msgspec.json.encode(options))
    return InferenceRequest(
        api=api,
        models=_models(asked),
        preferences=read_preferences(bytes(members.get("provider", _NULL))),
        members=members,
        stream=stream,
        text_bytes=size - media.size + (texts - 1) * len(suffix),
        escape_bytes=escape_bytes(members, media),
        echo_bytes=_echo_bytes(api, asked, size - media.size),
        texts=texts,
        messages=messages,
        media=media.count,
        sounds=media.sounds,
        parts=media.parts,
        has_files=media.has_files or (media.count > 0 and _enlarges(members)),
        has_tools=read_tools(members),
        unlike_text=frozenset(media.unlike_text),
        choices=1 if embeds else texts * max(asked.n or 1, asked.best_of or 1),
        cap_tokens=None if embeds else _cap(asked),
        user=asked.user,
        session_id=asked.session_id,
        service_tier=asked.service_tier,
    )


def _enlarges(members: JsonObject) -> bool:
    """Whether a picture may take more tokens than it does by itself."""
    return any(not says_nothing(bytes(members.get(name, _NULL))) for name in _ENLARGING)


def _models(asked: _Asked) -> tuple[str, ...]:
    """`model` first, then `models`, as OpenRouter takes them."""
    models = (*([asked.model] if asked.model else ()), *(asked.models or ()))
    if not models:
        raise InvalidInput("the body does not fit: missing required field `model` - at `$.model`")
    return tuple(dict.fromkeys(models))


def _messages(members: JsonObject, media: Media) -> int:
    raw = bytes(members.get("messages", _NULL))
    try:
        return 0 if raw == b"null" else read_messages(raw, media)
    except msgspec.DecodeError as error:
        raise misfit(error, "messages") from None


def _stream_options(members: JsonObject) -> JsonObject:
    raw = bytes(members.get("stream_options", _NULL))
    try:
        return {} if raw == b"null" else read_object(raw, "stream_options", _STREAM_OPTIONS)
    except msgspec.DecodeError as error:
        raise misfit(error, "stream_options") from None


def _texts(api: Api, messages: int, members: JsonObject, media: Media) -> int:
    """How many texts are read, each by itself; raises where there is none."""
    if api is Api.CHAT:
        if not messages:
            raise InvalidInput('Input required: specify "prompt" or "messages"')
        return 1
    name = "input" if api is Api.EMBEDDINGS else "prompt"
    given = bytes(members.get(name, _NULL))
    if given == b"null":
        raise InvalidInput(f'Input required: specify "{name}"')
    if given.startswith(b"[") and _is_numbers(given):
        return 1  # one text in tokens
    most = CHOICES_MAX if api is Api.COMPLETIONS else TEXTS_MAX
    refuse_too_long(given, name, most)
    each = _parts.decode(given) if given.startswith(b"[") else [msgspec.Raw(given)]
    if not 1 <= len(each) <= most:
        raise InvalidInput(f"{name} must have at least one text, and {most} at most")
    for raw in map(bytes, each):
        # An object, also within a list, may be an image (OpenRouter's embeddings, llama.cpp).
        if b"{" in raw and not raw.startswith(b'"'):
            media.add(f"an object in {name}", len(raw))
    return len(each)


def _is_numbers(given: bytes) -> bool:
    left = given.translate(None, _NUMERIC)
    return left == b"[]" and not given[1:-1].isspace() and given != b"[]"


def _echo_bytes(api: Api, asked: _Asked, text_bytes: int) -> int:
    """The older operation repeats each prompt before its answers, if `echo` asks for it."""
    is_echo = api is Api.COMPLETIONS and asked.echo
    return text_bytes * max(asked.n or 1, asked.best_of or 1) if is_echo else 0


def _cap(asked: _Asked) -> int | None:
    caps = [cap for cap in (asked.max_tokens, asked.max_completion_tokens) if cap is not None]
    return max(caps, default=None)


def _drop_aliases(members: JsonObject) -> None:
    """Leave out other names of a limit that say the same as ours; what else they say is refused.

    SillyTavern sends both. Servers disagree about which one holds, so only one leaves.
    """
    if _ALIASES.keys().isdisjoint(members):
        return
    for alias in _ALIASES.keys() & members.keys():
        ours = _ALIASES[alias]
        same = [members.get(name, _NULL) for name in (_CAPS if ours == _MAX_TOKENS else (ours,))]
        raw = bytes(members[alias])
        if not (says_nothing(raw) or (raw.isdigit() and raw in map(bytes, same))):
            raise InvalidInput(f"write {ours} instead of {alias}")
        del members[alias]


def upstream_body(
    demand: InferenceRequest,
    upstream_model: str,
    *,
    cap_parameter: str,
    cap_tokens: int | None,
    service_tier: str | None = None,
) -> bytes:
    """The body for the provider: its own name of the model, and the cap under the name it reads.

    Ollama passes over the other name, and its answer would not end at the cap. The older operation
    knows `max_tokens` alone. A `service_tier` takes the place of the client's.
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
    if service_tier is not None:
        members["service_tier"] = msgspec.Raw(msgspec.json.encode(service_tier))
    return msgspec.json.encode(members)
