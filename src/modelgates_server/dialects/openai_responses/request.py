"""Reads a request of the Responses API, which this server answers without storing anything.

All parameters that the gateway does not read stay the bytes that the client sent.
"""

import re
from typing import Annotated, Literal

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.metering.request import (
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
    refuse_too_many_values,
    says_nothing,
)
from modelgates_server.dialects.openai_chat.contents import (
    ENLARGING,
    RETURNED_PARTS,
    enlarges_media,
    escape_bytes,
    new_media,
)
from modelgates_server.dialects.openai_chat.preferences import read_preferences
from modelgates_server.dialects.openai_chat.request import MODELS_MAX
from modelgates_server.dialects.openai_chat.unserved import (
    SINGLE,
    UNPRICED,
    refuse_choices,
    refuse_unserved,
)
from modelgates_server.dialects.openai_responses.contents import (
    kinds_of,
    read_items,
    read_media,
    refuse_long_cache,
)
from modelgates_server.dialects.openai_responses.rules import PARAMETERS_TO_CHAT, Action
from modelgates_server.dialects.openai_responses.server_tools import take_out

_NULL = msgspec.Raw(b"null")

CAP = "max_output_tokens"

_Tokens = Annotated[int, msgspec.Meta(ge=1, le=OUTPUT_MAX_TOKENS)]
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=MODEL_MAX_CHARS)]
_Name = Annotated[str, msgspec.Meta(max_length=MODEL_MAX_CHARS)]


class _Known(msgspec.Struct):
    """The parameters that the gateway reads; their types are checked here."""

    model: _Text | None = None
    models: Annotated[list[_Text], msgspec.Meta(max_length=MODELS_MAX)] | None = None
    route: Literal["fallback", "sort"] | None = None
    provider: msgspec.Raw = _NULL
    stream: bool | None = None
    store: bool | None = None
    input: msgspec.Raw = _NULL
    instructions: msgspec.Raw = _NULL
    max_output_tokens: _Tokens | None = None
    tools: msgspec.Raw = _NULL
    tool_choice: msgspec.Raw = _NULL
    parallel_tool_calls: bool | None = None
    reasoning: msgspec.Raw = _NULL
    text: msgspec.Raw = _NULL
    include: list[str] | None = None
    modalities: list[str] | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    service_tier: _Name | None = None
    user: _Name | None = None
    safety_identifier: _Name | None = None
    session_id: _Name | None = None
    prompt_cache_key: str | None = None


_LONG = ("input", "instructions", "tools", "tool_choice", "text")
_SHORT = tuple(name for name in _Known.__struct_fields__ if name not in _LONG)

_known = msgspec.json.Decoder(_Known)

_ALIASES = {
    "max_tokens": CAP,
    "max_completion_tokens": CAP,
    "n_predict": CAP,
    "max_new_tokens": CAP,
    "auto_max_new_tokens": CAP,
    "messages": "input",
    "functions": "tools",
    "response_format": "text",
    "reasoning_effort": "reasoning",
}
"""Parameters of chat completions, which a provider of this API may read as well."""

_REFUSED = {
    "prompt": "this server stores no prompts. Send its text in `instructions` and `input`.",
    "max_tool_calls": "it limits tools that this server does not run. Leave it out.",
    "context_management": "the tokens of a compaction cannot be metered. Leave it out.",
    "moderation": "this server does not moderate. Leave it out.",
    "background_options": "a response that arrives later cannot be metered. Leave it out.",
    "access_programs": "this server cannot grant access to programs. Leave it out.",
}
_READ = ("reasoning", "text", "prompt_cache_options", "stream_options")

_ROOT = Grammar(
    (
        *_Known.__struct_fields__,
        *PARAMETERS_TO_CHAT,
        *UNPRICED,
        *_ALIASES,
        *_REFUSED,
        *_READ,
        *SINGLE,
        *ENLARGING,
        *("previous_response_id", "conversation", "background"),
    ),
    {alias: name for alias, name in _ALIASES.items() if name == CAP},
)
_REASONING = Grammar(
    ("effort", "summary", "generate_summary", "context", "mode", "max_tokens", "enabled", "exclude")
)
_FORMAT = Grammar(("format", "verbosity"))
_STANDARD = (b'"standard"', b"null")
_UPDATE = "configuration_update"
_UPDATED = frozenset(("type", "id", "reasoning", "text"))

_PARAMETER_OF = {"text": "response_format", "parallel_tool_calls": "parallel_tool_calls"}
_PARAMETERS_OF_NONE = frozenset(
    (
        *("input", "instructions", "stream", "stream_options", "user", "safety_identifier"),
        *("metadata", "client_metadata", "modalities", "include", "truncation", "service_tier"),
        *("prompt_cache_key", "session_id", "provider", "trace", CAP),
        *(name for name, rule in PARAMETERS_TO_CHAT.items() if rule.action is Action.HANDLED),
    )
)
"""Parts of a request that no model lists among its supported parameters."""

_CACHE_NAMES = ("prompt_cache_options", "prompt_cache_breakpoint", "cache_control")
_CACHES = re.compile(
    # Any letter of a name may be escaped in JSON.
    b"|".join(
        rb'"%b"\s*:(?!\s*null)'
        % b"".join(rb"(?:%c|\\u00(?i:%02x))" % (letter, letter) for letter in name.encode())
        for name in _CACHE_NAMES
    )
)


