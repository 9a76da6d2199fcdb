"""Writes messages of chat completions as input items of the Responses API."""

from collections.abc import Callable
from typing import Any

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.dialects.json_object import cut, misfit
from modelgates_server.dialects.openai_responses.reasoning_items import RESPONSES_FORMAT

_NULL = msgspec.Raw(b"null")
_REASONING = ("reasoning", "reasoning_content")
_ADVICE = "Leave it out, or choose another model."


class _Function(msgspec.Struct):
    name: str = ""
    arguments: msgspec.Raw = msgspec.Raw(b'""')


class _Custom(msgspec.Struct):
    name: str = ""
    input: str = ""


class _Call(msgspec.Struct):
    id: str | None = None
    type: str = "function"
    function: _Function | None = None
    custom: _Custom | None = None


class _Message(msgspec.Struct):
    role: str
    content: msgspec.Raw = _NULL
    name: str | None = None
    refusal: str | None = None
    reasoning: msgspec.Raw = _NULL
    reasoning_content: msgspec.Raw = _NULL
    reasoning_details: list[dict[str, Any]] | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None
    function_call: msgspec.Raw = _NULL
    audio: msgspec.Raw = _NULL
    images: msgspec.Raw = _NULL


class _Image(msgspec.Struct):
    url: str
    detail: str | None = None


class _File(msgspec.Struct):
    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class _Part(msgspec.Struct):
    type: str
    text: str = ""
    refusal: str = ""
    image_url: str | _Image | None = None
    file: _File | None = None
    cache_control: msgspec.Raw = _NULL


_messages = msgspec.json.Decoder(list[_Message])
_content = msgspec.json.Decoder(str | list[_Part] | None)
_text = msgspec.json.Decoder(str)


class ResponseItems:
    """Writes the items of one request. `omitted` names what was left out."""

    def __init__(self) -> None:
        self.omitted: list[str] = []
        self._written: list[dict[str, Any]] = []
        self._custom_ids: set[str] = set()

    def write(self, raw: bytes) -> list[dict[str, Any]]:
        """The items; raises `InvalidInput` that names what has no counterpart."""
        try:
            messages = _messages.decode(raw)
        except msgspec.DecodeError as error:
            raise misfit(error, "messages", raw, list[_Message]) from None
        for number, message in enumerate(messages):
            self._add(message, f"messages[{number}]")
        return self._written

    def _add(self, message: _Message, path: str) -> None:
        for name in ("function_call", "audio", "images"):
            if bytes(getattr(message, name)) not in (b"null", b"[]"):
                raise _unsupported(f"{path}.{name}")
        if message.name is not None:
            self.omitted.append("messages.name")
        match message.role:
            case "system" | "developer" | "user":
                self._written.append(self._message(message, path, _input_part))
            case "assistant":
                self._add_turn(message, path)
            case "tool":
                self._written.append(self._output(message, path))
            case other:
                raise _unsupported(f"{path}.role` of `{cut(other)}")

    def _message(
        self, message: _Message, path: str, write: Callable[[_Part, str], dict[str, Any]]
    ) -> dict[str, Any]:
        content = self._parts(message.content, f"{path}.content", write)
        return {"type": "message", "role": message.role, "content": content}

    def _parts(
        self, raw: msgspec.Raw, path: str, write: Callable[[_Part, str], dict[str, Any]]
    ) -> str | list[dict[str, Any]]:
        try:
            content = _content.decode(raw)
        except msgspec.DecodeError as error:
            raise misfit(error, path, bytes(raw), str | list[_Part] | None) from None
        if content is None or isinstance(content, str):
            return content or ""
        if any(bytes(part.cache_control) != b"null" for part in content):
            self.omitted.append("messages.cache_control")
        return [write(part, f"{path}[{number}]") for number, part in enumerate(content)]

    def _add_turn(self, message: _Message, path: str) -> None:
        """One turn of the model: its reasoning, its text, and its calls."""
        self._add_reasoning(message)
        answer = self._message(message, path, _output_part)
        if message.refusal:
            text = answer["content"]
            parts = [_output_text(text)] if isinstance(text, str) else text
            refusal = {"type": "refusal", "refusal": message.refusal}
            answer["content"] = [part for part in parts if part.get("text") != ""] + [refusal]
        if isinstance(answer["content"], list):
            answer["status"] = "completed"
        if answer["content"] or not message.tool_calls:
            self._written.append(answer)
        for number, call in enumerate(message.tool_calls or ()):
            self._written.append(self._call(call, f"{path}.tool_calls[{number}]"))

    def _add_reasoning(self, message: _Message) -> None:
        """Reasoning that a Responses provider encrypted; that of others means nothing to it."""
        summary: list[dict[str, Any]] = []
        is_kept = False
        for detail in message.reasoning_details or ():
            if isinstance(text := detail.get("summary"), str):
                summary.append({"type": "summary_text", "text": text})
            elif _is_encrypted_by_responses(detail):
                item = {"type": "reasoning", "id": detail["id"], "summary": summary}
                self._written.append({**item, "encrypted_content": detail["data"]})
                summary, is_kept = [], True
        has_any = message.reasoning_details or any(
            bytes(getattr(message, name)) not in (b"null", b'""') for name in _REASONING
        )
        if has_any and not is_kept:
            self.omitted.append("messages.reasoning")

    def _call(self, call: _Call, path: str) -> dict[str, Any]:
        if not call.id:
            raise InvalidInput(f"`{path}.id` is missing.")
        if call.type == "custom" and call.custom is not None:
            self._custom_ids.add(call.id)
            named = {"name": call.custom.name, "input": call.custom.input}
            return {"type": "custom_tool_call", "call_id": call.id, **named}
        if call.function is None:
            raise InvalidInput(f"`{path}.function` is missing.")
        named = {"name": call.function.name, "arguments": _arguments(call.function.arguments)}
        return {"type": "function_call", "call_id": call.id, **named}

    def _output(self, message: _Message, path: str) -> dict[str, Any]:
        call_id = message.tool_call_id
        if not call_id:
            raise InvalidInput(f"`{path}.tool_call_id` is missing.")
        kind = "custom_tool_call" if call_id in self._custom_ids else "function_call"
        output = self._parts(message.content, f"{path}.content", _input_part)
        return {"type": f"{kind}_output", "call_id": call_id, "output": output}


