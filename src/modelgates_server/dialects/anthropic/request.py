"""Reads a request of the Messages API. `upstream.py` writes it for a provider.

All other parameters stay the bytes that the client sent: whatever Anthropic may invent that has no
effect on the price is forwarded unchanged.
"""

from collections.abc import Mapping
from typing import Annotated

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.metering.request import (
    MODEL_MAX_CHARS,
    OUTPUT_MAX_TOKENS,
    InferenceRequest,
)
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.anthropic.betas import COMPACTION, read_betas
from modelgates_server.dialects.anthropic.contents import Contents, read_contents, read_messages
from modelgates_server.dialects.anthropic.members import (
    GATEWAY,
    PARAMETER_OF,
    PARAMETERS_OF_NONE,
    REJECTED,
)
from modelgates_server.dialects.anthropic.server_tools import Tools, read_tools
from modelgates_server.dialects.dialect import NO_HEADERS
from modelgates_server.dialects.json_object import (
    Grammar,
    JsonObject,
    misfit,
    read_object,
    read_objects,
    refuse_too_many_values,
    says_nothing,
)
from modelgates_server.dialects.openai_chat.contents import (
    ENLARGING,
    enlarges_media,
    escape_bytes,
    new_media,
)
from modelgates_server.dialects.openai_chat.preferences import read_preferences
from modelgates_server.dialects.openai_chat.unserved import (
    SINGLE,
    UNPRICED,
    refuse_choices,
    refuse_unserved,
)

_NULL = msgspec.Raw(b"null")
_MODELS_MAX = 100
_USER_MAX_CHARS = 1024
_FORMAT_TOKENS = 1024
"""Around the schema of a structured output."""

_Tokens = Annotated[int, msgspec.Meta(ge=0, le=OUTPUT_MAX_TOKENS)]
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=MODEL_MAX_CHARS)]


class _Known(msgspec.Struct):
    """The short parameters that the gateway reads; their types are checked here."""

    model: _Text | None = None
    models: Annotated[list[_Text], msgspec.Meta(max_length=_MODELS_MAX)] | None = None
    stream: bool | None = None
    max_tokens: _Tokens | None = None
    service_tier: Annotated[str, msgspec.Meta(max_length=MODEL_MAX_CHARS)] | None = None
    session_id: Annotated[str, msgspec.Meta(max_length=MODEL_MAX_CHARS)] | None = None


class _UserMetadata(msgspec.Struct):
    user_id: Annotated[str, msgspec.Meta(max_length=_USER_MAX_CHARS)] | None = None


_SHORT = _Known.__struct_fields__
_LONG = (
    *("messages", "system", "tools", "tool_choice", "metadata", "thinking", "output_config"),
    *("stop_sequences", "temperature", "top_p", "top_k", "cache_control", "context_management"),
    "diagnostics",
)
_ALIASES = dict.fromkeys(
    (
        *("max_tokens_to_sample", "max_completion_tokens", "max_output_tokens", "max_new_tokens"),
        *("n_predict", "auto_max_new_tokens"),
    ),
    "max_tokens",
)
_ROOT = Grammar(
    (*_SHORT, *_LONG, *GATEWAY, *REJECTED, *UNPRICED, *SINGLE, *ENLARGING, *_ALIASES), _ALIASES
)
_METADATA = Grammar(("user_id",))
_FORMAT = Grammar(("effort", "format", "task_budget"))
_MANAGEMENT = Grammar(("edits",))
_EDIT = Grammar(("type",))
_CLEARING = ("clear_tool_uses_20250919", "clear_thinking_20251015")
"""Edits that make a prompt shorter. Others, such as compaction, write text that is billed."""

_known = msgspec.json.Decoder(_Known)
_text = msgspec.json.Decoder(str)
_metadata = msgspec.json.Decoder(_UserMetadata)
_NONE: frozenset[str] = frozenset()


def parse_request(
    api: Api,
    body: bytes,
    headers: Mapping[bytes, bytes] = NO_HEADERS,
    allowed_betas: frozenset[str] = _NONE,
) -> InferenceRequest:
    """Read a request's body and headers; raises `InvalidInput` that names the invalid parameter.

    `allowed_betas` are the betas that the operator lets pass.
    """
    try:
        if not body.isascii():
            body.decode()
        refuse_too_many_values(body)
        members = read_object(body, "", _ROOT)
        betas = read_betas(headers, allowed_betas)
        gone = [name for name in betas.fields if members.pop(name, None) is not None]
        _refuse({n: raw for n, raw in members.items() if n not in betas.allowed})
        refuse_choices(members)
        if COMPACTION not in betas.allowed:
            _refuse_compaction(bytes(members.get("context_management", _NULL)))
        request = _request(api, body, _read(members), members)
        omitted = (*betas.omitted, *gone, *request.omitted)
        return msgspec.structs.replace(request, headers=betas.headers, omitted=omitted)
    except UnicodeDecodeError:
        raise InvalidInput("The request body is not valid UTF-8.") from None
    except RecursionError:
        raise InvalidInput("The request body is nested too deeply.") from None
    except msgspec.DecodeError as error:
        raise misfit(error, body=body, shape=_Known) from None


