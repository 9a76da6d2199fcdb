"""Tool calls in OpenAI's form, although providers number, identify and repeat them differently.

Clients put streamed calls together by `index`, and join the texts of `id`, `name` and `arguments`.
So each call has its own `index`, and its `id` and `name` are sent once.
"""

from collections.abc import Callable
from hashlib import sha256

import msgspec

from modelgates_server.core.metering.repairs import Repair
from modelgates_server.dialects.json_object import JsonObject

_NULL = msgspec.Raw(b"null")
_CALLS_MAX = 4096
_INDEX_MAX_DIGITS = 6
_OF_FUNCTION = ("name", "arguments")

_list = msgspec.json.Decoder(list[msgspec.Raw])
_members = msgspec.json.Decoder(JsonObject)


class _Call(msgspec.Struct):
    """A call in a stream. `index`, `id` and `name` are the provider's, if it sent them.

    `arguments` are kept only for calls without an `id`, to see where the next one begins.
    """

    number: int
    index: int | None
    id: bytes | None
    name: bytes | None
    arguments: str = ""


class ToolCallWriter:
    """The calls of one choice. `seed` makes the ids of calls without one, such as `call_1f3a…`."""

    def __init__(self, seed: str, repaired: Callable[[Repair], None]) -> None:
        self._seed = seed
        self._repaired = repaired
        self._calls: list[_Call] = []

    def message(self, raw: msgspec.Raw) -> list[JsonObject]:
        """All calls of a plain response."""
        return [self._whole(call, number) for number, call in enumerate(_objects(raw))]

    def delta(self, raw: msgspec.Raw) -> list[JsonObject]:
        """The calls, or parts of calls, in a delta."""
        return [self._part(call, position) for position, call in enumerate(_objects(raw))]

    def is_known(self, index: int) -> bool:
        """Whether the provider has begun a call with this `index`, an `id` and no deviation."""
        calls = self._calls
        if not 0 <= index < len(calls) or calls[index].index != index or calls[index].id is None:
            return False
        return all(call.index != index for call in calls[index + 1 :])

    def _whole(self, call: JsonObject, number: int) -> JsonObject:
        begun = self._begun(call, number)
        function = self._function(call)
        function.setdefault("name", msgspec.Raw(b'""'))
        function.setdefault("arguments", msgspec.Raw(b'""'))
        return self._with_function(begun, function)

    def _part(self, call: JsonObject, position: int) -> JsonObject:
        function = self._function(call)
        name, identity = _text(function.get("name")), _text(call.get("id"))
        index = _index(call.get("index"))
        known = self._known(identity, index, name, is_next=position > 0)
        if known is None:
            known = _Call(len(self._calls), index, identity, name)
            self._calls.append(known)
            part = self._begun(call, known.number)
            function.setdefault("arguments", msgspec.Raw(b'""'))
        else:
            part = {key: raw for key, raw in call.items() if key != "id"}
            if _text(part.get("type")) is None:
                part.pop("type", None)
            if name == known.name:
                function.pop("name", None)
            known.id, known.name = known.id or identity, known.name or name
        if known.id is None:
            known.arguments += _decoded(function.get("arguments"))
        number = b"%d" % known.number
        if bytes(call.get("index", _NULL)) != number:
            part["index"] = msgspec.Raw(number)
            self._repaired(Repair.TOOL_CALL_INDEXED)
        return self._with_function(part, function)

    def _known(
        self, identity: bytes | None, index: int | None, name: bytes | None, *, is_next: bool
    ) -> _Call | None:
        """The call that a part continues; None if it begins another."""
        if len(self._calls) >= _CALLS_MAX:
            return self._calls[-1]
        if identity is not None:
            for call in reversed(self._calls):
                if call.id == identity and (index is None or call.index in (None, index)):
                    return call
        here = [call for call in self._calls if index is None or call.index == index]
        if not here or (is_next and name):
            return None
        last = here[-1]
        if identity is not None:  # some servers send the id after the name
            return last if last.id is None and not name else None
        if not name or last.id is not None or last.name is None:
            return last
        return None if last.name != name or _is_whole(last.arguments) else last

    def _begun(self, call: JsonObject, number: int) -> JsonObject:
        """The first part of a call, with an id and a type."""
        begun = dict(call)
        identity = _text(call.get("id"))
        if identity is None:
            digest = sha256(f"{self._seed}/{number}".encode()).hexdigest()[:24]
            identity = b'"call_%b"' % digest.encode()
        begun["id"] = msgspec.Raw(identity)
        if _text(call.get("type")) is None:
            begun["type"] = msgspec.Raw(b'"function"')
        if begun != call:
            self._repaired(Repair.FIELD_REPAIRED)
        return begun

    def _function(self, call: JsonObject) -> JsonObject:
        """A call's function, its arguments as a text. Some servers put its fields into the call."""
        raw = bytes(call.get("function", _NULL))
        if raw.startswith(b"{"):
            function = _members.decode(raw)
        else:
            function = {key: call[key] for key in _OF_FUNCTION if key in call}
        if _text(function.get("name")) is None:
            function.pop("name", None)
        arguments = bytes(function.get("arguments", _NULL))
        if arguments == b"null":
            function.pop("arguments", None)
        elif not arguments.startswith(b'"'):
            function["arguments"] = msgspec.Raw(msgspec.json.encode(arguments.decode()))
            self._repaired(Repair.FIELD_REPAIRED)
        return function

    def _with_function(self, call: JsonObject, function: JsonObject) -> JsonObject:
        if "custom" in call:  # a tool that takes a text instead of arguments
            return call
        sent = bytes(call.get("function", _NULL))
        if not sent.startswith(b"{"):
            call = {key: raw for key, raw in call.items() if key not in _OF_FUNCTION}
        elif function == _members.decode(sent):
            return call
        call["function"] = msgspec.Raw(msgspec.json.encode(function))
        return call


def _objects(raw: msgspec.Raw) -> list[JsonObject]:
    text = bytes(raw)
    if text.startswith(b"{"):
        return [_members.decode(text)]
    if not text.startswith(b"["):
        return []
    return [_members.decode(each) for each in _list.decode(text) if bytes(each).startswith(b"{")]


def _text(raw: msgspec.Raw | None) -> bytes | None:
    """The JSON of a text that is not empty; a number becomes one."""
    text = b"" if raw is None else bytes(raw)
    if text.startswith(b'"'):
        return None if text == b'""' else text
    return b'"%b"' % text if text.isdigit() else None


def _index(raw: msgspec.Raw | None) -> int | None:
    text = b"" if raw is None else bytes(raw).strip(b'"')
    return int(text) if text.isdigit() and len(text) <= _INDEX_MAX_DIGITS else None


def _decoded(raw: msgspec.Raw | None) -> str:
    return "" if raw is None else str(msgspec.json.decode(raw))


def _is_whole(arguments: str) -> bool:
    """Whether the arguments are complete JSON, so that the call has ended."""
    try:
        msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
