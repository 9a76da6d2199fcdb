r"""A model of a provider, from public knowledge of how OpenAI-compatible servers work.

The model is independent of how holds are sized, so that it can test them: it knows only the request
body and its own configuration. Where servers differ, the model behaves like the one that uses more:

- The tokenizer turns every byte into a token, and the template adds tokens to every message. A
  hidden system prompt (gpt-oss, Qwen, Grok) and the instructions for tools are read as well.
- One name of the output limit is read. OpenAI's reasoning models reject the other name, Mistral
  even if it is null. text-generation-webui ignores the limit for `auto_max_new_tokens`.
- Without a limit, the output ends at the provider's maximum or at the end of the context.
- OpenAI and vLLM reject a prompt and a limit that exceed the context together. Ollama and TEI cut a
  long prompt. llama.cpp shifts the context and writes up to the limit, past the context's end.
- Tools are inserted as JSON. A space after a comma and an indentation form one token with their
  neighbors. Ollama (Go) and TGI (minijinja) write `<`, `>`, `&` as `\u003c`, and Jinja's own filter
  escapes everything that is not ASCII.
- vLLM also reads `best_of` in chats; every candidate counts, even if it is not returned.
"""

import json
from random import Random
from typing import Any

import msgspec

from modelgates_server.core.pricing.catalog import Api

_SPECIAL_TOKENS = 2
"""The start and the end of a text; a suffix adds one more."""


