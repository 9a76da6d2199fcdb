"""Failures of other gateways with requests, one test for each report."""

import json
from typing import Any

import pytest

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.anthropic.request import parse_request
from modelgates_server.dialects.anthropic.upstream import upstream_body
from tests.dialects.anthropic import messages
from tests.dialects.anthropic.messages import (
    assistant,
    from_chat_of,
    in_chat,
    text,
    tool,
    use,
    user,
)
from tests.dialects.anthropic.messages import result as result_of

TURNS: list[dict[str, Any]] = [*messages.HI, assistant(use("toolu_1"), use("toolu_2"))]
CLAUDE = messages.served_by("claude-opus-4-8")


def native(body: bytes) -> bytes:
    request = parse_request(Api.MESSAGES, body)
    return upstream_body(request, CLAUDE.endpoint, cap_tokens=None, service_tier=None)


def tool_message(call_id: str, content: Any = "ok") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def calls(*ids: str) -> dict[str, Any]:
    function = {"name": "f", "arguments": "{}"}
    tool_calls = [{"id": each, "type": "function", "function": function} for each in ids]
    return {"role": "assistant", "content": None, "tool_calls": tool_calls}


def test_parallel_results_stay_in_one_message() -> None:
    """req_llm#250, rowboat#378, opencode-go-copilot#89: results split over messages."""
    ids = [f"c{number}" for number in range(114)]
    turns = [*messages.HI, calls(*ids), *map(tool_message, reversed(ids)), *messages.HI]
    _, _, heard = from_chat_of(messages=turns)[0]["messages"]
    assert [block["tool_use_id"] for block in heard["content"][:-1]] == ids[::-1]


def test_text_follows_the_results() -> None:
    """helm-api#171: text before tool_result."""
    turns = [*messages.HI, calls("a"), tool_message("a"), *messages.HI]
    kinds = [each["type"] for each in from_chat_of(messages=turns)[0]["messages"][-1]["content"]]
    assert kinds == ["tool_result", "text"]


def test_second_result_of_a_call_is_rejected() -> None:
    """picoclaw#1793: duplicate tool_result ids."""
    turns = [*TURNS, user(result_of("toolu_1"), result_of("toolu_1"))]
    with pytest.raises(InvalidInput, match="already has a result"):
        in_chat(messages=turns)


def test_ids_of_calls_and_results_are_equal_and_not_empty() -> None:
    """vllm#34745: tool_use_id dropped."""
    turns = [*TURNS, user(result_of("toolu_1"), result_of("toolu_2"))]
    _, call, *results = in_chat(messages=turns)[0]["messages"]
    ids = ["toolu_1", "toolu_2"]
    assert [each["id"] for each in call["tool_calls"]] == ids
    assert [each["tool_call_id"] for each in results] == ids
    with pytest.raises(InvalidInput, match="must be a string that is not empty"):
        in_chat(messages=[*messages.HI, assistant(use("")), *messages.HI])


def test_fields_of_anthropics_tools_never_reach_another_provider() -> None:
    """CLIProxyAPI#1725: defer_loading sent to OpenAI."""
    fields: Any = {"defer_loading": True, "eager_input_streaming": True, "x_new": {"a": 1}}
    (sent,) = in_chat(tools=[tool(**fields)])[0]["tools"]
    assert sent["function"].keys() == {"name", "parameters"}


def test_deferred_tools_are_usable_with_another_provider() -> None:
    """claude-code#89211: deferred tools unusable on other models."""
    loaded = result_of("toolu_1", [{"type": "tool_reference", "tool_name": "deep"}])
    turns = [*messages.HI, assistant(use("toolu_1", "search")), user(loaded)]
    tools = [tool("search"), tool("deep", defer_loading=True)]
    body, omitted = in_chat(messages=turns, tools=tools)
    assert [each["function"]["name"] for each in body["tools"]] == ["search", "deep"]
    assert body["messages"][-1]["content"] == "Loaded: deep"
    assert omitted == ("tools.defer_loading",)


@pytest.mark.parametrize("call_id", ["toolu_01A", "call_abc", "functions.get:0", "x y", "é"])
def test_ids_of_other_providers_are_accepted_by_anthropic(call_id: str) -> None:
    """llmgateway#3389: rewritten ids not mapped back."""
    turns = [*messages.HI, calls(call_id), tool_message(call_id)]
    _, said, heard = from_chat_of(messages=turns)[0]["messages"]
    sent = said["content"][0]["id"]
    assert heard["content"][0]["tool_use_id"] == sent
    assert set(sent) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def test_bytes_of_thinking_are_not_written_anew() -> None:
    """CLIProxyAPI#2172: JSON that was written anew broke the signature."""
    thinking = b'{"type":"thinking" , "thinking":"a\\u00e9\\/","signature":"Eq\\/8="}'
    body = b'{"model":"a","messages":[{"role":"assistant","content":[%b]}]}' % thinking
    assert thinking in native(body)


def test_thinking_of_another_provider_is_dropped_as_a_whole() -> None:
    """llxprt#2335: the model was switched in the middle of a session."""
    details = [{"type": "reasoning.encrypted", "data": "x", "format": "openai-responses-v1"}]
    said = {"role": "assistant", "content": "so", "reasoning": "y", "reasoning_details": details}
    body, omitted = from_chat_of(messages=[*messages.HI, said, *messages.HI])
    assert body["messages"][1] == {"role": "assistant", "content": "so"}
    assert omitted == ("messages.reasoning_details",)


