"""Official clients use tools, types, reasoning and streams of providers, and see their errors.

One provider behaves as OpenAI does, one has the deviations of many, and two speak Anthropic's API
and OpenAI's Responses. Clients see no difference. What they pay is what they see: their costs are
those of the ledger.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.pricing.prices import dollars
from tests.deadlines import DEADLINE_S
from tests.e2e.calls import PROVIDER, Session
from tests.e2e.clients.agent_providers import AgentProvider
from tests.e2e.clients.provider import ODD, SOUND, ScriptedModel
from tests.server import RunningServer, open_customer_now, running_server
from tests.upstream import UpstreamReply, running_upstream

ROOT = Path(__file__).parents[2]
NODE = Path(__file__).parent / "clients" / "node"
SDKS = Path(sys.prefix) / "sdks"
MODELS = ("sound/large", "odd/large", "claude/large", "items/large")
FRAMEWORKS = "frameworks"
"""The folder that several clients share; the others are named after a client and its version."""
INPUT, OUTPUT = Decimal("0.0001"), Decimal("0.01")
"""Dollars per token."""

ONE_CALL = {
    "calls": [["weather", {"city": "Bern"}]],
    "finish": ["tool_calls", "stop"],
    "text": "sunny in Bern",
}
TWO_CALLS = {
    "calls": [["weather", {"city": "Bern"}], ["weather", {"city": "Oslo"}]],
    "finish": ["tool_calls", "stop"],
    "text": "sunny in Bern; sunny in Oslo",
}
EXPECTED = {
    "text": "Hello, wörld.",
    "text_stream": "Hello, wörld.",
    "tool": ONE_CALL,
    "tool_stream": ONE_CALL,
    "tools": TWO_CALLS,
    "tools_stream": TWO_CALLS,
    "typed": {"name": "Bern", "people": 137000},
    "typed_stream": {"name": "Bern", "people": 137000},
    "think": ["Let me think.", "42"],
    "think_stream": ["Let me think.", "42"],
    "unknown_model": 400,
    "unknown_key": 401,
    "no_credits": 402,
    "limited": [429, "7"],
    "limited_stream": [429, "7"],
    "broken": "Hello, wor",
    "left": "Hello, ",
}


class Client(NamedTuple):
    """A script, the folder of its packages, what the client cannot show, and what it sees instead.

    Responses has another status for want of credits.
    """

    command: tuple[str, ...]
    folder: str | None = None
    hidden: frozenset[str] = frozenset()
    instead: Mapping[str, Any] = MappingProxyType({})


RESPONSES = MappingProxyType({"no_credits": 429})


def python(
    script: str,
    folder: str | None = None,
    hidden: Iterable[str] = (),
    instead: Mapping[str, Any] = MappingProxyType({}),
) -> Client:
    module, *arguments = script.split()
    command = (sys.executable, "-m", f"tests.e2e.clients.{module}", *arguments)
    return Client(command, folder, frozenset(hidden), instead)


def node(script: str, *arguments: str) -> Client:
    return Client(("node", str(NODE / script), *arguments))


CLIENTS = {
    "openai": python("openai_scenarios"),
    "openai-1.109.1": python("openai_scenarios", "openai-1.109.1"),
    "openrouter": python("openrouter_scenarios"),
    "openrouter-0.11.46": python("openrouter_scenarios", "openrouter-0.11.46"),
    "langchain-openrouter": python(
        "langchain_scenarios langchain-openrouter", "langchain-openrouter-0.2.9"
    ),
    "langchain-openai": python(
        "langchain_scenarios langchain-openai", FRAMEWORKS, hidden=("think", "think_stream")
    ),
    "pydantic-ai": python("pydantic_ai_scenarios OpenAIChatModel", FRAMEWORKS),
    "pydantic-ai, OpenRouter": python("pydantic_ai_scenarios OpenRouterModel", FRAMEWORKS),
    "openai-agents, chat": python("agents_scenarios chat", FRAMEWORKS, hidden=("finish",)),
    "openai-agents, Responses": python(
        "agents_scenarios responses", FRAMEWORKS, hidden=("finish",), instead=RESPONSES
    ),
    "npm openai": node("openai_scenarios.mjs"),
    "npm openai, Responses": node("openai_responses_scenarios.mjs")._replace(
        hidden=frozenset({"finish"}), instead=RESPONSES
    ),
    "npm @anthropic-ai/sdk": node("anthropic_scenarios.mjs"),
    "npm @anthropic-ai/sdk, beta": node("anthropic_scenarios.mjs", "beta"),
    "npm @openai/agents": node("agents_scenarios.mjs")._replace(
        hidden=frozenset({"finish"}), instead=RESPONSES
    ),
    "npm @openrouter/sdk": node("openrouter_scenarios.mjs"),
    "npm @openrouter/sdk, callModel": node("call_model_scenarios.mjs")._replace(
        hidden=frozenset({"finish"}), instead=RESPONSES
    ),
    "npm @openrouter/ai-sdk-provider": node("ai_scenarios.mjs", "@openrouter/ai-sdk-provider"),
    "npm @ai-sdk/openai-compatible": node("ai_scenarios.mjs", "@ai-sdk/openai-compatible"),
    "npm @ai-sdk/openai": node("ai_scenarios.mjs", "@ai-sdk/openai")._replace(instead=RESPONSES),
    # It asks other models than Anthropic's for types by a tool, which the script does not know.
    "npm @ai-sdk/anthropic": node("ai_scenarios.mjs", "@ai-sdk/anthropic")._replace(
        hidden=frozenset({"typed", "typed_stream"})
    ),
}


PROVIDERS: dict[str, tuple[str, Callable[[Any], UpstreamReply]]] = {
    "sound": ("openai-chat", ScriptedModel(SOUND)),
    "odd": ("openai-chat", ScriptedModel(ODD)),
    "claude": ("anthropic", AgentProvider("anthropic")),
    "items": ("openai-responses", AgentProvider("openai-responses")),
}
"""The dialect of each provider, and what it says."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("scenarios")
    tables: list[str] = []
    with ExitStack() as upstreams:
        for name, (dialect, say) in PROVIDERS.items():
            upstream = upstreams.enter_context(running_upstream())
            upstream.say = say
            more = f'dialect = "{dialect}"'
            rates = {"input": INPUT, "output": OUTPUT}
            tables.append(PROVIDER.format(name=name, url=upstream.url, more=more, **rates))
        path = folder / "modelgates.toml"
        path.write_text("".join(tables))
        with running_server(folder, MODELGATES_CONFIG=str(path)) as running:
            yield running