class Refusal(Exception):
    """The provider rejects the request; `over_cap` if a smaller limit would help."""

    def __init__(self, message: str, *, over_cap: bool = False) -> None:
        super().__init__(message)
        self.over_cap = over_cap


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """The true usage of a call, in classes that do not overlap.

    `written` has the tokens of each sequence; `choices` sequences are returned per prompt.
    """

    text: int
    images: int
    audio: int
    written: tuple[int, ...]
    choices: int


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """One provider and its configuration; token counts are the most that one call adds."""

    cap_parameter: str
    context_tokens: int
    output_tokens: int
    media_tokens: int | None
    hidden_tokens: int = 0
    template_tokens: int = 0
    tools_tokens: int = 0
    escapes_tools: bool = False
    cuts_prompts: bool = False
    checks_sum: bool = False
    shifts_context: bool = False
    refuses_other_cap: bool = False
    usage_on_request: bool = False

    def spend(self, api: Api, body: dict[str, Any], rng: Random) -> Spent:
        """Read a request and write a response; raises `Refusal`."""
        cap = self._cap(api, body)
        reads = self.reads(api, body)
        if not self.cuts_prompts and any(sum(read) > self.context_tokens for read in reads):
            raise Refusal("the prompt is longer than the context")
        cut = [self._cut(*read) for read in reads]
        text, images, audio = (sum(each) for each in zip(*cut, strict=True))
        written: list[int] = []
        if api is not Api.EMBEDDINGS:
            sequences = max(body.get("n") or 1, body.get("best_of") or 1)
            is_lavish = rng.random() < 0.6
            for read in cut:
                room = self.context_tokens - sum(read)
                most = self._most(cap, sum(read))
                most = max(most, min(most + body.get("thinking_budget", 0), room))
                written += [most if is_lavish else rng.randint(0, most) for _ in range(sequences)]
        choices = body.get("n") or 1
        return Spent(text=text, images=images, audio=audio, written=tuple(written), choices=choices)

    def _cap(self, api: Api, body: dict[str, Any]) -> int | None:
        """The limit that applies. The older `completions` API has only one name for it."""
        if api is Api.EMBEDDINGS:
            return None
        name = "max_tokens" if api is Api.COMPLETIONS else self.cap_parameter
        other = "max_completion_tokens" if name == "max_tokens" else "max_tokens"
        if self.refuses_other_cap and other in body:
            raise AssertionError(f"{other} is not supported with this model; use {name}")
        if body.get("auto_max_new_tokens"):
            return None
        cap: int | None = body.get(name)
        return cap

    def _most(self, cap: int | None, read: int) -> int:
        """The most output tokens of one sequence."""
        room = self.context_tokens - read
        if cap is None:
            return min(self.output_tokens, room)
        if self.checks_sum and cap > room:
            raise Refusal("prompt and limit exceed the context", over_cap=True)
        return min(cap, self.output_tokens, cap if self.shifts_context else room)

    def _cut(self, text: int, images: int, audio: int) -> tuple[int, int, int]:
        """The part of a prompt that fits into the context: media first, then text."""
        images = min(images, self.context_tokens)
        audio = min(audio, self.context_tokens - images)
        return min(text, self.context_tokens - images - audio), images, audio

    def reads(self, api: Api, body: dict[str, Any]) -> list[tuple[int, int, int]]:
        """Tokens of text, images and audio of each prompt."""
        if api is Api.CHAT:
            return [self._read_chat(body)]
        given = body["input" if api is Api.EMBEDDINGS else "prompt"]
        is_one = isinstance(given, str) or isinstance(given[0], int)
        extra = _SPECIAL_TOKENS
        if suffix := body.get("suffix"):
            extra += 1 + _size(suffix)
        prompts = [given] if is_one else given
        # A token id is one token.
        return [
            (extra + (_size(each) if isinstance(each, str) else len(each)), 0, 0)
            for each in prompts
        ]

    def _read_chat(self, body: dict[str, Any]) -> tuple[int, int, int]:
        reads = [(self.hidden_tokens, 0, 0)]
        for message in body["messages"]:
            reads.append((self.template_tokens, 0, 0))
            reads += [self._read_member(name, value) for name, value in message.items()]
            if isinstance(message["content"], list):
                reads += map(self._read_part, message["content"])
        for name in ("tools", "functions"):
            if body.get(name):
                reads.append((self.tools_tokens + self._rendered(body[name]), 0, 0))
        # The model reads schemas, and documents before the question.
        for name in ("response_format", "tool_choice", "documents"):
            reads.append((_size(body.get(name)), 0, 0))
        text, images, audio = (sum(each) for each in zip(*reads, strict=True))
        return text, images, audio

    def _read_member(self, name: str, value: Any) -> tuple[int, int, int]:
        """Tokens of one field of a message, without the parts of its content."""
        match name:
            case "content" if isinstance(value, list):
                return 0, 0, 0
            case "audio" if value:
                return 0, 0, self._media()
            case "tool_calls" | "function_call":
                return self._rendered(value), 0, 0
            case _:
                return _size(value), 0, 0

    def _read_part(self, part: dict[str, Any]) -> tuple[int, int, int]:
        match part["type"]:
            case "text" | "refusal":
                return _size(part[part["type"]]), 0, 0
            case "image_url":
                return 0, self._media(), 0
            case "input_audio":
                return 0, 0, self._media()
            case "video_url":  # frames and an audio track of the largest length
                return 0, self.context_tokens // 2, self.context_tokens - self.context_tokens // 2
            case _:  # a document: its text and an image of every page
                return self.context_tokens // 2, self.context_tokens, 0

    def _rendered(self, tools: Any) -> int:
        """The size of tools and calls in the template; HTML-safe JSON takes six bytes per sign."""
        text = json.dumps(tools, ensure_ascii=self.escapes_tools, separators=(",", ":"))
        if self.escapes_tools:
            for sign in "<>&'":
                text = text.replace(sign, f"\\u{ord(sign):04x}")
        return len(text.encode())

    def _media(self) -> int:
        return self.context_tokens if self.media_tokens is None else self.media_tokens


def _size(value: Any) -> int:
    """Tokens of a text, or of a value inserted as JSON, with a tokenizer without merges."""
    if value is None:
        return 0
    if not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return len(value.encode())
