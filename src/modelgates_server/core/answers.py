"""What providers answer, and how it reaches the client: our id, our name of the model, exact cost.

An answer's other members stay the bytes the provider sent. Shapes: OpenAI's API reference;
`provider`, `native_finish_reason`, `usage.cost` and its details as OpenRouter documents them.
"""

import re
from typing import Any

import msgspec

from modelgates_server.core.generations import Generation
from modelgates_server.core.inference import Api, Members
from modelgates_server.core.money import format_pico
from modelgates_server.core.prices import whole_pico
from modelgates_server.core.service_tiers import reported_service_tier
from modelgates_server.core.usage import OUTPUTS, Usage, read_usage

DONE = b"[DONE]"

_NULL = msgspec.Raw(b"null")
_EMPTY = (b"null", b'""', b"[]")
_TEXT_MAX_CHARS = 255


class _Choice(msgspec.Struct):
    """A choice, in a plain answer or a chunk; what it says is measured, not kept."""

    finish_reason: Any = None
    delta: msgspec.Raw = _NULL
    message: msgspec.Raw = _NULL
    text: msgspec.Raw = _NULL
    usage: Any = None


class _Seen(msgspec.Struct):
    id: Any = None
    choices: list[_Choice] | None = None
    usage: Any = None
    x_groq: Any = None
    error: Any = None
    service_tier: Any = None


_SAID = ("content", "reasoning", "reasoning_content", "refusal", "audio", "images")
_CALLED = ("tool_calls", "function_call")

_NEVER_NULL = ("system_fingerprint", "error")
_OPTIONAL = ("tool_calls", "function_call", "images", "reasoning_details", "audio")
_NULLS = re.compile(rb'"(?:%s)"\s*:\s*null' % b"|".join(name.encode() for name in _OPTIONAL))

_seen = msgspec.json.Decoder(_Seen)
_members = msgspec.json.Decoder(Members)
_choices = msgspec.json.Decoder(list[Members])


class InvalidAnswer(ValueError):
    """What a provider sent is not an answer of the API that was called."""


class Observed(msgspec.Struct):
    """What went by of one answer; chunks add to it.

    `output_bytes` is the size of all it said, as JSON text; `usage` and `service_tier` are what was
    reported last. An error that says nothing (`""`, `{}`) is none.
    """

    upstream_id: str | None = None
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    output_bytes: int = 0
    output_bytes_at_usage: int = 0
    error: Any = None
    service_tier: str | None = None

    def see(self, payload: bytes) -> Members:
        """Take note of an answer or a chunk, and give its members; raises `InvalidAnswer`."""
        try:
            if not payload.isascii():
                payload.decode()  # what is kept raw is not checked by msgspec
            seen, members = _seen.decode(payload), _members.decode(payload)
            for choice in seen.choices or ():
                self._see_choice(choice)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidAnswer(f"not an answer of this API: {error}") from error
        if self.upstream_id is None and isinstance(seen.id, str):
            self.upstream_id = seen.id[:_TEXT_MAX_CHARS]
        usage = _usage_in(seen)
        if usage:
            self.usage, self.output_bytes_at_usage = usage, self.output_bytes
        within = None if usage is None else usage.get("service_tier")
        self.service_tier = reported_service_tier(seen.service_tier, within) or self.service_tier
        self.error = seen.error or self.error
        return members

    def _see_choice(self, choice: _Choice) -> None:
        if isinstance(choice.finish_reason, str) and choice.finish_reason:
            self.finish_reason = choice.finish_reason[:_TEXT_MAX_CHARS]
        self._measure(bytes(choice.text))
        for part in (bytes(choice.delta), bytes(choice.message)):
            if part.startswith(b"{"):
                said = _members.decode(part)
                for name in _SAID:
                    self._measure(bytes(said.get(name, _NULL)))
                for name in _CALLED:
                    self._measure_call(bytes(said.get(name, _NULL)))

    def _measure(self, raw: bytes) -> None:
        if raw not in _EMPTY:
            self.output_bytes += len(raw) - 2 * raw.startswith(b'"')

    def _measure_call(self, raw: bytes) -> None:
        """Only its texts: forty bytes of JSON stand around each piece of the arguments."""
        if raw not in _EMPTY:
            self.output_bytes += max(1, _text_bytes(msgspec.json.decode(raw)))

    def counted(self) -> Usage | None:
        """The usage the provider reported, if it can be believed."""
        return None if self.usage is None else read_usage(self.usage)


def _usage_in(seen: _Seen) -> dict[str, Any] | None:
    """What one answer or chunk reports: beside its choices, as Groq does it, or in a choice.

    Moonshot's streams have it in the last chunk's choice.
    """
    groq = seen.x_groq.get("usage") if isinstance(seen.x_groq, dict) else None
    for reported in (seen.usage, groq, *(choice.usage for choice in seen.choices or ())):
        if reported and isinstance(reported, dict):
            return reported
    return None


def _text_bytes(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode())
    within = value.values() if isinstance(value, dict) else value
    return sum(map(_text_bytes, within)) if isinstance(value, dict | list) else 0


