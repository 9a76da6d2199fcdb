"""Plays the scenarios with OpenRouter's client, an old or a new version."""

import json
from typing import Any

from openrouter import OpenRouter, errors
from openrouter._version import __version__

from tests.e2e.clients.scenarios import TOOLS, City, Setup, play, raised, weather

FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "City", "strict": True, "schema": City.model_json_schema()},
}


class OpenRouterPlayer:
    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._chat: Any = self._connect(setup.key)

    def say(self, prompt: str, *, stream: bool) -> Any:
        message, _ = self._complete(self._ask(prompt), stream=stream)
        return message["content"]

    def use_tools(self, prompt: str, *, stream: bool) -> Any:
        request = self._ask(prompt, tools=TOOLS)
        message, finish = self._complete(request, stream=stream)
        calls = [
            (c["id"], c["function"]["name"], json.loads(c["function"]["arguments"]))
            for c in message["tool_calls"]
        ]
        request["messages"] += [
            message,
            *(
                {"role": "tool", "tool_call_id": call_id, "content": weather(**arguments)}
                for call_id, _, arguments in calls
            ),
        ]
        last, end = self._complete(request, stream=stream)
        return {
            "calls": [[name, arguments] for _, name, arguments in calls],
            "finish": [finish, end],
            "text": last["content"],
        }

    def typed(self, prompt: str, *, stream: bool) -> Any:
        message, _ = self._complete(self._ask(prompt, response_format=FORMAT), stream=stream)
        return json.loads(message["content"])

    def think(self, prompt: str, *, stream: bool) -> Any:
        message, _ = self._complete(self._ask(prompt), stream=stream)
        details = message["reasoning_details"]
        assert {detail["type"] for detail in details} == {"reasoning.text"}
        assert "".join(detail["text"] for detail in details) == message["reasoning"]
        return [message["reasoning"], message["content"]]

    def status(self, model: str, key: str) -> Any:
        request = self._ask("hello") | {"model": model}
        return self._error(lambda: self._connect(key).send(**request)).status_code

    def limited(self, prompt: str, *, stream: bool) -> Any:
        error = self._error(lambda: self._chat.send(**self._ask(prompt, stream=stream)))
        assert isinstance(error, errors.TooManyRequestsResponseError)
        return [error.status_code, error.headers["retry-after"]]

    def broken(self, prompt: str) -> Any:
        with self._chat.send(**self._ask(prompt, stream=True)) as chunks:
            *read, last = chunks
        assert last.error.code >= 500
        assert not any(chunk.error for chunk in read)
        return "".join(choice.delta.content or "" for chunk in read for choice in chunk.choices)

    def leave(self, prompt: str, farewell: str) -> Any:
        with self._chat.send(**self._ask(prompt, stream=True)) as chunks:
            contents = (chunk.choices[0].delta.content for chunk in chunks)
            text = next(filter(None, contents))  # the first one may have only a role
        self._complete(self._ask(farewell))
        return text

    def _connect(self, key: str) -> Any:
        return OpenRouter(api_key=key, server_url=self._setup.base_url, retry_config=None).chat

    def _ask(self, prompt: str, **more: Any) -> Any:
        messages = [{"role": "user", "content": prompt}]
        return {"model": self._setup.model, "messages": messages, **more}

    def _complete(self, request: Any, *, stream: bool = False) -> tuple[Any, str]:
        """The message and finish reason of a call; notes its cost."""
        if not stream:
            response = self._chat.send(**request)
            self._setup.charged.append(repr(response.usage.cost))
            choice = json.loads(response.choices[0].model_dump_json())
            return choice["message"], choice["finish_reason"]
        with self._chat.send(**request, stream=True) as chunks:
            read = [json.loads(chunk.model_dump_json()) for chunk in chunks]
        usages = [chunk["usage"] for chunk in read if chunk.get("usage")]
        self._setup.charged.append(repr(usages[-1]["cost"]))
        return joined([choice for chunk in read for choice in chunk["choices"]])

    @staticmethod
    def _error(call: Any) -> Any:
        return raised(errors.OpenRouterError, call)


def joined(choices: list[Any]) -> tuple[Any, str]:
    """The message and finish reason of a stream, as an application puts them together."""
    message: Any = {"role": "assistant", "content": "", "reasoning": "", "reasoning_details": []}
    calls: dict[int, Any] = {}
    for delta in (choice["delta"] for choice in choices):
        message["content"] += delta.get("content") or ""
        message["reasoning"] += delta.get("reasoning") or ""
        message["reasoning_details"] += delta.get("reasoning_details") or []
        for piece in delta.get("tool_calls") or []:
            index = piece.pop("index")
            if piece.get("id"):
                calls[index] = piece
            else:
                calls[index]["function"]["arguments"] += piece["function"]["arguments"]
    if calls:
        message["tool_calls"] = list(calls.values())
    [finish] = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
    return message, finish


if __name__ == "__main__":
    play(__version__, OpenRouterPlayer)
