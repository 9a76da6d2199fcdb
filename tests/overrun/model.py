r"""A provider, from public knowledge of how OpenAI-compatible servers read, cap and write.

It is written apart from the way holds are sized, to test that: it knows the body it gets and its
own configuration, nothing else. Where servers differ, the one that uses more is modelled:

- The tokenizer makes a token of every byte; the template adds tokens to every message; a system
  prompt that nobody sent (gpt-oss, Qwen, Grok) and the instructions for tools are read as well.
- One name of the output limit is obeyed; OpenAI's reasoning models refuse the other one, Mistral
  even where it is null. text-generation-webui forgets the limit for `auto_max_new_tokens`.
- Without a limit it writes up to its own maximum or the end of the context, whichever is first.
- OpenAI and vLLM refuse a prompt and a limit that exceed the context together; Ollama and TEI cut a
  long prompt; llama.cpp shifts the context and writes up to the limit, past the context's end.
- Tools are put in as JSON. A space after a comma and an indentation are one token with what they
  stand beside; but Ollama (Go) and TGI (minijinja) write `<`, `>`, `&` as `\u003c`, and Jinja's own
  filter does it with all that is not ASCII.
- vLLM reads `best_of` of chats, too; every candidate is counted, whether it is returned or not.
"""

import json
from random import Random
from typing import Any

import msgspec

from modelgates_server.core.pricing.catalog import Api

_SPECIAL_TOKENS = 2
"""The start and the end of a text; a prefix and a suffix take one more."""


class Refusal(Exception):
    """The provider finds the request wrong; `over_cap` where a smaller limit would do."""

    def __init__(self, message: str, *, over_cap: bool = False) -> None:
        super().__init__(message)
        self.over_cap = over_cap


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What a call truly used, in classes that do not overlap.

    `written` has the tokens of each sequence: `choices` of them are returned for each prompt.
    """

    text: int
    images: int
    sound: int
    written: tuple[int, ...]
    choices: int


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """How one provider is built and configured; token counts are what one call adds at most."""

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
        """Read a request and write an answer; raises `Refusal`."""
        cap = self._cap(api, body)
        reads = self.reads(api, body)
        if not self.cuts_prompts and any(sum(read) > self.context_tokens for read in reads):
            raise Refusal("the prompt is longer than the context")
        cut = [self._cut(*read) for read in reads]
        text, images, sound = (sum(each) for each in zip(*cut, strict=True))
        written: list[int] = []
        if api is not Api.EMBEDDINGS:
            sequences = max(body.get("n") or 1, body.get("best_of") or 1)
            is_lavish = rng.random() < 0.6
            for read in cut:
                most = self._most(cap, sum(read))
                written += [most if is_lavish else rng.randint(0, most) for _ in range(sequences)]
        choices = body.get("n") or 1
        return Spent(text=text, images=images, sound=sound, written=tuple(written), choices=choices)

    def _cap(self, api: Api, body: dict[str, Any]) -> int | None:
        """The limit that is obeyed. The old API of completions knows one name only."""
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
        """The most tokens that one sequence gets."""
        room = self.context_tokens - read
        if cap is None:
            return min(self.output_tokens, room)
        if self.checks_sum and cap > room:
            raise Refusal("prompt and limit exceed the context", over_cap=True)
        return min(cap, self.output_tokens, cap if self.shifts_context else room)

    def _cut(self, text: int, images: int, sound: int) -> tuple[int, int, int]:
        """What of a prompt fits into the context: media first, text in what is left."""
        images = min(images, self.context_tokens)
        sound = min(sound, self.context_tokens - images)
        return min(text, self.context_tokens - images - sound), images, sound

    def reads(self, api: Api, body: dict[str, Any]) -> list[tuple[int, int, int]]:
        """Tokens of text, images and sound of each prompt."""
        if api is Api.CHAT:
            return [self._read_chat(body)]
        given = body["input" if api is Api.EMBEDDINGS else "prompt"]
        is_one = isinstance(given, str) or isinstance(given[0], int)
        extra = _SPECIAL_TOKENS
        if suffix := body.get("suffix"):
            extra += 1 + _size(suffix)
        prompts = [given] if is_one else given
        # A token id stands for one token.
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
        # Schemas are shown to the model; documents are put before the question.
        for name in ("response_format", "tool_choice", "documents"):
            reads.append((_size(body.get(name)), 0, 0))
        text, images, sound = (sum(each) for each in zip(*reads, strict=True))
        return text, images, sound

    def _read_member(self, name: str, value: Any) -> tuple[int, int, int]:
        """What one member of a message takes, parts of the content left out."""
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
            case "video_url":  # frames and a sound track, as long as it may be
                return 0, self.context_tokens // 2, self.context_tokens - self.context_tokens // 2
            case _:  # a document: its text and a picture of every page
                return self.context_tokens // 2, self.context_tokens, 0

    def _rendered(self, tools: Any) -> int:
        """Tools and calls as the template writes them. Where that is HTML-safe, a sign is six."""
        text = json.dumps(tools, ensure_ascii=self.escapes_tools, separators=(",", ":"))
        if self.escapes_tools:
            for sign in "<>&'":
                text = text.replace(sign, f"\\u{ord(sign):04x}")
        return len(text.encode())

    def _media(self) -> int:
        return self.context_tokens if self.media_tokens is None else self.media_tokens


def _size(value: Any) -> int:
    """What a tokenizer without a merge makes of a text, or of a value that is put in as JSON."""
    if value is None:
        return 0
    if not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return len(value.encode())
