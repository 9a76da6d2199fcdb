"""Writes input items as messages of chat completions.

All items of one turn of the model become one assistant message: its reasoning, its texts and its
calls. The results follow it at once, in the order of the calls, as providers require.
"""

from collections import defaultdict, deque
from typing import Any

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.dialects.json_object import cut
from modelgates_server.dialects.openai_responses.chat_parts import (
    TEXTUAL,
    chat_content,
    chat_part,
)
from modelgates_server.dialects.openai_responses.items import (
    ContentPart,
    Item,
    arguments_of,
    content_of,
    needed,
)
from modelgates_server.dialects.openai_responses.returned_reasoning import (
    ReasoningForm,
    details_of,
    fields_of,
    returnable,
)
from modelgates_server.dialects.openai_responses.rules import ITEMS_TO_CHAT, Action, reject
from modelgates_server.dialects.openai_responses.tools import ToolNames, tools_of

_ASSISTANT, _SYSTEM, _USER = "assistant", "system", "user"
_ROLES = {_USER: _USER, _SYSTEM: _SYSTEM, "developer": _SYSTEM, _ASSISTANT: _ASSISTANT}
"""Only OpenAI knows `developer`, and it reads `system` as the same."""

_OUTPUTS = ("function_call_output", "custom_tool_call_output", "tool_search_output")
_TURN = ("reasoning", "function_call", "custom_tool_call", "tool_search_call")
_SHOWN_BELOW = "The output is shown in the next message."


