"""Reduces a Messages request to what survives the way to chat completions and back.

One function for each row of `rules.LOSSES`, in terms of the request and not of the translation.
"""

import copy
from collections.abc import Callable
from typing import Any

Body = dict[str, Any]


def _blocks(content: Any) -> list[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _texts(blocks: list[Any]) -> list[str]:
    return [block["text"] for block in blocks if block["type"] == "text"]


def _other(blocks: list[Any], *kinds: str) -> list[Any]:
    return [block for block in blocks if block["type"] not in kinds]


def _only(blocks: list[Any], *kinds: str) -> list[Any]:
    return [block for block in blocks if block["type"] in kinds]


def _of_role(body: Body, role: str) -> list[Body]:
    return [message for message in body["messages"] if message["role"] == role]


def merge_turns(body: Body) -> None:
    turns: list[Body] = []
    for message in body["messages"]:
        blocks = list(_blocks(message["content"]))
        if turns and turns[-1]["role"] == message["role"]:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": message["role"], "content": blocks})
    body["messages"] = turns


def drop_caches(body: Body) -> None:
    def clean(value: Any) -> None:
        if isinstance(value, dict):
            value.pop("cache_control", None)
        for each in value.values() if isinstance(value, dict) else value:
            if isinstance(each, dict | list):
                clean(each)

    clean([message["content"] for message in body["messages"]])
    clean(body.get("system", []) if isinstance(body.get("system"), list) else [])


def join_system(body: Body) -> None:
    if "system" in body:
        body["system"] = "\n\n".join(filter(None, _texts(_blocks(body["system"]))))


def join_said(body: Body) -> None:
    for message in _of_role(body, "assistant"):
        others = _other(message["content"], "text")
        text = "".join(_texts(message["content"]))
        message["content"] = others + ([{"type": "text", "text": text}] if text else [])


def order_said(body: Body) -> None:
    order = ("thinking", "redacted_thinking", "text", "tool_use")
    for message in _of_role(body, "assistant"):
        message["content"].sort(key=lambda block: order.index(block["type"]))


def drop_unsigned(body: Body) -> None:
    for message in _of_role(body, "assistant"):
        message["content"] = [block for block in message["content"] if block.get("signature") != ""]


def mark_errors(body: Body) -> None:
    for message in _of_role(body, "user"):
        for block in _only(message["content"], "tool_result"):
            if block.pop("is_error", False):
                content = _blocks(block.get("content", ""))
                block["content"] = [{"type": "text", "text": "Error: "}, *content]


def join_results(body: Body) -> None:
    for message in _of_role(body, "user"):
        for block in _only(message["content"], "tool_result"):
            content = _blocks(block.get("content", ""))
            texts = _texts(content)
            head = texts.pop(0) if texts[:1] == ["Error: "] else ""
            text = head + "\n".join(filter(None, texts))
            block["content"] = [{"type": "text", "text": text}, *_other(content, "text")]


def move_pictures(body: Body) -> None:
    for message in _of_role(body, "user"):
        moved: list[Any] = []
        for block in _only(message["content"], "tool_result"):
            content = _blocks(block["content"])
            if pictures := _other(content, "text"):
                about = f"From the result of the tool call {block['tool_use_id']}:"
                moved += [{"type": "text", "text": about}, *pictures]
            block["content"] = "".join(_texts(content))
        results = _only(message["content"], "tool_result")
        message["content"] = [*results, *moved, *_other(message["content"], "tool_result")]


def order_heard(body: Body) -> None:
    for message in _of_role(body, "user"):
        results = _only(message["content"], "tool_result")
        for block in results:
            if not block.get("content"):
                block.pop("content", None)
        message["content"] = [*results, *_other(message["content"], "tool_result")]


def read_documents(body: Body) -> None:
    for message in _of_role(body, "user"):
        for block in _only(message["content"], "document"):
            lines = [block.get("title", ""), block["source"]["data"]]
            block.clear()
            block.update({"type": "text", "text": "\n".join(filter(None, lines))})


LOST: dict[str, Callable[[Body], None]] = {
    "turns of one role": merge_turns,
    "cache_control": drop_caches,
    "blocks of system": join_system,
    "texts of assistant": join_said,
    "thinking without a signature": drop_unsigned,
    "order of assistant": order_said,
    "is_error": mark_errors,
    "document of text": read_documents,
    "texts of tool_result": join_results,
    "images of tool_result": move_pictures,
    "order of user": order_heard,
}


def canonical(body: Body) -> Body:
    """The request without what is lost, as a new object."""
    reduced = copy.deepcopy(body)
    for lose in LOST.values():
        lose(reduced)
    return reduced