def _read(members: JsonObject) -> _Known:
    short = {name: members[name] for name in _SHORT if name in members}
    return _known.decode(msgspec.json.encode(short))


def _refuse(members: JsonObject) -> None:
    """Raises for parameters with a price, a limit or an account that the gateway cannot obey."""
    refuse_unserved(members)
    for name in members:
        if name in _ALIASES:
            raise InvalidInput(f"Use `{_ALIASES[name]}` instead of `{name}`.")
        if name in REJECTED and not says_nothing(bytes(members[name])):
            raise InvalidInput(f"`{name}` is not supported: {REJECTED[name]}")


def _refuse_compaction(raw: bytes) -> None:
    """Raises for edits of the context that write text, which is billed apart."""
    if raw == b"null":
        return
    try:
        management = read_object(raw, "context_management", _MANAGEMENT)
        edits = read_objects(
            bytes(management.get("edits", b"[]")), "context_management.edits", _EDIT
        )
        for number, edit in enumerate(edits):
            kind = _text.decode(edit.get("type", b'""'))
            if kind not in _CLEARING:
                raise InvalidInput(
                    f"`context_management.edits[{number}].type` is `{kind:.80}`, which has no "
                    f"price on this server. Use {' or '.join(f'`{x}`' for x in _CLEARING)}."
                )
    except msgspec.DecodeError as error:
        raise misfit(error, "context_management", raw) from None


def _request(api: Api, body: bytes, known: _Known, members: JsonObject) -> InferenceRequest:
    found = Contents()
    messages = _contents(members, found)
    tools = read_tools(members)
    preferences = read_preferences(bytes(members.get("provider", _NULL)))
    caches = found.caches or tools.caches
    caches = caches or not says_nothing(bytes(members.get("cache_control", _NULL)))
    has_hidden = tools.hidden_tokens is None or (found.media > 0 and enlarges_media(members))
    return InferenceRequest(
        api=api,
        models=_models(known),
        preferences=preferences,
        stream=bool(known.stream),
        has_output=True,
        choices=1,
        cap_tokens=known.max_tokens,
        text_bytes=len(body) - found.media_bytes,
        escape_bytes=_added_bytes(members, found, tools),
        echo_bytes=0,
        texts=1,
        messages=messages,
        media=found.media,
        sounds=0,
        parts=found.parts,
        returned_parts=_NONE,
        has_files=found.has_files or has_hidden,
        has_tools=bool(tools.kept),
        unlike_text=frozenset(),
        parameters=_parameters(members) if preferences.require_parameters else {},
        asks_for_caches=caches and preferences.max_price.prompt is not None,
        service_tier=known.service_tier,
        user=_user(members),
        session_id=known.session_id,
        media_tokens_max=found.media_tokens,
        omitted=tuple(tools.omitted),
        requires_cap=True,
        wire=members,
    )


def _contents(members: JsonObject, found: Contents) -> int:
    """Read `system` and `messages`; returns how many messages there are."""
    if "messages" not in members or bytes(members["messages"]) == b"null":
        raise InvalidInput("`messages` is missing. Send a list of messages.")
    count = read_messages(bytes(members["messages"]), found)
    system = bytes(members.get("system", _NULL))
    if system != b"null":
        read_contents([("system", system)], found)
    return count


def _added_bytes(members: JsonObject, found: Contents, tools: Tools) -> int:
    """The most tokens that the provider adds to tools, calls and schemas."""
    media = new_media(None)
    media.calls = found.calls
    added = escape_bytes(members, media) + (tools.hidden_tokens or 0)
    added += sum(tools.sizes.get(name, 0) for name in found.references)
    raw = bytes(members.get("output_config", _NULL))
    try:
        config = {} if raw == b"null" else read_object(raw, "output_config", _FORMAT)
    except msgspec.DecodeError as error:
        raise misfit(error, "output_config", raw) from None
    return added + _FORMAT_TOKENS * (not says_nothing(bytes(config.get("format", _NULL))))


def _models(known: _Known) -> tuple[str, ...]:
    """`model` first, then `models`: OpenRouter's order."""
    models = (*([known.model] if known.model else ()), *(known.models or ()))
    if not models:
        raise InvalidInput("`model` is missing. `GET /api/v1/models` lists the models.")
    return tuple(dict.fromkeys(models))


def _user(members: JsonObject) -> str | None:
    """The end user in `metadata`; Claude Code's ids are longer than those that are stored."""
    raw = bytes(members.get("metadata", _NULL))
    if raw == b"null":
        return None
    try:
        read_object(raw, "metadata", _METADATA)
        user = _metadata.decode(raw).user_id
    except msgspec.DecodeError as error:
        raise misfit(error, "metadata", raw, _UserMetadata) from None
    return user if user is None else user[:MODEL_MAX_CHARS]


def _parameters(members: JsonObject) -> dict[str, str]:
    """The parameters that a model must support, each with the name that models list it under."""
    return {
        name: PARAMETER_OF.get(name, name)
        for name, raw in members.items()
        if name not in PARAMETERS_OF_NONE and not says_nothing(bytes(raw))
    }
