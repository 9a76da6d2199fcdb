"""Plays the scenarios with OpenAI's client, an old or a new version."""

import json
from typing import Any

import openai

from tests.e2e.clients.scenarios import TOOLS, City, Setup, play, raised, weather


class OpenAIPlayer:
    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._client = openai.OpenAI(api_key=setup.key, base_url=setup.base_url, max_retries=0)
        self._completions: Any = self._client.chat.completions

    def say(self, prompt: str, *, stream: bool) -> Any:
        if not stream:
            return self._complete(self._ask(prompt)).message.content
        *chunks, last = self._completions.create(**self._ask(prompt, stream=True))
        usages = [chunk.usage for chunk in (*chunks, last) if chunk.usage]
        self._charge(usages[-1])
        return "".join(c.delta.content or "" for chunk in chunks for c in chunk.choices)

    def use_tools(self, prompt: str, *, stream: bool) -> Any:
        request = self._ask(prompt, tools=TOOLS)
        choice = self._complete(request, stream=stream)
        calls = [
            (c.id, c.function.name, json.loads(c.function.arguments))
            for c in choice.message.tool_calls
        ]
        request["messages"] += [
            choice.message,
            *(
                {"role": "tool", "tool_call_id": call_id, "content": weather(**arguments)}
                for call_id, _, arguments in calls
            ),
        ]
        last = self._complete(request, stream=stream)
        return {
            "calls": [[name, arguments] for _, name, arguments in calls],
            "finish": [choice.finish_reason, last.finish_reason],
            "text": last.message.content,
        }

    def typed(self, prompt: str, *, stream: bool) -> Any:
        request = self._ask(prompt, response_format=City)
        if stream:
            return self._complete(request, stream=True).message.parsed.model_dump()
        response = self._completions.parse(**request)
        self._charge(response.usage)
        return response.choices[0].message.parsed.model_dump()

    def think(self, prompt: str, *, stream: bool) -> Any:
        message = self._complete(self._ask(prompt), stream=stream).message
        details = message.reasoning_details
        assert [(d["type"], d["text"]) for d in details] == [("reasoning.text", message.reasoning)]
        return [message.reasoning, message.content]

    def status(self, model: str, key: str) -> Any:
        request = self._ask("hello") | {"model": model}
        client: Any = self._client.with_options(api_key=key)
        call = client.chat.completions.create
        return raised(openai.APIStatusError, lambda: call(**request)).status_code

    def limited(self, prompt: str, *, stream: bool) -> Any:
        request = self._ask(prompt, stream=stream)
        error = raised(openai.RateLimitError, lambda: self._completions.create(**request))
        return [error.status_code, error.response.headers["retry-after"]]

    def broken(self, prompt: str) -> Any:
        pieces: list[str] = []

        def read() -> None:
            for chunk in self._completions.create(**self._ask(prompt, stream=True)):
                pieces.extend(choice.delta.content or "" for choice in chunk.choices)

        raised(openai.APIError, read)
        return "".join(pieces)

    def leave(self, prompt: str, farewell: str) -> Any:
        with self._completions.create(**self._ask(prompt, stream=True)) as chunks:
            contents = (chunk.choices[0].delta.content for chunk in chunks)
            text = next(filter(None, contents))  # the first one may have only a role
        self._complete(self._ask(farewell))
        return text

    def _ask(self, prompt: str, **more: Any) -> Any:
        messages = [{"role": "user", "content": prompt}]
        return {"model": self._setup.model, "messages": messages, **more}

    def _complete(self, request: Any, *, stream: bool = False) -> Any:
        """The choice of a call; notes its cost."""
        if stream:
            with self._completions.stream(**request) as events:
                response = events.get_final_completion()
        else:
            response = self._completions.create(**request)
        self._charge(response.usage)
        return response.choices[0]

    def _charge(self, usage: Any) -> None:
        self._setup.charged.append(repr(usage.model_extra["cost"]))


if __name__ == "__main__":
    play(openai.__version__, OpenAIPlayer)
