"""Translates messages of chat completions into the conversation of a Messages request."""

from typing import Any

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.dialects.anthropic.effort import ClaudeModel
from modelgates_server.dialects.anthropic.omissions import Omissions
from modelgates_server.dialects.anthropic.parts_from_chat import blocks_of
from modelgates_server.dialects.anthropic.thinking_blocks import thinking_blocks
from modelgates_server.dialects.anthropic.tool_ids import to_messages
from modelgates_server.dialects.json_object import JsonObject, says_nothing

_NULL = msgspec.Raw(b"null")
_SYSTEM = ("system", "developer")
_REASONING = ("reasoning", "reasoning_content")
_READ = ("role", "content", "tool_calls", "tool_call_id", "reasoning_details", "refusal")
_REJECTED = {"function_call": "`tool_calls`", "audio": "its transcript as a text"}
_THOUGHTS = ("thinking", "redacted_thinking")
_CALL_AND_RESULT = 2

_members = msgspec.json.Decoder(JsonObject)
_objects = msgspec.json.Decoder(list[JsonObject])
_text = msgspec.json.Decoder(str)
_input = msgspec.json.Decoder(JsonObject)

Content = str | list[dict[str, Any]]


class Conversation:
    """The system prompt and the messages, added one by one."""

    def __init__(self, claude: ClaudeModel, omissions: Omissions) -> None:
        self._claude = claude
        self._omissions = omissions
        self._system: list[Content] = []
        self._messages: list[dict[str, Any]] = []
        self._open: dict[str, None] = {}
        self._holds_results = False

    @property
    def body(self) -> dict[str, Any]:
        """`system` and `messages`."""
        if not self._messages:
            raise InvalidInput("`messages` has no message apart from the system prompt. Send one.")
        body: dict[str, Any] = {"messages": self._messages}
        if self._system:
            one = self._system[0]
            is_text = len(self._system) == 1 and isinstance(one, str)
            body["system"] = one if is_text else _merged(self._system)
        return body

    @property
    def continues_without_thinking(self) -> bool:
        """Whether a turn continues after results of tools, and began without thinking.

        Models with budgets reject thinking there.
        """
        if len(self._messages) < _CALL_AND_RESULT or not self._holds_results_last():
            return False
        said = self._messages[-2]["content"]
        return isinstance(said, list) and said[0]["type"] not in _THOUGHTS

    def _holds_results_last(self) -> bool:
        last = self._messages[-1]["content"]
        return isinstance(last, list) and last[0]["type"] == "tool_result"

    def add(self, message: JsonObject, path: str) -> None:
        """Add a message; raises `InvalidInput` by its path."""
        self._check_names(message, path)
        role = _text.decode(message.get("role", b'""'))
        if role == "tool":
            return self._add_result(message, path)
        if self._open:
            raise InvalidInput(
                f"`{path}` must be the result of the tool call `{next(iter(self._open)):.80}`. "
                "Send a `tool` message for each call."
            )
        content = blocks_of(bytes(message.get("content", _NULL)), f"{path}.content")
        if role in _SYSTEM:
            return self._add_system(content)
        if role == "user":
            if not content:
                raise InvalidInput(
                    f"`{path}.content` is empty. Send a text, or remove the message."
                )
            return self._add_user(content)
        if role == "assistant":
            return self._add_assistant(message, content, path)
        raise InvalidInput(
            f"`{path}.role` must be `system`, `developer`, `user`, `assistant` or `tool`, not "
            f"`{role:.80}`."
        )

    def end(self) -> None:
        """Raises `InvalidInput` if a tool call has no result."""
        if self._open:
            raise InvalidInput(
                f"The tool call `{next(iter(self._open)):.80}` has no result. Send a `tool` "
                "message for each call."
            )

    def _check_names(self, message: JsonObject, path: str) -> None:
        for name, raw in message.items():
            if name in _READ or says_nothing(bytes(raw)):
                continue
            if name in _REJECTED:
                raise InvalidInput(
                    f"`{path}.{name}` has no counterpart for this model. Send {_REJECTED[name]}."
                )
            if name not in _REASONING or "reasoning_details" not in message:
                self._omissions.apply({}, {name: raw}, "messages.")

    def _add_system(self, content: Content) -> None:
        if not content:
            return
        if not self._messages:
            self._system.append(content)
        elif self._claude.hears_system and self._messages[-1]["role"] == "user":
            self._messages.append({"role": "system", "content": content})
            self._holds_results = False
        else:
            self._add_user([{"type": "text", "text": _wrapped(content)}])

    def _add_user(self, content: Content) -> None:
        """Add to the message with the results of tools: Anthropic wants them in one message."""
        if self._holds_results:
            self._messages[-1]["content"] += _listed(content)
            self._holds_results = False
        else:
            self._messages.append({"role": "user", "content": content})

    def _add_result(self, message: JsonObject, path: str) -> None:
        raw = bytes(message.get("tool_call_id", _NULL))
        call_id = _text.decode(raw) if raw.startswith(b'"') else ""
        call_id = to_messages(call_id) if call_id else ""
        if call_id not in self._open:
            raise InvalidInput(
                f"`{path}.tool_call_id` is `{call_id:.80}`, which is not a tool call of the "
                "message before, or already has a result. Send one result for each call."
            )
        del self._open[call_id]
        result: dict[str, Any] = {"type": "tool_result", "tool_use_id": call_id}
        if content := blocks_of(bytes(message.get("content", _NULL)), f"{path}.content"):
            result["content"] = content
        if self._holds_results:
            self._messages[-1]["content"].append(result)
        else:
            self._messages.append({"role": "user", "content": [result]})
            self._holds_results = True

    def _add_assistant(self, message: JsonObject, content: Content, path: str) -> None:
        self._holds_results = False
        thoughts = thinking_blocks(bytes(message.get("reasoning_details", _NULL)), self._omissions)
        if not content and (raw := bytes(message.get("refusal", _NULL))).startswith(b'"'):
            content = _text.decode(raw)
        raw = bytes(message.get("tool_calls", _NULL))
        calls = [] if says_nothing(raw) else _objects.decode(raw)
        uses = [self._use(c, f"{path}.tool_calls[{number}]") for number, c in enumerate(calls)]
        if thoughts or uses:
            content = [*thoughts, *_listed(content), *uses]
        if content:  # an empty message says nothing, and Anthropic rejects it
            self._messages.append({"role": "assistant", "content": content})

    def _use(self, call: JsonObject, path: str) -> dict[str, Any]:
        try:
            function = _members.decode(call["function"])
            call_id, name = _text.decode(call["id"]), _text.decode(function["name"])
            arguments = _text.decode(function.get("arguments", b'""')).strip() or "{}"
        except KeyError as missing:
            raise InvalidInput(f"`{path}` has no `{missing.args[0]}`.") from None
        call_id = to_messages(call_id) if call_id else ""
        if not call_id or call_id in self._open:
            raise InvalidInput(f"`{path}.id` must be an id that no other call has.")
        try:
            _input.decode(arguments)
        except msgspec.DecodeError:
            raise InvalidInput(
                f"`{path}.function.arguments` must be a JSON object, which this model requires."
            ) from None
        self._open[call_id] = None
        given = msgspec.Raw(arguments.encode())
        return {"type": "tool_use", "id": call_id, "name": name, "input": given}


def _listed(content: Content) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return content


def _merged(contents: list[Content]) -> list[dict[str, Any]]:
    return [block for content in contents for block in _listed(content)]


def _wrapped(content: Content) -> str:
    texts = "\n\n".join(block.get("text", "") for block in _listed(content))
    return f"<system>\n{texts}\n</system>"
