"""Writes a request for a provider of the Responses API.

Everything that is not mentioned here is sent byte for byte.
"""

from typing import Any

import msgspec

from modelgates_server.core.metering.request import InferenceRequest
from modelgates_server.core.pricing.catalog import Endpoint
from modelgates_server.dialects.json_object import JsonObject, says_nothing
from modelgates_server.dialects.openai_chat.provider_profiles import BY_NAME
from modelgates_server.dialects.openai_responses.contents import read_items
from modelgates_server.dialects.openai_responses.reasoning_items import is_packed
from modelgates_server.dialects.openai_responses.request import CAP

ENCRYPTED = "reasoning.encrypted_content"
_NULL = msgspec.Raw(b"null")
_OPENROUTERS = ("trace", "session_id")
_NOT_FORWARDED = frozenset(
    (
        *("models", "route", "provider", "transforms", "plugins", "usage", "debug"),
        *_OPENROUTERS,
    )
)
_PRIVACY = ("data_collection", "zdr")


class _Head(msgspec.Struct):
    """The fields of an item that tell whether a provider can read its reasoning."""

    type: str | None = None
    encrypted_content: msgspec.Raw = _NULL
    content: msgspec.Raw = _NULL


_members = msgspec.json.Decoder(JsonObject)
_heads = msgspec.json.Decoder(list[_Head])
_texts = msgspec.json.Decoder(list[str] | None)
_text = msgspec.json.Decoder(str)


def upstream_body(
    request: InferenceRequest,
    endpoint: Endpoint,
    *,
    cap_tokens: int | None,
    service_tier: str | None = None,
    refused: frozenset[str] = frozenset(),
) -> bytes:
    """The body for the provider; a given cap or service tier replaces the client's.

    The provider stores nothing. Reasoning comes back encrypted, so that a client can return it.
    """
    del refused  # every provider of this API knows the parameters that are added here
    wire = request.wire
    members: dict[str, Any] = {n: raw for n, raw in wire.items() if n not in _NOT_FORWARDED}
    members["model"] = endpoint.upstream_model
    members["store"] = False
    if cap_tokens is not None:
        members[CAP] = cap_tokens
    if service_tier is not None:
        members["service_tier"] = service_tier
    if _reasons(wire):
        members["include"] = _included(wire)
    if (kept := _readable(wire)) is not None:
        members["input"] = kept
    if BY_NAME[endpoint.profile].is_openrouter:
        members.update(_openrouters(wire))
    return msgspec.json.encode(members)


def _reasons(wire: JsonObject) -> bool:
    """Whether the client asks for reasoning. Models without it reject encrypted reasoning."""
    raw = bytes(wire.get("reasoning", _NULL))
    if says_nothing(raw):
        return False
    reasoning = _members.decode(raw)
    return bytes(reasoning.get("effort", _NULL)) != b'"none"'


def _included(wire: JsonObject) -> msgspec.Raw | list[str]:
    raw = wire.get("include", _NULL)
    included = _texts.decode(raw) or []
    return raw if ENCRYPTED in included else [*included, ENCRYPTED]


def _readable(wire: JsonObject) -> list[JsonObject] | None:
    """The items without the reasoning that no provider can read; None if there is none.

    That is reasoning of another dialect, which this server packed, and reasoning of which only the
    id is left, because nothing is stored.
    """
    raw = bytes(wire["input"])
    if b'"reasoning"' not in raw and b"\\u00" not in raw:
        return None
    if not raw.startswith(b"["):
        return None
    unreadable = [_is_unreadable(head) for head in _heads.decode(raw)]
    if not any(unreadable):
        return None
    items = zip(read_items(raw), unreadable, strict=True)
    return [item for item, is_left_out in items if not is_left_out]


def _is_unreadable(item: _Head) -> bool:
    if item.type != "reasoning":
        return False
    content = bytes(item.encrypted_content)
    if content.startswith(b'"') and len(content) > len(b'""'):
        return is_packed(_text.decode(content))
    return says_nothing(bytes(item.content))


def _openrouters(wire: JsonObject) -> dict[str, Any]:
    """The parameters for OpenRouter. Of `provider` it needs only what protects privacy."""
    sent: dict[str, Any] = {name: wire[name] for name in _OPENROUTERS if name in wire}
    raw = bytes(wire.get("provider", _NULL))
    given = _members.decode(raw) if raw != b"null" else {}
    privacy = {name: given[name] for name in _PRIVACY if name in given}
    return {**sent, "provider": privacy} if privacy else sent
