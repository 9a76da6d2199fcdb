"""Checks holds with a model of a provider that is independent of how they are sized."""

import json
from collections import Counter
from typing import Any

import pytest

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.metering.sizing import quote_hold
from modelgates_server.core.pricing.catalog import Api, CapParameter
from modelgates_server.core.pricing.usage import CacheTokens, Usage, UsageRules
from modelgates_server.dialects.openai_chat.request import parse_request
from modelgates_server.dialects.openai_chat.upstream import upstream_body
from modelgates_server.dialects.openai_chat.usage import read_usage
from tests.core import calls
from tests.dialects.openai_chat import chat
from tests.overrun.model import Upstream
from tests.overrun.run import attempt
from tests.support import T0_MS

CALLS = 2000


def test_drawn_calls_never_exceed_their_hold_and_are_never_rejected_wrongly() -> None:
    """The first calls of the 100,000 that `make overrun` draws; each outcome has to occur."""
    ways = Counter(attempt(0, number) for number in range(CALLS))
    assert set(ways) == {
        "answered",
        "answered without a limit",
        "rejected by the provider",
        "unpaid",
        "unpriced",
    }
    assert min(ways.values()) > CALLS // 100


def read_of(upstream: Upstream, **members: Any) -> tuple[int, int]:
    """The tokens that a provider reads of a chat, and those that the hold covers."""
    body = json.dumps({"model": calls.MODEL, **members}, ensure_ascii=False).encode()
    priced = calls.priced(
        calls.flat(input="0.001"),
        parse_request(Api.CHAT, body),
        at=calls.model(context_tokens=upstream.context_tokens),
    )
    quote = quote_hold(priced, account=calls.account(10**18), key=calls.key(), at_ms=T0_MS)
    ((text, _, _),) = upstream.reads(Api.CHAT, json.loads(body))
    return text, quote.bounds.input_tokens


def provider(**members: Any) -> Upstream:
    defaults = {"context_tokens": 10**6, "output_tokens": 10**6, "media_tokens": None}
    return Upstream(**{"cap_parameter": "max_tokens", **defaults, **members})


def test_hold_covers_the_longest_known_hidden_prompt() -> None:
    read, held = read_of(provider(hidden_tokens=750, template_tokens=36), messages=chat.HI)
    assert read <= held


def test_hold_covers_the_template_of_many_short_messages() -> None:
    upstream = provider(hidden_tokens=750, template_tokens=36)
    read, held = read_of(upstream, messages=[{"role": "user", "content": ""}] * 1000)
    assert read <= held


def test_hold_covers_the_suffix_for_each_prompt() -> None:
    body = chat.body_of(Api.COMPLETIONS, prompt=[""] * 128, suffix="s" * 10_000)
    request = parse_request(Api.COMPLETIONS, body)
    ((read, _, _), *rest) = provider().reads(Api.COMPLETIONS, json.loads(body))
    held = request.bounds(context_tokens=10**6, media_tokens=None, output_tokens=1)
    assert read * (len(rest) + 1) <= held.input_tokens


@pytest.mark.parametrize(
    "text", ["<" * 5000, "don't & won't" * 300, "é" * 4000, "漢" * 3000, "😀" * 999]
)
def test_hold_covers_tools_and_calls_escaped_as_html_safe_json(text: str) -> None:
    function = {"name": "f", "description": text}
    upstream = provider(tools_tokens=800, escapes_tools=True)
    tools: tuple[dict[str, Any], ...] = (
        {"tools": [{"type": "function", "function": function}]},
        {"functions": [function]},
    )
    for members in tools:
        read, held = read_of(upstream, messages=chat.HI, **members)
        assert read <= held
    past: tuple[dict[str, Any], ...] = (
        {"tool_calls": [{"id": "c", "function": function}]},
        {"function_call": function},
    )
    for members in past:
        message = {"role": "assistant", "content": None, **members}
        read, held = read_of(upstream, messages=[message])
        assert read <= held


def test_escapes_of_tools_do_not_raise_the_estimate_of_a_prompt() -> None:
    tools = [{"type": "function", "function": {"name": "f", "description": "<" * 1000}}]
    request = chat.request(tools=tools)
    assert request.escape_bytes == 5000
    assert request.text_bytes == len(chat.body_of(tools=tools))


def test_parameter_that_lifts_the_output_limit_is_rejected_by_name() -> None:
    with pytest.raises(InvalidInput, match="Use `max_tokens` instead of `auto_max_new_tokens`"):
        chat.request(max_tokens=5, auto_max_new_tokens=True)


@pytest.mark.parametrize("read", list(CapParameter))
@pytest.mark.parametrize("cap_tokens", [None, 7])
def test_other_name_of_the_limit_is_never_sent_even_as_null(
    read: CapParameter, cap_tokens: int | None
) -> None:
    request = chat.request(max_tokens=None, max_completion_tokens=None)
    sent = json.loads(upstream_body(request, calls.endpoint(read), cap_tokens=cap_tokens))
    assert [name for name in sent if "tokens" in name] == [read]
    assert sent[read] == cap_tokens


def test_fully_cached_prompt_is_counted_once() -> None:
    """Bedrock: the prompt consists only of cache reads and writes."""
    report = {
        "inputTokens": 0,
        "outputTokens": 41,
        "totalTokens": 197,
        "cacheReadInputTokens": 150,
        "cacheWriteInputTokens": 6,
    }
    reading = read_usage(report, UsageRules(cache=CacheTokens.BESIDE))
    assert reading.usage == Usage(cache_read=150, cache_write=6, output=41)