def shown_chunk(members: Members, ours: Members, *, finished: bool) -> bytes | None:
    """A chunk as the client gets it; None for one that only carried usage.

    Its usage is kept back: the last chunk, `usage_chunk`, has it with the cost.
    """
    shown = {**members, **ours}
    shown.pop("usage", None)
    shown.pop("x_groq", None)
    choices = shown.get("choices")
    if choices is not None:
        if bytes(choices) == b"[]" and "usage" in members:
            return None
        shown["choices"] = _shown_choices(choices, finished=finished)
    for name in _NEVER_NULL:
        if name in shown and bytes(shown[name]) == b"null":
            del shown[name]
    return _one_line(shown)


def usage_chunk(generation: Generation, last: Members) -> bytes:
    """The last chunk of a stream: no choices, and the usage with its cost."""
    ends: dict[str, Any] = {"choices": [], "usage": shown_usage(generation)}
    return _one_line({**_head(last, generation), **ends})


def error_chunk(generation: Generation, last: Members, error: dict[str, Any]) -> bytes:
    """The end of a stream that failed: the error, and a choice that says so (OpenRouter's form)."""
    said = {"text": ""} if generation.api is Api.COMPLETIONS else {"delta": {"content": ""}}
    ends: dict[str, Any] = {
        "error": error,
        "choices": [{"index": 0, **said, "finish_reason": "error"}],
        "usage": shown_usage(generation),
    }
    return _one_line({**_head(last, generation), **ends})


def shown_answer(members: Members, generation: Generation) -> bytes:
    """A plain answer as the client gets it."""
    shown: dict[str, Any] = {**members, **ours(generation), "usage": shown_usage(generation)}
    shown.pop("x_groq", None)
    if "choices" in members:
        shown["choices"] = _shown_choices(members["choices"], finished=True)
        shown.setdefault("system_fingerprint", None)
    if bytes(members.get("error", _NULL)) == b"null":
        shown.pop("error", None)
    return msgspec.json.encode(shown)


def shown_usage(generation: Generation) -> dict[str, Any]:
    """`usage` as OpenRouter documents it; amounts are exact decimals of dollars.

    `cost` is what the account was charged; the two parts in `cost_details` add up to it, so the fee
    of a request and the rounding count as reading.
    """
    usage = generation.usage or Usage()
    written_pico = min(whole_pico(generation.lines, OUTPUTS), generation.cost_pico)
    shown: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "cost": _number(generation.cost_pico),
        "is_byok": False,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write + usage.cache_write_1h,
            "audio_tokens": usage.input_audio,
            "video_tokens": 0,
        },
        "cost_details": {
            "upstream_inference_cost": None,
            "upstream_inference_prompt_cost": _number(generation.cost_pico - written_pico),
            "upstream_inference_completions_cost": _number(written_pico),
        },
    }
    if generation.api is Api.EMBEDDINGS:
        del shown["completion_tokens"]
    else:
        shown["completion_tokens_details"] = {
            "reasoning_tokens": usage.reasoning,
            "image_tokens": usage.output_image,
            "audio_tokens": usage.output_audio,
        }
    return shown


def _head(last: Members, generation: Generation) -> Members:
    """What chunks of a stream have alike, from the last one that went by, if there was any."""
    kind = "text_completion" if generation.api is Api.COMPLETIONS else "chat.completion.chunk"
    head = {
        "object": msgspec.Raw(msgspec.json.encode(kind)),
        "created": msgspec.Raw(b"%d" % (generation.created_at_ms // 1000)),
    }
    return {name: last.get(name, raw) for name, raw in head.items()} | ours(generation)


def ours(generation: Generation) -> Members:
    """The members that every answer and chunk of a generation gets from us."""
    return {
        "id": msgspec.Raw(b'"%b"' % generation.id.encode()),
        "model": msgspec.Raw(msgspec.json.encode(generation.model)),
        "provider": msgspec.Raw(msgspec.json.encode(generation.provider)),
    }


def _one_line(shown: dict[str, Any]) -> bytes:
    """JSON that fits behind `data: `; white space of the provider's own may hold line ends."""
    chunk = msgspec.json.encode(shown)
    if b"\n" in chunk or b"\r" in chunk:
        return msgspec.json.format(chunk, indent=-1)
    return chunk


def _number(pico: int) -> msgspec.Raw:
    return msgspec.Raw(format_pico(pico).encode())


def _shown_choices(choices: msgspec.Raw, *, finished: bool) -> Any:
    """Choices as OpenRouter's clients demand them; nearly all chunks are so already.

    `finish_reason` is always there, and at the end `native_finish_reason` beside it; members that
    those clients would rather not see than see as null are dropped.
    """
    raw = bytes(choices)
    if not finished and b'"finish_reason"' in raw and _NULLS.search(raw) is None:
        return choices
    try:
        rows = _choices.decode(raw)
        for row in rows:
            row.setdefault("finish_reason", _NULL)
            if finished:
                row.setdefault("native_finish_reason", row["finish_reason"])
            for part in row.keys() & {"delta", "message"}:
                row[part] = _without_nulls(row[part])
    except (msgspec.DecodeError, RecursionError):
        return choices  # null: an answer without choices
    return rows


def _without_nulls(part: msgspec.Raw) -> Any:
    if _NULLS.search(bytes(part)) is None:
        return part
    members = _members.decode(part)
    return {
        name: raw for name, raw in members.items() if name not in _OPTIONAL or bytes(raw) != b"null"
    }
