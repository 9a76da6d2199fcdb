"""Plays the scenarios with OpenAI's Agents SDK and one of its models: `chat` or `responses`."""

import json
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Any

import openai
from agents import Agent, ModelSettings, Runner, function_tool, set_tracing_disabled
from agents.exceptions import ModelBehaviorError
from agents.items import ReasoningItem, ToolCallItem
from agents.models.openai_chatcompletions import OpenAIChatCompletionsModel
from agents.models.openai_responses import OpenAIResponsesModel

from tests.e2e.clients.scenarios import City, Setup, play, raised_later, weather

MODELS: dict[str, Any] = {
    "chat": OpenAIChatCompletionsModel,
    "responses": OpenAIResponsesModel,
}


BROKEN = (openai.APIError, ModelBehaviorError)
"""The errors for a stream that fails: of the client, and of the SDK's model for Responses."""


class AgentsPlayer:
    def __init__(self, kind: Any, setup: Setup) -> None:
        self._kind = kind
        self._setup = setup
        self._model = self._connect(setup.model, setup.key)

    async def say(self, prompt: str, *, stream: bool) -> Any:
        return (await self._run(self._agent(), prompt, stream=stream)).final_output

    async def use_tools(self, prompt: str, *, stream: bool) -> Any:
        agent = self._agent(tools=[function_tool(weather)])
        result = await self._run(agent, prompt, stream=stream)
        calls = [item.raw_item for item in result.new_items if isinstance(item, ToolCallItem)]
        return {
            "calls": [[call.name, json.loads(call.arguments)] for call in calls],
            "text": result.final_output,
        }

    async def typed(self, prompt: str, *, stream: bool) -> Any:
        result = await self._run(self._agent(output_type=City), prompt, stream=stream)
        return result.final_output.model_dump()

    async def think(self, prompt: str, *, stream: bool) -> Any:
        result = await self._run(self._agent(), prompt, stream=stream)
        [thought] = [item.raw_item for item in result.new_items if isinstance(item, ReasoningItem)]
        texts = thought.content or thought.summary
        return ["".join(part.text for part in texts), result.final_output]

    async def status(self, model: str, key: str) -> Any:
        agent = self._agent(model=self._connect(model, key))
        return (await raised_later(openai.APIStatusError, Runner.run(agent, "hello"))).status_code

    async def limited(self, prompt: str, *, stream: bool) -> Any:
        run = self._run(self._agent(), prompt, stream=stream)
        error = await raised_later(openai.RateLimitError, run)
        return [error.status_code, error.response.headers["retry-after"]]

    async def broken(self, prompt: str) -> Any:
        result = Runner.run_streamed(self._agent(), prompt)
        pieces: list[str] = []
        await raised_later(BROKEN, read(result, pieces.append))
        return "".join(pieces)

    async def leave(self, prompt: str, farewell: str) -> Any:
        result = Runner.run_streamed(self._agent(), prompt)
        pieces: list[str] = []

        def stop(piece: str) -> None:
            pieces.append(piece)
            result.cancel()

        await read(result, stop)
        await self._run(self._agent(), farewell, stream=False)
        return "".join(pieces)

    def _connect(self, model: str, key: str) -> Any:
        client = openai.AsyncOpenAI(api_key=key, base_url=self._setup.base_url, max_retries=0)
        return self._kind(model=model, openai_client=client)

    def _agent(self, **options: Any) -> Any:
        settings = ModelSettings(include_usage=True, store=False)
        return Agent(name="Agent", model_settings=settings, **{"model": self._model, **options})

    async def _run(self, agent: Any, prompt: str, *, stream: bool) -> Any:
        """The result of a run; notes the tokens of its calls, because it shows no cost."""
        if stream:
            result: Any = Runner.run_streamed(agent, prompt)
            await read(result, lambda _: None)
        else:
            result = await Runner.run(agent, prompt)
        usages = [response.usage for response in result.raw_responses]
        self._setup.charged.extend([usage.input_tokens, usage.output_tokens] for usage in usages)
        return result


async def read(result: Any, take: Callable[[str], None]) -> None:
    """Passes on the text of a streamed run as it arrives."""
    async for event in result.stream_events():
        if getattr(getattr(event, "data", None), "type", "") == "response.output_text.delta":
            take(event.data.delta)


if __name__ == "__main__":
    set_tracing_disabled(disabled=True)
    play(version("openai-agents"), partial(AgentsPlayer, MODELS[sys.argv.pop(1)]))