class ChatMessages:
    """Writes the messages of one request. `omitted` names what was left out."""

    def __init__(
        self,
        names: ToolNames,
        instructions: str | None,
        reasoning: ReasoningForm = ReasoningForm.SIGNED,
    ) -> None:
        self.omitted: list[str] = []
        self._names = names
        self._reasoning = reasoning
        self._leading = [instructions] if instructions else []
        self._written: list[dict[str, Any]] = []
        self._turn: dict[str, Any] | None = None
        self._outputs: defaultdict[str, deque[tuple[int, Item]]] = defaultdict(deque)

    def write(self, items: list[Item]) -> list[dict[str, Any]]:
        """The messages; raises `InvalidInput` that names an item without a counterpart."""
        for number, item in enumerate(items):
            if item.kind in _OUTPUTS:
                self._outputs[item.call_id or ""].append((number, item))
        for number, item in enumerate(items):
            self._add(item, f"input[{number}]")
        self._end_turn()
        self._refuse_orphans()
        if self._leading:
            # Templates of some models accept only one system message, and only as the first.
            self._written.insert(0, {"role": _SYSTEM, "content": "\n\n".join(self._leading)})
        return self._written

    def _add(self, item: Item, path: str) -> None:
        rule = ITEMS_TO_CHAT.get(item.kind)
        if rule is None:
            raise InvalidInput(
                f"`{path}.type` is not supported here: `{cut(item.kind)}`. It has no counterpart "
                "in chat completions, which the provider of this model speaks."
            )
        if rule.action is Action.REJECTED:
            raise reject(f"{path} of type {item.kind}", rule.note)
        if rule.action is Action.DROPPED:
            self.omitted.append(f"input.{item.kind}")
        elif item.kind in _TURN:
            self._add_to_turn(item, path)
        elif item.kind in _OUTPUTS:
            self._end_turn()  # which writes the outputs of all its calls
        elif item.kind == "message":
            self._add_message(item, path)

    def _add_message(self, item: Item, path: str) -> None:
        role = _ROLES.get(item.role or "")
        if role is None:
            known = ", ".join(f"`{name}`" for name in _ROLES)
            raise InvalidInput(f"`{path}.role` must be one of {known}.")
        parts = content_of(item.content, f"{path}.content")
        if role == _ASSISTANT:
            return self._add_answer(parts, f"{path}.content")
        self._end_turn()
        texts = [part.text for part in parts if part.type in TEXTUAL]
        if role == _SYSTEM and not self._written and len(texts) == len(parts):
            self._leading += texts
            return None
        content = chat_content(parts, f"{path}.content")
        self._written.append({"role": role, "content": content})
        return None

    def _add_answer(self, parts: list[ContentPart], path: str) -> None:
        turn = self._begin_turn()
        if not parts:
            turn["texts"].append("")
        for number, part in enumerate(parts):
            if part.type == "refusal":
                turn["refusal"] = turn.get("refusal", "") + part.refusal
            elif part.type in TEXTUAL:
                turn["texts"].append(part.text)
            else:
                raise InvalidInput(
                    f"`{path}[{number}].type` is not supported in a message of the assistant: "
                    f"`{cut(part.type)}`. Send text."
                )

    def _add_to_turn(self, item: Item, path: str) -> None:
        if item.kind == "reasoning":
            self._add_reasoning(item)
            return
        if item.kind == "tool_search_call" and (item.execution == "server" or not item.call_id):
            self.omitted.append("input.tool_search_call")
            return
        self._begin_turn()["calls"].append(self._call(item, path))

    def _add_reasoning(self, item: Item) -> None:
        details = details_of(item)
        returned = returnable(details, self._reasoning)
        if not details or len(returned) < len(details):
            self.omitted.append("input.reasoning")
        if returned:
            self._begin_turn()["details"] += returned

    def _call(self, item: Item, path: str) -> dict[str, Any]:
        if item.kind == "tool_search_call":
            name = self._names.search or self._names.to_chat(None, "tool_search")
        else:
            name = self._names.to_chat(item.namespace, needed(item.name, f"{path}.name"))
        if item.kind == "custom_tool_call":
            arguments = msgspec.json.encode({"input": item.input or ""}).decode()
        else:
            arguments = arguments_of(item, f"{path}.arguments")
        call_id = needed(item.call_id, f"{path}.call_id")
        function = {"name": name, "arguments": arguments}
        return {"id": call_id, "type": "function", "function": function}

    def _begin_turn(self) -> dict[str, Any]:
        """The turn of the model that is being collected."""
        if self._turn is None:
            self._turn = {"texts": [], "calls": [], "details": []}
        return self._turn

    def _end_turn(self) -> None:
        turn, self._turn = self._turn, None
        if turn is None:
            return
        if not (turn["texts"] or turn["calls"] or "refusal" in turn):
            self.omitted.append("input.reasoning")  # alone, it is not a message
            return
        message: dict[str, Any] = {"role": _ASSISTANT, "content": _answer(turn["texts"])}
        if "refusal" in turn:
            message["refusal"] = turn["refusal"]
        message |= fields_of(turn["details"], self._reasoning)
        if turn["calls"]:
            message["tool_calls"] = turn["calls"]
        self._written.append(message)
        self._write_outputs([call["id"] for call in turn["calls"]])

    def _write_outputs(self, call_ids: list[str]) -> None:
        """The results of these calls; what is not text follows in a message of the user."""
        shown: list[dict[str, Any]] = []
        for call_id in call_ids:
            if not self._outputs[call_id]:
                continue
            number, item = self._outputs[call_id].popleft()
            text, others = self._output(item, f"input[{number}].output")
            self._written.append({"role": "tool", "tool_call_id": call_id, "content": text})
            if others:
                shown += [{"type": "text", "text": f"Output of the tool call {call_id}:"}, *others]
        if shown:
            self._written.append({"role": _USER, "content": shown})

    def _output(self, item: Item, path: str) -> tuple[str, list[dict[str, Any]]]:
        if item.kind == "tool_search_output":
            loaded = tools_of({"tools": item.tools})
            names = [self._names.to_chat(tool.namespace, tool.name) for tool in loaded]
            return f"Loaded tools: {', '.join(names) or 'none'}", []
        parts = content_of(item.output, path)
        texts = [part.text for part in parts if part.type in TEXTUAL]
        others = [
            chat_part(part, f"{path}[{number}]")
            for number, part in enumerate(parts)
            if part.type not in TEXTUAL
        ]
        return "\n".join(texts) or (_SHOWN_BELOW if others else ""), others

    def _refuse_orphans(self) -> None:
        for call_id, left in self._outputs.items():
            for number, item in left:
                if item.kind == "tool_search_output" and not item.call_id:
                    continue  # of a search that the provider ran
                raise InvalidInput(
                    f"`input[{number}].call_id` has no tool call: `{cut(call_id)}`. Send the call "
                    "before its output, and one output for each call."
                )


def _answer(texts: list[str]) -> str | list[dict[str, Any]] | None:
    if len(texts) <= 1:
        return texts[0] if texts else None
    return [{"type": "text", "text": text} for text in texts]
