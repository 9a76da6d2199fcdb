"""The shapes of Codex's requests, as version 0.171.0 sends them, over every dialect of providers.

`golden/codex` has the bodies of one task for three kinds of models, with the texts cut off: the
first request, and the second with the result of a tool.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from modelgates_server.dialects.known import DIALECTS
from modelgates_server.dialects.openai_responses.dialect import OPENAI_RESPONSES
from modelgates_server.dialects.openai_responses.tools import tool_names
from modelgates_server.dialects.pairing import Pairing, pairing_of
from tests.core import calls

FOLDER = Path(__file__).parent / "golden" / "codex"
KINDS = sorted(path.stem for path in FOLDER.glob("*.json"))


def bodies(kind: str) -> list[dict[str, Any]]:
    read: list[dict[str, Any]] = json.loads((FOLDER / f"{kind}.json").read_text("utf-8"))
    return read


def paired(body: dict[str, Any], upstream: str) -> tuple[Pairing, dict[str, Any]]:
    """The pairing, and the body that the provider gets."""
    endpoint = calls.replace(calls.model().endpoint, dialects=(upstream,))
    model = calls.model(endpoint=endpoint, context_tokens=400_000, output_tokens=128_000)
    request = OPENAI_RESPONSES.parse_request(OPENAI_RESPONSES.api, json.dumps(body).encode())
    pairing = pairing_of(OPENAI_RESPONSES, request, model)
    sent = pairing.upstream.upstream_body(
        pairing.outgoing, endpoint, cap_tokens=1000, service_tier=None
    )
    return pairing, json.loads(sent)


def all_tools(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The tools of a request, also those that an item brings."""
    brought = [item for item in body["input"] if item.get("type") == "additional_tools"]
    return [tool for holder in (body, *brought) for tool in holder.get("tools") or ()]


def test_recorded_requests_have_the_three_layouts_of_tools() -> None:
    kinds = {kind: {tool["type"] for tool in all_tools(bodies(kind)[0])} for kind in KINDS}
    assert kinds["large"] >= {"function", "namespace", "web_search"}
    assert kinds["gpt-5.5"] >= {"function", "custom", "tool_search"}
    assert not bodies("gpt-5.6-sol")[0].get("tools")
    assert kinds["gpt-5.6-sol"]


@pytest.mark.parametrize("upstream", DIALECTS)
@pytest.mark.parametrize("kind", KINDS)
def test_request_of_codex_reaches_a_provider_of_every_dialect(kind: str, upstream: str) -> None:
    for body in bodies(kind):
        pairing, sent = paired(body, upstream)
        assert pairing.outgoing.stream
        assert set(pairing.outgoing.omitted) <= {
            *("tools.web_search", "client_metadata", "prompt_cache_key", "include"),
            *("reasoning.context", "parallel_tool_calls", "tools.tool_search", "text.verbosity"),
            *("reasoning.summary", "verbosity", "session_id", "reasoning"),
        }, pairing.outgoing.omitted
        names = tool_names(pairing.request.wire)
        told = sent.get("tools") or all_tools(sent)
        if upstream != "openai-responses":
            flat = [tool.get("function", tool)["name"] for tool in told]
            assert len(set(flat)) == len(flat)
            assert all(names.to_client(name)[2] for name in flat)


@pytest.mark.parametrize("upstream", DIALECTS)
def test_result_of_a_tool_reaches_the_provider_in_the_second_request(upstream: str) -> None:
    first, second = bodies("large")
    result = second["input"][-1]
    assert result["type"] == "function_call_output"
    _, sent = paired(second, upstream)
    assert json.dumps(result["output"]) in json.dumps(sent)
    assert result["call_id"] in json.dumps(sent)
    assert len(first["input"]) < len(second["input"])
