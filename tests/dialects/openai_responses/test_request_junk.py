"""Any JSON in place of any field is either accepted or rejected as invalid, and nothing else."""

import json
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.openai_chat.request import parse_request as parse_chat
from modelgates_server.dialects.openai_responses.from_chat import from_chat
from modelgates_server.dialects.openai_responses.request import parse_request
from modelgates_server.dialects.openai_responses.to_chat import to_chat
from tests.core import calls
from tests.dialects.openai_chat.chat import JUNK
from tests.dialects.openai_responses import responses

EXAMPLES = 200


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values within a value."""
    found = [path]
    inner: list[tuple[Any, Any]] = list(value.items()) if isinstance(value, dict) else []
    inner += list(enumerate(value)) if isinstance(value, list) else []
    for step, each in inner:
        found += places(each, (*path, step))
    return found


@st.composite
def damaged(draw: st.DrawFn, folder: str, names: list[str]) -> bytes:
    """A recorded request with junk in one or two places."""
    body = responses.golden(folder, draw(st.sampled_from(names)))
    body = body.get("request", body)
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from(places(body)[1:]))
        holder = body
        for step in path[:-1]:
            holder = holder[step]
        holder[path[-1]] = draw(JUNK)
    return json.dumps(body).encode()


@settings(max_examples=EXAMPLES)
@given(damaged("clients", responses.CLIENTS))
def test_damaged_request_is_served_or_rejected(body: bytes) -> None:
    with suppress(InvalidInput):
        request = parse_request(Api.RESPONSES, body)
        responses.sent_of(request)
        chat = parse_chat(Api.CHAT, to_chat(request).body)
        assert (chat.cap_tokens, chat.stream) == (request.cap_tokens, request.stream)


@settings(max_examples=EXAMPLES)
@given(damaged("from_chat", ["turns", "every_setting"]))
def test_damaged_chat_completion_is_served_or_rejected(body: bytes) -> None:
    with suppress(InvalidInput):
        chat = parse_chat(Api.CHAT, body)
        request = parse_request(Api.RESPONSES, from_chat(chat, calls.model()).body)
        assert (chat.cap_tokens, chat.stream) == (request.cap_tokens, request.stream)
