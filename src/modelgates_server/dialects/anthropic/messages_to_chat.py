"""Translates the conversation of a Messages request into messages of chat completions."""

from typing import Any

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.dialects.anthropic.chat_target import ChatTarget, ThinkingForm
from modelgates_server.dialects.anthropic.omissions import Omissions
from modelgates_server.dialects.anthropic.parts_to_chat import Parts, texts_of
from modelgates_server.dialects.anthropic.tool_ids import from_messages, to_messages
from modelgates_server.dialects.json_object import JsonObject

ATTRIBUTION = "x-anthropic-billing-header:"
"""The start of the block in which Claude Code names itself to Anthropic. It changes between
conversations, so it would spoil the prompt cache of any other provider."""

_NULL = msgspec.Raw(b"null")
_ERROR = "Error: "

_objects = msgspec.json.Decoder(list[JsonObject])
_text = msgspec.json.Decoder(str)

Block = tuple[str, JsonObject, str]
"""The type, the members and the path of a block."""


def chat_messages(wire: JsonObject, target: ChatTarget, omissions: Omissions) -> list[Any]:
    """The messages, the system prompt first; raises `InvalidInput` by the path of a block."""
    system = _blocks(bytes(wire.get("system", _NULL)), "system")
    messages = _system(system, target, omissions)
    given = _objects.decode(wire["messages"])
    if bytes(given[-1]["role"]) == b'"assistant"':
        raise InvalidInput(
            "The last message is the assistant's. This model's provider cannot continue it. End "
            "`messages` with a message of the user."
        )
    called = set[str]()
    for role, blocks, path in _turns(given):
        if role == "system":
            messages += _system(blocks, target, omissions)
        elif role == "assistant":
            messages += _assistant(blocks, path, target, omissions, called)
        else:
            messages += _user(blocks, path, target, omissions, called)
    return messages


def _turns(given: list[JsonObject]) -> list[tuple[str, list[Block], str]]:
    """The role, the blocks and the path of each turn: messages of one role in a row are one."""
    turns = list[tuple[str, list[Block], str]]()
    for number, message in enumerate(given):
        role, path = _text.decode(message["role"]), f"messages[{number}].content"
        blocks = _blocks(bytes(message["content"]), path)
        if turns and turns[-1][0] == role != "system":
            turns[-1][1].extend(blocks)
        else:
            turns.append((role, blocks, path))
    return turns


def _blocks(content: bytes, path: str) -> list[Block]:
    """The blocks of a content; a text is one block."""
    if content == b"null":
        return []
    if content.startswith(b'"'):
        return [("text", {"text": msgspec.Raw(content)}, path)]
    return [
        (_text.decode(block["type"]), block, f"{path}[{number}]")
        for number, block in enumerate(_objects.decode(content))
    ]


def _system(blocks: list[Block], target: ChatTarget, omissions: Omissions) -> list[dict[str, Any]]:
    parts = Parts(target, omissions)
    for kind, block, at in blocks:
        if kind == "text" and texts_of(block).lstrip().startswith(ATTRIBUTION):
            omissions.add("system.attribution")
        else:
            parts.add(kind, block, at)
    given = parts.joined("\n\n")
    return [{"role": "system", "content": given}] if given else []


def _assistant(
    blocks: list[Block], path: str, target: ChatTarget, omissions: Omissions, called: set[str]
) -> list[dict[str, Any]]:
    parts, calls, thoughts = Parts(target, omissions), list[Any](), list[dict[str, Any]]()
    for kind, block, at in blocks:
        if kind == "tool_use":
            calls.append(_call(block, at, called))
        elif kind in ("thinking", "redacted_thinking"):
            thoughts.append(_thought(kind, block))
        else:
            parts.add(kind, block, at)
    message: dict[str, Any] = {"role": "assistant", "content": parts.joined("") or None}
    if calls:
        message["tool_calls"] = calls
    elif message["content"] is None and not thoughts:
        raise InvalidInput(f"`{path}` is empty. Remove the message, or send a text.")
    if thoughts:
        message |= _returned(thoughts, target, omissions)
    is_empty = message["content"] is None and message.keys() == {"role", "content"}
    return [] if is_empty else [message]


