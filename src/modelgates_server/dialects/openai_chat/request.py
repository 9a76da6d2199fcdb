"""Reads a request of OpenAI's inference operations. `upstream.py` writes it for a provider.

All other parameters stay the bytes that the client sent: tools, images and anything that providers
may invent are forwarded unchanged.
"""

import re
from typing import Annotated, Literal

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.metering.request import (
    CHOICES_MAX,
    MODEL_MAX_CHARS,
    OUTPUT_MAX_TOKENS,
    InferenceRequest,
)
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.json_object import (
    Grammar,
    JsonObject,
    misfit,
    read_object,
    refuse_too_long,
    refuse_too_many_values,
    says_nothing,
)
from modelgates_server.dialects.openai_chat.contents import (
    RETURNED_PARTS,
    Media,
    enlarges_media,
    escape_bytes,
    new_media,
    read_messages,
    read_tools,
)
from modelgates_server.dialects.openai_chat.preferences import read_preferences
from modelgates_server.dialects.openai_chat.provider_profiles import OPTIONAL
from modelgates_server.dialects.openai_chat.reasoning import read_reasoning
from modelgates_server.dialects.openai_chat.unserved import UNPRICED, refuse_unserved

MODELS_MAX = 100
TEXTS_MAX = 10_000

_NULL = msgspec.Raw(b"null")

_Count = Annotated[int, msgspec.Meta(ge=1, le=CHOICES_MAX)]
_Tokens = Annotated[int, msgspec.Meta(ge=1, le=OUTPUT_MAX_TOKENS)]
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=MODEL_MAX_CHARS)]


class _Known(msgspec.Struct):
    """The parameters that the gateway reads; their types are checked here."""

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

_SHORT = tuple(name for name in _Known.__struct_fields__ if name not in _LONG)

_NUMERIC = b"0123456789+-.eE, \t\r\n"

_known = msgspec.json.Decoder(_Known)
_parts = msgspec.json.Decoder(list[msgspec.Raw])

ROUTING = ("usage", "models", "route", "provider", "transforms", "plugins", "debug")
"""Parameters that OpenRouter's clients send for the gateway, which has decided what they are about:
another model or provider would have another price."""

MAX_TOKENS = "max_tokens"
CAPS = (MAX_TOKENS, "max_completion_tokens")
_REASONING = ("reasoning", "include_reasoning", "enable_thinking", "thinking_budget")
_ALIASES = {
    "n_predict": MAX_TOKENS,
    "max_new_tokens": MAX_TOKENS,
    "max_output_tokens": MAX_TOKENS,
    "auto_max_new_tokens": MAX_TOKENS,
    "n_cmpl": "n",
    "num_return_sequences": "n",
    "num_choices": "n",
    "candidate_count": "n",
}
"""Names that llama.cpp and other servers prefer; `auto_max_new_tokens` makes text-generation-webui
write until the context is full."""

_ROOT = Grammar(
    (*_Known.__struct_fields__, *ROUTING, *OPTIONAL, *_REASONING, *UNPRICED, *_ALIASES), _ALIASES
)
_PARAMETERS_OF_NONE = frozenset(
    (
        *("model", "models", "messages", "prompt", "input", "stream", "stream_options", "user"),
        *("metadata", "modalities"),
        # For the gateway.
        *("provider", "route", "transforms", "plugins", "usage", "session_id", "trace", "debug"),
        # Handled by the gateway, which sends a cap under the name that the endpoint reads.
        *("max_tokens", "max_completion_tokens", "service_tier"),
    )
)
"""Parts of a request that no model lists among its supported parameters."""

_PARAMETER_OF = {
    "functions": "tools",
    "function_call": "tool_choice",
    "reasoning_effort": "reasoning",
    "include_reasoning": "reasoning",
}
"""Older names of parameters, with the name that a model may list instead."""

_CACHE_CONTROL = re.compile(
    # Any letter of a name may be escaped in JSON.
    rb'"%b"\s*:(?!\s*null)'
    % b"".join(rb"(?:%c|\\u00(?i:%02x))" % (letter, letter) for letter in b"cache_control")
)

_STREAM_OPTIONS = Grammar(("include_usage",))


def parse_request(api: Api, body: bytes) -> InferenceRequest:
    """Read a request's body; raises `InvalidInput` that names the invalid parameter."""
    try:
        if not body.isascii():
            body.decode()
        refuse_too_many_values(body)
        members = read_object(body, "", _ROOT)
        _drop_aliases(members)
        refuse_unserved(members)
        return _request(api, body, _read(members), members)
    except UnicodeDecodeError:
        raise InvalidInput("The request body is not valid UTF-8.") from None
    except RecursionError:
        raise InvalidInput("The request body is nested too deeply.") from None
    except msgspec.DecodeError as error:
        raise misfit(error, body=body, shape=_Known) from None


def _read(members: JsonObject) -> _Known:
    """Decode the short parameters. Long ones are decoded once, where they are used."""
    short = {name: members[name] for name in _SHORT if name in members}
    return _known.decode(msgspec.json.encode(short))


