"""Plays the scenarios with Pydantic AI and its models for OpenAI's chat completions or OpenRouter.

The first argument names the model's class.
"""

import json
import sys
from importlib.metadata import version
from typing import Any

from openai import AsyncOpenAI
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError
from pydantic_ai.messages import ModelResponse, ThinkingPart, ToolCallPart
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.openrouter import OpenRouterModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.providers.openrouter import OpenRouterProvider

from tests.e2e.clients.scenarios import City, Setup, play, raised_later, weather

KINDS: dict[str, Any] = {
    "OpenAIChatModel": (OpenAIChatModel, OpenAIProvider),
    "OpenRouterModel": (OpenRouterModel, OpenRouterProvider),
}
KIND = sys.argv.pop(1)


class PydanticAIPlayer:
    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        model = self._connect(setup.model, setup.key)
        self._agent: Any = Agent(model, tools=[weather])
        self._typed: Any = Agent(model, output_type=NativeOutput(City))

    async def say(self, prompt: str, *, stream: bool) -> Any:
        output, _ = await self._run(self._agent, prompt, stream=stream)
        return output

    async def use_tools(self, prompt: str, *, stream: bool) -> Any:
        output, responses = await self._run(self._agent, prompt, stream=stream)
        calls = [part for part in responses[0].parts if isinstance(part, ToolCallPart)]
        return {
            "calls": [[call.tool_name, call.args_as_dict()] for call in calls],
            "finish": [str(r.finish_reason).replace("tool_call", "tool_calls") for r in responses],
            "text": output,
        }

    async def typed(self, prompt: str, *, stream: bool) -> Any:
        output, _ = await self._run(self._typed, prompt, stream=stream)
        return output.model_dump()

    async def think(self, prompt: str, *, stream: bool) -> Any:
        output, [response] = await self._run(self._agent, prompt, stream=stream)
        thoughts = [part.content for part in response.parts if isinstance(part, ThinkingPart)]
        return ["".join(thoughts), output]

    async def status(self, model: str, key: str) -> Any:
        run = Agent(self._connect(model, key)).run("hello")
        return (await raised_later(ModelHTTPError, run)).status_code

    async def limited(self, prompt: str, *, stream: bool) -> Any:
        run = self._run(self._agent, prompt, stream=stream)
        error = await raised_later(ModelHTTPError, run)
        return [error.status_code, json.dumps(error.retry_after).removesuffix(".0")]

    async def broken(self, prompt: str) -> Any:
        pieces: list[str] = []

        async def read() -> None:
            async with self._agent.run_stream(prompt) as result:
                async for piece in result.stream_text(delta=True, debounce_by=None):
                    pieces.append(piece)  # noqa: PERF401 - the error comes after some of them

        await raised_later(ModelAPIError, read())
        return "".join(pieces)

    async def leave(self, prompt: str, farewell: str) -> Any:
        async with self._agent.run_stream(prompt) as result:
            pieces = result.stream_text(delta=True, debounce_by=None)
            text = await anext(pieces)
            await pieces.aclose()
            await result.cancel()
        await self._run(self._agent, farewell, stream=False)
        return text

    def _connect(self, model: str, key: str) -> Any:
        client = AsyncOpenAI(api_key=key, base_url=self._setup.base_url, max_retries=0)
        kind, provider = KINDS[KIND]
        profile = {"supports_json_schema_output": True}
        return kind(model, provider=provider(openai_client=client), profile=profile)

    async def _run(
        self, agent: Any, prompt: str, *, stream: bool
    ) -> tuple[Any, list[ModelResponse]]:
        """The output and the responses of a run; notes their costs."""
        if stream:
            async with agent.run_stream(prompt) as result:
                output = await result.get_output()
        else:
            result = await agent.run(prompt)
            output = result.output
        responses = [m for m in result.all_messages() if isinstance(m, ModelResponse)]
        self._setup.charged.extend(map(charge_of, responses))
        return output, responses


def charge_of(response: ModelResponse) -> Any:
    """The cost, which only the model for OpenRouter shows, otherwise the tokens."""
    if KIND == "OpenRouterModel":
        return repr((response.provider_details or {})["cost"])
    return [response.usage.input_tokens, response.usage.output_tokens]


if __name__ == "__main__":
    play(version("pydantic-ai-slim"), PydanticAIPlayer)