def _is_encrypted_by_responses(detail: dict[str, Any]) -> bool:
    return (
        detail.get("format") == RESPONSES_FORMAT
        and isinstance(detail.get("data"), str)
        and isinstance(detail.get("id"), str)
    )


def _arguments(raw: msgspec.Raw) -> str:
    """Arguments as text; some clients send the object itself."""
    text = bytes(raw)
    if text == b"null":
        return ""
    return _text.decode(text) if text.startswith(b'"') else text.decode()


def _input_part(part: _Part, path: str) -> dict[str, Any]:
    if part.type == "text":
        return {"type": "input_text", "text": part.text}
    if part.type == "image_url" and part.image_url is not None:
        image = _Image(part.image_url) if isinstance(part.image_url, str) else part.image_url
        detail = {} if image.detail is None else {"detail": image.detail}
        return {"type": "input_image", "image_url": image.url, **detail}
    if part.type == "file" and part.file is not None:
        return {"type": "input_file", **_source(part.file)}
    raise _unsupported(f"{path}.type` of `{cut(part.type)}")


def _source(file: _File) -> dict[str, str]:
    data = file.file_data
    is_link = data is not None and data.startswith(("https://", "http://"))
    named = {"file_url" if is_link else "file_data": data, "file_id": file.file_id}
    named["filename"] = file.filename
    return {name: value for name, value in named.items() if value is not None}


def _output_part(part: _Part, path: str) -> dict[str, Any]:
    if part.type == "text":
        return _output_text(part.text)
    if part.type == "refusal":
        return {"type": "refusal", "refusal": part.refusal}
    raise _unsupported(f"{path}.type` of `{cut(part.type)}")


def _output_text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": []}


def _unsupported(path: str) -> InvalidInput:
    return InvalidInput(
        f"`{path}` is not supported: it has no counterpart in the Responses API, which this "
        f"model's provider speaks. {_ADVICE}"
    )