def test_conversation_is_not_touched_on_the_way_to_anthropic() -> None:
    """opencode#48637: a signature is bound to system, tools and all earlier messages."""
    members = {
        "system": [messages.ATTRIBUTION, text("a", cache_control={"type": "ephemeral"})],
        "tools": [tool(x_new=1)],
        "messages": [*TURNS, user(result_of("toolu_2"), result_of("toolu_1"), text(""))],
    }
    sent = json.loads(native(messages.body_of(**members)))
    assert {name: sent[name] for name in members} == members


def test_signature_passes_without_a_prefix() -> None:
    """CLIProxyAPI#1398: the signature was prefixed and compared wrongly."""
    detail = {"type": "reasoning.text", "text": "t", "signature": "EqQBCg=="}
    said = {"role": "assistant", "content": "so", "reasoning_details": [detail]}
    block = from_chat_of(messages=[*messages.HI, said, *messages.HI])[0]["messages"][1]["content"][
        0
    ]
    assert block == {"type": "thinking", "thinking": "t", "signature": "EqQBCg=="}


def test_order_of_replayed_thinking_is_kept() -> None:
    """bifrost#6342: replayed thinking was arranged anew."""
    kinds = ("reasoning.text", "reasoning.encrypted", "reasoning.text")
    details = [
        {"type": kind, "text": f"t{n}", "signature": f"s{n}", "data": f"d{n}"}
        for n, kind in enumerate(kinds)
    ]
    said = {"role": "assistant", "content": "so", "reasoning_details": details}
    blocks = from_chat_of(messages=[*messages.HI, said, *messages.HI])[0]["messages"][1]["content"]
    assert [each.get("signature", each.get("data")) for each in blocks[:3]] == ["s0", "d1", "s2"]


def test_effort_is_not_sent_to_haiku() -> None:
    """copilot-api#286: effort sent to Haiku 4.5."""
    body, _ = from_chat_of("claude-haiku-4-5", max_tokens=9000, reasoning_effort="high")
    assert "output_config" not in body
    assert body["thinking"]["type"] == "enabled"


def test_unknown_effort_passes_to_anthropic() -> None:
    """CLIProxyAPI#3901: a stale table refused the effort `max`."""
    sent = json.loads(native(messages.body_of(output_config={"effort": "ultra"})))
    assert sent["output_config"] == {"effort": "ultra"}
    assert from_chat_of("claude-next-9", reasoning={"effort": "max"})[0]["output_config"] == {
        "effort": "max"
    }


def test_picture_of_a_result_reaches_the_model() -> None:
    """llama.cpp#22536, claude-code-proxy#59, claude-code#18588: images in results were lost."""
    picture = messages.image(messages.png(1, 1))
    turns = [*TURNS, user(result_of("toolu_1", [picture, text("a")]), result_of("toolu_2"))]
    *_, first, second, shown = in_chat(messages=turns)[0]["messages"]
    assert (first["content"], second["content"]) == ("a", "ok")
    assert shown["content"][0]["text"] == "From the result of the tool call toolu_1:"
    assert shown["content"][1]["image_url"]["url"].startswith("data:image/png;base64,iVBOR")


def test_pdf_is_carried_and_never_vanishes() -> None:
    """litellm#38267, kiro#165: the PDF vanished, and was billed."""
    for turns in (
        [user(messages.pdf())],
        [*TURNS[:1], assistant(use("t")), user(result_of("t", [messages.pdf()]))],
    ):
        last = in_chat(messages=turns)[0]["messages"][-1]
        assert last["content"][-1]["type"] == "file"


@pytest.mark.parametrize(
    "source", [{"type": "url", "url": "https://a/b.pdf"}, {"type": "file", "file_id": "f"}]
)
def test_every_kind_of_source_is_carried_or_rejected(source: dict[str, str]) -> None:
    """portkey#1075: PDF from a URL."""
    block = {"type": "document", "source": source}
    with pytest.raises(InvalidInput, match="Send the data in base64"):
        in_chat(messages=[user(block)])
    assert json.dumps(source) in native(messages.body_of(messages=[user(block)])).decode()


def test_picture_is_never_replaced_by_a_text() -> None:
    """sandboxed.sh#389: the image became "[image:url]"."""
    block = {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}}
    (part,) = in_chat(messages=[user(block)])[0]["messages"][0]["content"]
    assert part == {"type": "image_url", "image_url": {"url": "https://a/b.png"}}


def test_attribution_of_claude_code_goes_only_to_anthropic() -> None:
    """claude-code#68900, helm#208: it changed with each session and spoiled all caches."""
    system = [messages.ATTRIBUTION, text("You are Claude Code.")]
    body, omitted = in_chat(system=system)
    assert body["messages"][0]["content"] == "You are Claude Code."
    assert omitted == ("system.attribution",)
    assert json.loads(native(messages.body_of(system=system)))["system"] == system


def test_three_hundred_large_tools_are_read() -> None:
    """quotio#529: 180,000 tokens of tools."""
    tools = [tool(f"mcp__server__{n}", description="x" * 2400) for n in range(300)]
    request = messages.request(tools=tools)
    assert request.input_tokens(context_tokens=10**9, media_tokens=None) > 700_000


def test_missing_limit_is_not_replaced_by_a_constant() -> None:
    """envoy#893, veryfront#1043, tanstack#853, lq-ai#317: responses ended at 1,024 or 4,096."""
    body, _ = from_chat_of()
    assert "max_tokens" not in body
    request = parse_request(Api.MESSAGES, json.dumps(body).encode())
    assert request.cap_tokens is None
    assert request.requires_cap