def _request(api: Api, body: bytes, known: _Known, members: JsonObject) -> InferenceRequest:
    media = new_media(known.modalities)
    messages = _messages(members, media)
    texts = _texts(api, messages, members, media)
    has_output = api is not Api.EMBEDDINGS
    # The model reads the suffix once for each prompt.
    suffix = b"" if api is not Api.COMPLETIONS else bytes(members.get("suffix", b""))
    if not has_output:
        members.pop("stream", None)  # embeddings are not streamed
    stream = bool(known.stream) and has_output
    options = stream_options(members)
    text_bytes = len(body) - media.size
    preferences = read_preferences(bytes(members.get("provider", _NULL)))
    bounds_prompt = preferences.max_price.prompt is not None
    return InferenceRequest(
        api=api,
        models=_models(known),
        preferences=preferences,
        stream=stream,
        has_output=has_output,
        choices=texts * max(known.n or 1, known.best_of or 1) if has_output else 1,
        cap_tokens=_cap(known) if has_output else None,
        text_bytes=text_bytes + (texts - 1) * len(suffix),
        escape_bytes=escape_bytes(members, media),
        echo_bytes=_echo_bytes(api, known, text_bytes),
        texts=texts,
        messages=messages,
        media=media.count,
        sounds=media.sounds,
        parts=media.parts,
        returned_parts=RETURNED_PARTS,
        has_files=media.has_files or (media.count > 0 and enlarges_media(members)),
        has_tools=read_tools(members),
        unlike_text=frozenset(media.unlike_text),
        parameters=_parameters(members) if preferences.require_parameters else {},
        asks_for_caches=bounds_prompt and _CACHE_CONTROL.search(body) is not None,
        service_tier=known.service_tier,
        user=known.user,
        session_id=known.session_id,
        excludes_reasoning=bool(read_reasoning(members).exclude),
        asks_for_usage=bytes(options.get("include_usage", _NULL)) == b"true",
        wire=members,
    )


def _parameters(members: JsonObject) -> dict[str, str]:
    """The parameters that a model must support, each with the name that models list it under."""
    return {
        name: _PARAMETER_OF.get(name, name)
        for name, raw in members.items()
        if name not in _PARAMETERS_OF_NONE and not says_nothing(bytes(raw))
    }


def _models(known: _Known) -> tuple[str, ...]:
    """`model` first, then `models`: OpenRouter's order."""
    models = (*([known.model] if known.model else ()), *(known.models or ()))
    if not models:
        raise InvalidInput("`model` is missing. `GET /api/v1/models` lists the models.")
    return tuple(dict.fromkeys(models))


def _messages(members: JsonObject, media: Media) -> int:
    raw = bytes(members.get("messages", _NULL))
    try:
        return 0 if raw == b"null" else read_messages(raw, media)
    except msgspec.DecodeError as error:
        raise misfit(error, "messages", raw) from None


def stream_options(members: JsonObject) -> JsonObject:
    """The client's `stream_options`; raises `InvalidInput` that names the invalid field."""
    raw = bytes(members.get("stream_options", _NULL))
    try:
        return {} if raw == b"null" else read_object(raw, "stream_options", _STREAM_OPTIONS)
    except msgspec.DecodeError as error:
        raise misfit(error, "stream_options", raw) from None


def _texts(api: Api, messages: int, members: JsonObject, media: Media) -> int:
    """The number of separate texts in the input; raises `InvalidInput` if there is none."""
    if api is Api.CHAT:
        if not messages:
            raise InvalidInput('Input required: specify "prompt" or "messages"')
        return 1
    name = "input" if api is Api.EMBEDDINGS else "prompt"
    given = bytes(members.get(name, _NULL))
    if given == b"null":
        raise InvalidInput(f'Input required: specify "{name}"')
    if given.startswith(b"[") and _is_numbers(given):
        return 1  # one text as token numbers
    most = CHOICES_MAX if api is Api.COMPLETIONS else TEXTS_MAX
    refuse_too_long(given, name, most)
    each = _parts.decode(given) if given.startswith(b"[") else [msgspec.Raw(given)]
    if not 1 <= len(each) <= most:
        raise InvalidInput(f"`{name}` has {len(each):,} texts. Send 1 to {most:,}.")
    for raw in map(bytes, each):
        # An object, even within a list, may be an image (OpenRouter's embeddings, llama.cpp).
        if b"{" in raw and not raw.startswith(b'"'):
            media.add(f"an object in {name}", len(raw))
    return len(each)


def _is_numbers(given: bytes) -> bool:
    left = given.translate(None, _NUMERIC)
    return left == b"[]" and not given[1:-1].isspace() and given != b"[]"


def _echo_bytes(api: Api, known: _Known, text_bytes: int) -> int:
    """The size of the prompts that `completions` repeats before its output if `echo` is set."""
    is_echo = api is Api.COMPLETIONS and known.echo
    return text_bytes * max(known.n or 1, known.best_of or 1) if is_echo else 0


def _cap(known: _Known) -> int | None:
    caps = [cap for cap in (known.max_tokens, known.max_completion_tokens) if cap is not None]
    return max(caps, default=None)


def _drop_aliases(members: JsonObject) -> None:
    """Remove aliases of a limit that repeat its value; raises for one with another value.

    SillyTavern sends both names. Servers disagree about which one applies, so only one is sent.
    """
    if _ALIASES.keys().isdisjoint(members):
        return
    for alias in _ALIASES.keys() & members.keys():
        name = _ALIASES[alias]
        limits = [members.get(each, _NULL) for each in (CAPS if name == MAX_TOKENS else (name,))]
        raw = bytes(members[alias])
        if not (says_nothing(raw) or (raw.isdigit() and raw in map(bytes, limits))):
            raise InvalidInput(f"Use `{name}` instead of `{alias}`.")
        del members[alias]
