"""Responses in OpenAI's shapes, whole or as the payloads of a stream.

Source: OpenAI's API reference, "The chat completion object", "The chat completion chunk object",
"The completion object".
"""

from collections.abc import Iterator
from itertools import chain, zip_longest
from typing import Any

import msgspec

from modelgates_server.core.pricing.catalog import Api

DONE = b"[DONE]"
_FINGERPRINT = "fp_sandbox"
_HERE = b"\0"  # no JSON text has this byte

_encode = msgspec.json.Encoder().encode


class ChoiceContent(msgspec.Struct, frozen=True):
    """The tokens of one choice: its text, or the arguments of a call if `function` is given."""

    tokens: list[str]
    finish_reason: str | None
    function: str | None = None


class SandboxAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A response to a chat or to prompts; `number` makes its id unique within a millisecond."""

    api: Api
    model: str
    at_ms: int
    number: int
    prompt_tokens: int
    choices: list[ChoiceContent]

    @property
    def usage(self) -> dict[str, Any]:
        """The true usage."""
        completion_tokens = sum(len(choice.tokens) for choice in self.choices)
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": self.prompt_tokens + completion_tokens,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        }

    def plain(self, usage: dict[str, Any] | None) -> bytes:
        """The whole response; without usage if that is None."""
        choices = [
            {
                "index": index,
                **self._whole(choice, index),
                "logprobs": None,
                "finish_reason": choice.finish_reason,
            }
            for index, choice in enumerate(self.choices)
        ]
        answer = {**self._head("chat.completion"), "choices": choices}
        return _encode(answer if usage is None else {**answer, "usage": usage})

    def opening(self, *, with_usage: bool) -> Iterator[bytes]:
        """The chunks before the first token, one per choice; `with_usage` as in `content`."""
        if self.api is Api.COMPLETIONS:
            return
        for index, choice in enumerate(self.choices):
            delta: dict[str, Any] = {"role": "assistant", "content": "", "refusal": None}
            if choice.function is not None:
                delta = {**delta, "content": None, "tool_calls": [self._call(choice, index, "")]}
            yield self._chunk(index, {"delta": delta}, None, with_usage)

    def content(self, *, with_usage: bool) -> Iterator[bytes]:
        """One chunk per token, the choices taking turns.

        `with_usage`: each has `"usage":null`, as all chunks before the usage chunk of a stream do.
        """
        columns = [
            self._tokens(index, choice, with_usage) for index, choice in enumerate(self.choices)
        ]
        for row in zip_longest(*columns):
            for payload in row:
                if payload is not None:
                    yield payload

    def ending(self, *, with_usage: bool) -> Iterator[bytes]:
        """The chunks with the finish reasons, one per choice."""
        for index, choice in enumerate(self.choices):
            nothing: dict[str, Any] = {"delta": {}} if self.api is Api.CHAT else {"text": ""}
            yield self._chunk(index, nothing, choice.finish_reason, with_usage)

    def usage_chunk(self, usage: Any) -> bytes:
        """The chunk that contains only the usage."""
        return _encode({**self._head("chat.completion.chunk"), "choices": [], "usage": usage})

    def _tokens(self, index: int, choice: ChoiceContent, with_usage: bool) -> Iterator[bytes]:
        """The JSON around the text is the same in each chunk, so it is encoded once."""
        here = msgspec.Raw(_HERE)
        part: dict[str, Any] = {"delta": {"content": here}}
        if self.api is Api.COMPLETIONS:
            part = {"text": here}
        elif choice.function is not None:
            call = {"index": 0, "function": {"arguments": here}}
            part = {"delta": {"tool_calls": [call]}}
        before, _, after = self._chunk(index, part, None, with_usage).partition(_HERE)
        for token in choice.tokens:
            yield before + _encode(token) + after

    def _chunk(
        self, index: int, part: dict[str, Any], finish_reason: str | None, with_usage: bool
    ) -> bytes:
        choice = {"index": index, **part, "logprobs": None, "finish_reason": finish_reason}
        chunk = {**self._head("chat.completion.chunk"), "choices": [choice]}
        return _encode({**chunk, "usage": None} if with_usage else chunk)

    def _whole(self, choice: ChoiceContent, index: int) -> dict[str, Any]:
        text = "".join(choice.tokens)
        if self.api is Api.COMPLETIONS:
            return {"text": text}
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
        if choice.function is not None:
            call = self._call(choice, index, text)
            del call["index"]
            message = {**message, "content": None, "tool_calls": [call]}
        return {"message": message}

    def _call(self, choice: ChoiceContent, index: int, arguments: str) -> dict[str, Any]:
        return {
            "index": 0,
            "id": f"call_{self._name}{index:03d}",
            "type": "function",
            "function": {"name": choice.function, "arguments": arguments},
        }

    def _head(self, chat_object: str) -> dict[str, Any]:
        chat = self.api is Api.CHAT
        return {
            "id": f"{'chatcmpl' if chat else 'cmpl'}-{self._name}",
            "object": chat_object if chat else "text_completion",
            "created": self.at_ms // 1000,
            "model": self.model,
            "system_fingerprint": _FINGERPRINT,
        }

    @property
    def _name(self) -> str:
        return f"{self.at_ms}{self.number:09d}"


def events(answer: SandboxAnswer, *, with_usage: bool) -> Iterator[bytes]:
    """The stream of a response, event by event."""
    payloads = chain(
        answer.opening(with_usage=with_usage),
        answer.content(with_usage=with_usage),
        answer.ending(with_usage=with_usage),
        (answer.usage_chunk(answer.usage),) if with_usage else (),
        (DONE,),
    )
    return (b"data: %b\n\n" % payload for payload in payloads)
