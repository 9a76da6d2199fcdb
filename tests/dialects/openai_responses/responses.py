"""Requests of the Responses API for tests, and the strategies that draw them."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.metering.request import InferenceRequest
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.openai_chat.request import parse_request as parse_chat
from modelgates_server.dialects.openai_responses.request import parse_request
from modelgates_server.dialects.openai_responses.to_chat import to_chat
from modelgates_server.dialects.openai_responses.upstream import upstream_body
from tests.core import calls
from tests.core.calls import MODEL

GOLDEN = Path(__file__).parent / "golden"
CLIENTS = sorted(path.stem for path in (GOLDEN / "clients").glob("*.json"))

WEB = {"type": "web_search", "external_web_access": False}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "1"}


def function(name: str = "f", **members: Any) -> dict[str, Any]:
    return {"type": "function", "name": name, "parameters": {"type": "object"}, **members}


def body_of(**members: Any) -> bytes:
    """A request's body; parameters that are left out have minimal values."""
    return json.dumps({"model": MODEL, "input": "hi", **members}).encode()


def request(**members: Any) -> InferenceRequest:
    return parse_request(Api.RESPONSES, body_of(**members))


def rejection(**members: Any) -> str:
    """The error of a request, when it is read or translated."""
    with pytest.raises(InvalidInput) as caught:
        to_chat(request(**members))
    return str(caught.value)


def sent(**members: Any) -> dict[str, Any]:
    """The request that a provider of the Responses API is sent."""
    return sent_of(request(**members))


def sent_of(read: InferenceRequest, cap_tokens: int | None = None) -> dict[str, Any]:
    body = upstream_body(read, calls.endpoint(), cap_tokens=cap_tokens)
    written: dict[str, Any] = json.loads(body)
    return written


def chat_of(**members: Any) -> dict[str, Any]:
    """The translated request, after the reader of chat completions has accepted it."""
    translated = to_chat(request(**members))
    parse_chat(Api.CHAT, translated.body)
    written: dict[str, Any] = json.loads(translated.body)
    return written


def messages_of(*items: dict[str, Any], **members: Any) -> list[dict[str, Any]]:
    written: list[dict[str, Any]] = chat_of(input=list(items), **members)["messages"]
    return written


def golden(folder: str, name: str) -> Any:
    return json.loads((GOLDEN / folder / f"{name}.json").read_text("utf-8"))


# Any text that JSON can contain, with characters of one to four bytes.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
names = st.from_regex(r"[a-zA-Z0-9_-]{1,12}", fullmatch=True)

_text_parts = st.builds(lambda text: {"type": "input_text", "text": text}, texts)
_other_parts = st.sampled_from(
    [
        {"type": "input_image", "image_url": "https://a/b.png", "detail": "low"},
        {"type": "input_image", "image_url": "data:image/png;base64," + "A" * 99},
        {"type": "input_file", "file_id": "file-1"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA"},
    ]
)
contents = texts | st.lists(_text_parts | _other_parts, min_size=1, max_size=3)
# Chat Completions knows only text in a system message.
_instructions = texts | st.lists(_text_parts, min_size=1, max_size=3)
_messages = st.fixed_dictionaries(
    {"role": st.just("user"), "content": contents},
    optional={"type": st.just("message"), "id": st.just("msg_1")},
) | st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "developer"]), "content": _instructions},
    optional={"type": st.just("message"), "id": st.just("msg_1")},
)
_answers = st.builds(
    lambda text: {"type": "message", "role": "assistant", "content": text},
    texts | st.lists(st.builds(lambda text: {"type": "output_text", "text": text}, texts)),
)


@st.composite
def _rounds(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Calls of one turn with their outputs, in any order."""
    ids = draw(st.lists(names, min_size=1, max_size=3, unique=True))
    made, outputs = [], []
    for call_id in ids:
        name, text, output = draw(names), draw(texts), draw(contents)
        if draw(st.booleans()):
            made.append({"type": "custom_tool_call", "call_id": call_id, "name": name})
            made[-1]["input"] = text
            kind = "custom_tool_call_output"
        else:
            made.append({"type": "function_call", "call_id": call_id, "name": name})
            made[-1]["arguments"] = json.dumps({"x": text})
            kind = "function_call_output"
        outputs.append({"type": kind, "call_id": call_id, "output": output})
    return [*made, *draw(st.permutations(outputs))]


_tools = st.builds(
    lambda name, about: function(name, description=about, strict=False), names, texts
) | st.builds(
    lambda name, about: {"type": "custom", "name": name, "description": about}, names, texts
)
tools = _tools | st.builds(
    lambda name, inner: {"type": "namespace", "name": name, "description": "n", "tools": inner},
    names,
    st.lists(_tools, max_size=3),
)
inputs = texts | st.builds(
    lambda lists: [item for items in lists for item in items],
    st.lists(
        _messages.map(lambda item: [item]) | _answers.map(lambda item: [item]) | _rounds(),
        min_size=1,
        max_size=4,
    ),
)
bodies = st.fixed_dictionaries(
    {"model": st.just(MODEL), "input": inputs},
    optional={
        "instructions": st.none() | texts,
        "tools": st.lists(tools, max_size=3) | st.just([WEB]),
        "max_output_tokens": st.none() | st.integers(16, 20_000),
        "stream": st.none() | st.booleans(),
        "store": st.none() | st.booleans(),
        "temperature": st.none() | st.floats(0, 2),
        "reasoning": st.none() | st.fixed_dictionaries({"effort": st.sampled_from(["low", "max"])}),
        "client_metadata": st.dictionaries(texts, texts, max_size=2),
        "service_tier": st.sampled_from([None, "auto", "default", "flex"]),
    },
)


@st.composite
def written_bodies(draw: st.DrawFn) -> bytes:
    """A body in any formatting of JSON."""
    ascii_only, indent = draw(st.booleans()), draw(st.none() | st.just(1))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    text = json.dumps(draw(bodies), ensure_ascii=ascii_only, indent=indent, separators=separators)
    return text.encode()