def parse_request(api: Api, body: bytes) -> InferenceRequest:
    """Read a request's body; raises `InvalidInput` that names the invalid parameter.

    Tools without a price are no longer in its `wire`, but in `omitted`.
    """
    try:
        if not body.isascii():
            body.decode()
        refuse_too_many_values(body)
        members = read_object(body, "", _ROOT)
        _refuse(members)
        return _request(api, body, _read(members), members)
    except UnicodeDecodeError:
        raise InvalidInput("The request body is not valid UTF-8.") from None
    except RecursionError:
        raise InvalidInput("The request body is nested too deeply.") from None
    except msgspec.DecodeError as error:
        raise misfit(error, body=body, shape=_Known) from None


def _refuse(members: JsonObject) -> None:
    refuse_unserved({name: raw for name, raw in members.items() if name != "store"})
    for name, reason in _REFUSED.items():
        if not says_nothing(bytes(members.get(name, _NULL))):
            raise InvalidInput(f"`{name}` is not supported: {reason}")
    refuse_choices(members)
    for alias, name in _ALIASES.items():
        if alias in members and bytes(members[alias]) != b"null":
            raise InvalidInput(f"Use `{name}` instead of `{alias}`.")


def _read(members: JsonObject) -> _Known:
    """Decode the short parameters. Long ones are decoded once, where they are used."""
    short = {name: members[name] for name in _SHORT if name in members}
    known = _known.decode(msgspec.json.encode(short))
    instructions = bytes(members.get("instructions", _NULL))
    if not instructions.startswith((b'"', b"n")):
        raise InvalidInput("`instructions` must be a string or `null`.")
    _read_objects(members)
    refuse_long_cache(bytes(members.get("prompt_cache_options", _NULL)), "prompt_cache_options")
    return known


def _read_objects(members: JsonObject, where: str = "") -> None:
    """Check the short objects, of which a provider reads more than the gateway does."""
    for name, grammar in (("reasoning", _REASONING), ("text", _FORMAT)):
        raw = bytes(members.get(name, _NULL))
        if raw == b"null":
            continue
        if not raw.startswith(b"{"):
            raise InvalidInput(f"`{where}{name}` must be an object or `null`.")
        fields = read_object(raw, f"{where}{name}", grammar)
        if name == "reasoning" and bytes(fields.get("mode", _NULL)) not in _STANDARD:
            raise InvalidInput(
                f"`{where}{name}.mode` has no price on this server except `standard`. Leave it out."
            )


def _read_updates(items: list[JsonObject], kinds: list[str]) -> None:
    """Check the items that change the parameters: what has no price must not come in this way."""
    for number, (item, kind) in enumerate(zip(items, kinds, strict=True)):
        if kind == _UPDATE:
            for name in item.keys() - _UPDATED:
                raise InvalidInput(
                    f"`input[{number}].{name:.80}` is not supported: a `{_UPDATE}` changes only "
                    "`reasoning` and `text`. Leave it out."
                )
            _read_objects(item, f"input[{number}].")


def _request(api: Api, body: bytes, known: _Known, members: JsonObject) -> InferenceRequest:
    models = _models(known)
    media = new_media(known.modalities)
    given = bytes(members.get("input", _NULL))
    items = [] if says_nothing(given) else read_items(given)
    if not items and not given.startswith(b'"'):
        raise InvalidInput('Input required: specify "input"')
    kinds = kinds_of(items)
    _read_updates(items, kinds)
    read_media(items, kinds, media)
    omitted, has_tools = take_out(members, items, kinds)
    preferences = read_preferences(bytes(members.get("provider", _NULL)))
    bounds_prompt = preferences.max_price.prompt is not None
    return InferenceRequest(
        api=api,
        models=models,
        preferences=preferences,
        stream=bool(known.stream),
        has_output=True,
        choices=1,
        cap_tokens=known.max_output_tokens,
        text_bytes=len(body) - media.size,
        escape_bytes=escape_bytes(members, media),
        echo_bytes=0,
        texts=1,
        messages=max(len(items), 1) + 1,  # `instructions` is one more
        media=media.count,
        sounds=media.sounds,
        parts=media.parts,
        returned_parts=RETURNED_PARTS,
        has_files=media.has_files or (media.count > 0 and enlarges_media(members)),
        has_tools=has_tools,
        unlike_text=frozenset(media.unlike_text),
        parameters=_parameters(members) if preferences.require_parameters else {},
        asks_for_caches=bounds_prompt and _CACHES.search(body) is not None,
        service_tier=known.service_tier,
        user=known.user or known.safety_identifier,
        session_id=_session(known),
        omitted=omitted,
        wire=members,
    )


def _models(known: _Known) -> tuple[str, ...]:
    """`model` first, then `models`: OpenRouter's order."""
    models = (*([known.model] if known.model else ()), *(known.models or ()))
    if not models:
        raise InvalidInput(
            "`model` is missing: send it with each request, also when a conversation continues. "
            "`GET /api/v1/models` lists the models."
        )
    return tuple(dict.fromkeys(models))


def _session(known: _Known) -> str | None:
    """The conversation: agents send its id as the key of the prompt cache."""
    key = known.prompt_cache_key
    return known.session_id or (key if key and len(key) <= MODEL_MAX_CHARS else None)


def _parameters(members: JsonObject) -> dict[str, str]:
    """The parameters that a model must support, each with the name that models list it under."""
    return {
        name: _PARAMETER_OF.get(name, name)
        for name, raw in members.items()
        if name not in _PARAMETERS_OF_NONE and not says_nothing(bytes(raw))
    }