def _call(block: JsonObject, path: str, called: set[str]) -> dict[str, Any]:
    name, call_id = _required(block, "name", path), _own_id(_required(block, "id", path))
    called.add(call_id)
    arguments = bytes(block.get("input", b"{}")).decode()
    function = {"name": name, "arguments": "{}" if arguments == "null" else arguments}
    return {"id": call_id, "type": "function", "function": function}


def _required(block: JsonObject, name: str, path: str) -> str:
    raw = bytes(block.get(name, _NULL))
    if not raw.startswith(b'"') or raw == b'""':
        raise InvalidInput(f"`{path}.{name}` must be a string that is not empty.")
    return _text.decode(raw)


def _own_id(call_id: str) -> str:
    """The provider's id of a call, if the gateway encoded it for the client."""
    own = from_messages(call_id)
    return own if to_messages(own) == call_id else call_id


def _thought(kind: str, block: JsonObject) -> dict[str, Any]:
    """A block of thinking as OpenRouter's detail, with the same text, signature and data."""
    if kind == "redacted_thinking":
        return {"type": "reasoning.encrypted", "data": block.get("data", b'""')}
    detail: dict[str, Any] = {"type": "reasoning.text", "text": block.get("thinking", b'""')}
    if bytes(block.get("signature", _NULL)) not in (b"null", b'""'):
        detail["signature"] = block["signature"]
    return detail


def _returned(
    thoughts: list[dict[str, Any]], target: ChatTarget, omissions: Omissions
) -> dict[str, Any]:
    """Thinking in the form that the provider takes; blocks that another one signed are dropped."""
    if target.thinking is ThinkingForm.DETAILS:
        return {"reasoning_details": thoughts}
    own = [each for each in thoughts if "signature" not in each and "text" in each]
    if len(own) < len(thoughts) or target.thinking is ThinkingForm.NONE:
        omissions.add("thinking")
    if not own or target.thinking is ThinkingForm.NONE:
        return {}
    return {"reasoning_content": "".join(_text.decode(each["text"]) for each in own)}


def _user(
    blocks: list[Block], path: str, target: ChatTarget, omissions: Omissions, called: set[str]
) -> list[dict[str, Any]]:
    """Tool messages first, then one message with their images and the user's own parts."""
    results, parts = list[dict[str, Any]](), Parts(target, omissions)
    own = Parts(target, omissions)
    for kind, block, at in blocks:
        if kind == "tool_result":
            results.append(_result(block, at, parts, called))
        else:
            own.add(kind, block, at)
    parts.extend(own)
    given = parts.content
    if given is None and not results:
        raise InvalidInput(f"`{path}` is empty. Remove the message, or send a text.")
    return results + ([{"role": "user", "content": given}] if given is not None else [])


def _result(block: JsonObject, path: str, parts: Parts, called: set[str]) -> dict[str, Any]:
    """The tool message for a result. Its images go to `parts`, with the call's id."""
    call_id = _own_id(_required(block, "tool_use_id", path))
    if call_id not in called:
        raise InvalidInput(
            f"`{path}.tool_use_id` is `{call_id:.80}`, which no earlier `tool_use` has, or which "
            "already has a result. Send one result for each call."
        )
    called.remove(call_id)
    inner = Parts(parts.target, parts.omissions)
    for kind, each, at in _blocks(bytes(block.get("content", _NULL)), f"{path}.content"):
        inner.add(kind, each, at)
    text, others = inner.split()
    if others:
        parts.text(f"From the result of the tool call {call_id}:")
        parts.parts += others
    is_error = bytes(block.get("is_error", _NULL)) == b"true"
    return {"role": "tool", "tool_call_id": call_id, "content": _ERROR * is_error + text}
