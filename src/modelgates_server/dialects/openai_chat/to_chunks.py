"""Makes the chunks of a stream of one plain response, for clients that asked for a stream.

Each choice becomes a chunk with all of its output, and one with its end.
"""

from typing import Any

import msgspec

from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.json_object import JsonObject

_NULL = msgspec.Raw(b"null")
_OBJECTS = {
    Api.CHAT: msgspec.Raw(b'"chat.completion.chunk"'),
    Api.COMPLETIONS: msgspec.Raw(b'"text_completion"'),
}
_HEAD = ("id", "object", "created", "model", "system_fingerprint", "service_tier")
_AT_THE_END = ("finish_reason", "native_finish_reason", "stop_reason")
"""Fields of a choice that say why it ended; `stop_reason` is vLLM's."""

_members = msgspec.json.Decoder(JsonObject)
_choices = msgspec.json.Decoder(list[JsonObject])
_items = msgspec.json.Decoder(list[msgspec.Raw])


def to_chunks(answer: JsonObject, api: Api) -> list[JsonObject]:
    """The fields of each chunk. The usage is left out, because every stream ends with it."""
    head = {name: answer[name] for name in _HEAD if name in answer} | {"object": _OBJECTS[api]}
    extras = {name: raw for name, raw in answer.items() if name not in {*head, "choices", "usage"}}
    chunks = []
    for place, choice in enumerate(_choices.decode(answer["choices"])):
        index = choice.get("index", msgspec.Raw(b"%d" % place))
        ends = {name: choice.pop(name) for name in _AT_THE_END if name in choice}
        begun = {**choice, "index": index, "finish_reason": _NULL}
        nothing: dict[str, Any] = {"text": msgspec.Raw(b'""')}
        if api is Api.CHAT:
            begun["delta"] = _delta(begun.pop("message", _NULL)) or _delta(
                begun.get("delta", _NULL)
            )
            nothing = {"delta": msgspec.Raw(b"{}")}
        ended = {"index": index, **nothing, "finish_reason": _NULL, **ends}
        chunks.append(_chunk({**head, **extras}, begun))
        chunks.append(_chunk(head, ended))
        extras = {}
    return chunks


def _chunk(head: JsonObject, choice: dict[str, Any]) -> JsonObject:
    return {**head, "choices": msgspec.Raw(msgspec.json.encode([choice]))}


def _delta(message: msgspec.Raw) -> Any:
    """The message as a delta, in which each tool call has an index."""
    members = _members.decode(message) if bytes(message).startswith(b"{") else None
    if not members:
        return {}
    delta = {"role": "assistant", **members}
    calls = delta.get("tool_calls")
    if isinstance(calls, msgspec.Raw) and bytes(calls).startswith(b"["):
        numbered = [_numbered(call, place) for place, call in enumerate(_items.decode(calls))]
        delta["tool_calls"] = numbered
    return delta


def _numbered(call: msgspec.Raw, place: int) -> Any:
    if not bytes(call).startswith(b"{"):
        return call
    return {"index": place, **_members.decode(call)}
