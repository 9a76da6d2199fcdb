"""Plays the scenarios with LangChain's packages for OpenAI and OpenRouter.

The first argument names the package.
"""

import sys
from importlib.metadata import version
from typing import Any

from langchain_core.messages import HumanMessage, ToolMessage

from tests.e2e.clients.scenarios import City, Setup, play, raised, weather

PACKAGE = sys.argv.pop(1)


class LangChainPlayer:
    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._model = self._connect(setup.model, setup.key)

    def say(self, prompt: str, *, stream: bool) -> Any:
        return self._complete(self._model, prompt, stream=stream).text

    def use_tools(self, prompt: str, *, stream: bool) -> Any:
        model = self._model.bind_tools([weather])
        messages: list[Any] = [HumanMessage(prompt)]
        message = self._complete(model, messages, stream=stream)
        results = [
            ToolMessage(weather(**call["args"]), tool_call_id=call["id"])
            for call in message.tool_calls
        ]
        last = self._complete(model, [*messages, message, *results], stream=stream)
        return {
            "calls": [[call["name"], call["args"]] for call in message.tool_calls],
            "finish": [m.response_metadata["finish_reason"] for m in (message, last)],
            "text": last.text,
        }

    def typed(self, prompt: str, *, stream: bool) -> Any:
        model = self._model.with_structured_output(City, method="json_schema", include_raw=True)
        response: dict[str, Any] = {}
        for piece in model.stream(prompt) if stream else [model.invoke(prompt)]:
            for name, value in piece.items():
                is_chunk = name == "raw" and name in response
                response[name] = response[name] + value if is_chunk else value
        self._charge(response["raw"])
        return response["parsed"].model_dump()

    def think(self, prompt: str, *, stream: bool) -> Any:
        message = self._complete(self._model, prompt, stream=stream)
        thought = message.additional_kwargs["reasoning_content"]
        details = message.additional_kwargs["reasoning_details"]
        assert "".join(detail["text"] for detail in details) == thought
        return [thought, message.text]

    def status(self, model: str, key: str) -> Any:
        return raised(Exception, lambda: self._connect(model, key).invoke("hello")).status_code

    def limited(self, prompt: str, *, stream: bool) -> Any:
        call = self._model.stream if stream else self._model.invoke
        error = raised(Exception, lambda: list(call(prompt)))
        headers = error.response.headers if hasattr(error, "response") else error.headers
        return [error.status_code, headers["retry-after"]]

    def broken(self, prompt: str) -> Any:
        chunks: list[Any] = []

        def read() -> None:
            chunks.extend(self._model.stream(prompt))
            # The package for OpenRouter raises only errors that come without a choice.
            assert chunks[-1].response_metadata["finish_reason"] != "error"

        raised(Exception, read)
        return "".join(chunk.text for chunk in chunks)

    def leave(self, prompt: str, farewell: str) -> Any:
        chunks = self._model.stream(prompt)
        text = next(chunk.text for chunk in chunks if chunk.text)
        chunks.close()
        self._complete(self._model, farewell)
        return text

    def _connect(self, model: str, key: str) -> Any:
        options: Any = {"model": model, "api_key": key, "base_url": self._setup.base_url}
        if PACKAGE == "langchain-openai":
            from langchain_openai import ChatOpenAI  # noqa: PLC0415 - the packages conflict

            return ChatOpenAI(max_retries=0, stream_usage=True, **options)
        from langchain_openrouter import ChatOpenRouter  # noqa: PLC0415

        chat = ChatOpenRouter(max_retries=0, **options)
        # With `max_retries=0`, the client below would still retry for an hour.
        chat.client.sdk_configuration.retry_config = None
        return chat

    def _complete(self, model: Any, messages: Any, *, stream: bool = False) -> Any:
        """The message of a call; notes its cost."""
        if stream:
            chunks = list(model.stream(messages))
            message = sum(chunks[1:], chunks[0])
        else:
            message = model.invoke(messages)
        self._charge(message)
        return message

    def _charge(self, message: Any) -> None:
        """Notes the cost. The package for OpenAI shows only the tokens of most streams."""
        shown = message.response_metadata.get("token_usage") or message.response_metadata
        if "cost" in shown:
            self._setup.charged.append(repr(shown["cost"]))
        else:
            usage = message.usage_metadata
            self._setup.charged.append([usage["input_tokens"], usage["output_tokens"]])


if __name__ == "__main__":
    play(version(PACKAGE), LangChainPlayer)