@pytest.mark.parametrize("name", CLIENTS)
def test_client_sees_the_same_of_all_providers_and_pays_what_it_sees(
    name: str, server: RunningServer
) -> None:
    client = CLIENTS[name]
    if is_missing(client):
        pytest.skip("Node 20 or newer is not installed; CI requires it")
    customer = open_customer_now(server.database_path)
    poor = open_customer_now(server.database_path, credits_pico=0)
    output = run(client, server.api, customer.inference, poor.inference, *MODELS)
    if client.folder not in (None, FRAMEWORKS):
        assert client.folder.endswith(f"-{output['version']}")
    for model in MODELS:
        assert differences(client, output[model]["seen"]) == {}, model
    with Session(server, customer) as session:
        pass  # its end waits for calls whose client has left, and verifies the ledger
    with Session(server, customer) as session:
        generations = session.check_ledger()
    for model in MODELS:
        check_costs([g for g in generations if g.model == model], output[model]["charged"])


def is_missing(client: Client) -> bool:
    """Whether the client needs Node and may be left out."""
    installed = (NODE / "node_modules").is_dir() or "CI" in os.environ
    return client.command[0] == "node" and not installed


def differences(client: Client, seen: dict[str, Any]) -> dict[str, Any]:
    """Each scenario that differs, with what the client saw and what is expected."""
    pairs = {
        name: (seen[name], visible(client, expected))
        for name, expected in visible(client, {**EXPECTED, **client.instead}).items()
    }
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def visible(client: Client, value: Any) -> Any:
    """The part of a value that the client can show."""
    if not isinstance(value, dict):
        return value
    return {name: more for name, more in value.items() if name not in client.hidden}


def run(client: Client, *arguments: str) -> Any:
    """The output of a client. Its errors are in the report of a failed test."""
    folder = SDKS / (client.folder or "")
    assert folder.is_dir(), "`make setup-dev` installs it"
    done = subprocess.run(
        [*client.command, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(folder) if client.folder else ""},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    print(done.stderr)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def check_costs(generations: list[Generation], charged: list[Any]) -> None:
    """Checks that the client saw the cost of each call that it read to its end.

    The others are one stream that failed and one that the client left, and cost something too;
    and calls that failed at once, which are free.
    """
    read = [g for g in generations if not g.cancelled and g.error is None]
    assert sorted(dollars(g.cost_pico) for g in read) == sorted(map(cost_of, charged))
    [left] = [g for g in generations if g.cancelled]
    assert left.state is HoldState.CAPTURED
    assert left.usage is not None
    assert not left.usage.estimated
    failed = [g for g in generations if g.error is not None]
    costs = [g.cost_pico for g in failed if g.state is HoldState.CAPTURED]
    assert len(costs) == 1
    assert costs[0] > 0


def cost_of(charged: str | list[int]) -> Decimal:
    if isinstance(charged, str):
        return Decimal(charged)
    read, written = charged
    return read * INPUT + written * OUTPUT
