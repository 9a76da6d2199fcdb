"""Removes thinking without a signature from a conversation on its way to Anthropic.

It comes from providers that sign nothing: a client that changed its model in a session sends it
back, and Anthropic would reject the request. Everything else keeps its bytes.
"""

import re

import msgspec

from modelgates_server.dialects.json_object import JsonObject

_UNSIGNED = re.compile(rb'"signature"\s*:\s*""')

_raws = msgspec.json.Decoder(list[msgspec.Raw])


class _SignedBlock(msgspec.Struct):
    type: str = ""
    signature: str | None = None


_block = msgspec.json.Decoder(_SignedBlock)
_members = msgspec.json.Decoder(JsonObject)


def without_unsigned(messages: bytes) -> bytes:
    """The list of messages without such blocks, and without messages that have no other."""
    if not _UNSIGNED.search(messages):
        return messages
    return _list([_cleaned(bytes(raw)) for raw in _raws.decode(messages)])


def _cleaned(raw: bytes) -> bytes:
    if not _UNSIGNED.search(raw):
        return raw
    message = _members.decode(raw)
    content = bytes(message["content"])
    if bytes(message["role"]) != b'"assistant"' or not content.startswith(b"["):
        return raw
    blocks = [bytes(block) for block in _raws.decode(content)]
    signed = [block for block in blocks if not _is_unsigned(block)]
    if len(signed) == len(blocks):
        return raw
    if not signed:
        return b""
    message["content"] = msgspec.Raw(_list(signed))
    return msgspec.json.encode(message)


def _is_unsigned(raw: bytes) -> bool:
    block = _block.decode(raw)
    return block.type == "thinking" and block.signature == ""


def _list(items: list[bytes]) -> bytes:
    return b"[%b]" % b",".join(filter(None, items))
