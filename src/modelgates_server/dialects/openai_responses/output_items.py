"""The output items of a response, and the calls of tools in the form that the client knows."""

import json
from typing import Any

from modelgates_server.dialects.openai_chat.spoken import Thought
from modelgates_server.dialects.openai_responses.reasoning_items import pack
from modelgates_server.dialects.openai_responses.response_object import Item
from modelgates_server.dialects.openai_responses.tools import (
    CUSTOM,
    FUNCTION,
    TOOL_SEARCH,
    ToolNames,
)

IN_PROGRESS, COMPLETED, INCOMPLETE = "in_progress", "completed", "incomplete"
_PREFIXES = {FUNCTION: "fc", CUSTOM: "ctc", TOOL_SEARCH: "tsc"}
_FORMAT = "anthropic-claude-v1"


def reasoning_item(item_id: str, thoughts: list[Thought]) -> Item:
    """Reasoning as a summary. Details that a provider must get back unchanged are packed."""
    text = "".join(thought.text for thought in thoughts)
    item: Item = {
        "id": item_id,
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": text}] if text else [],
    }
    details = [_detail(each) for each in thoughts if each.signature or each.data is not None]
    if details:
        item["encrypted_content"] = pack(details)
    return item


def _detail(thought: Thought) -> dict[str, Any]:
    form = thought.format or _FORMAT
    if thought.data is not None:
        return {"type": "reasoning.encrypted", "data": thought.data, "format": form}
    signed = {"text": thought.text, "signature": thought.signature}
    return {"type": "reasoning.text", **signed, "format": form}


def message_item(item_id: str, parts: list[Item], status: str = COMPLETED) -> Item:
    """A message of the assistant."""
    return {
        "id": item_id,
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": parts,
    }


def text_part(text: str, logprobs: list[Any] | None = None) -> Item:
    """A text within a message."""
    annotations: list[Item] = []
    return {
        "type": "output_text",
        "text": text,
        "annotations": annotations,
        "logprobs": logprobs or [],
    }


def refusal_part(text: str) -> Item:
    """A refusal within a message."""
    return {"type": "refusal", "refusal": text}


class ClientCall:
    """A call of a tool under the name and in the form of the client's request."""

    def __init__(self, names: ToolNames, call_id: str, chat_name: str, arguments: str = "") -> None:
        self.kind, self._namespace, self._name = names.to_client(chat_name)
        self._call_id = call_id
        self._pieces = [arguments]

    @property
    def prefix(self) -> str:
        """The beginning of its item's id. OpenAI rejects an item whose id has another one."""
        return _PREFIXES[self.kind]

    def add(self, arguments: str) -> None:
        """Append the next piece of the arguments."""
        self._pieces.append(arguments)

    def item(self, item_id: str, status: str) -> Item:
        """The item, with the arguments unless it has only begun."""
        written = "" if status == IN_PROGRESS else "".join(self._pieces)
        head: Item = {"id": item_id, "status": status, "call_id": self._call_id}
        if self.kind == TOOL_SEARCH:
            search = {"type": "tool_search_call", "execution": "client"}
            return {**head, **search, "arguments": _object(written)}
        head["name"] = self._name
        if self._namespace is not None:
            head["namespace"] = self._namespace
        if self.kind == CUSTOM:
            return {**head, "type": "custom_tool_call", "input": _input(written)}
        if status == COMPLETED:
            written = written or "{}"
        return {**head, "type": "function_call", "arguments": written}


def _input(arguments: str) -> str:
    """The text for a custom tool, which the model wrote as `{"input": text}`."""
    given = _object(arguments).get("input")
    return given if isinstance(given, str) else arguments


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
