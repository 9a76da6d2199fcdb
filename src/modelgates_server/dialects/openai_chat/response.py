"""Rewrites providers' responses: the gateway's id and model name, and the exact cost.

All other fields stay the bytes that the provider sent. Shapes: OpenAI's API reference; `provider`,
`native_finish_reason`, `usage.cost` and its details as OpenRouter documents them.
"""

import re
from typing import Any

import msgspec

from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.metering.meter import ResponseMeter, reason_or_default
from modelgates_server.core.money import format_pico
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.core.pricing.prices import whole_pico
from modelgates_server.core.pricing.usage import OUTPUTS, Usage
from modelgates_server.dialects.json_object import JsonObject
from modelgates_server.dialects.openai_chat.finish_reasons import is_an_end, known_finish_reason

_NULL = msgspec.Raw(b"null")

_NEVER_NULL = ("system_fingerprint", "error")
_OPTIONAL = ("tool_calls", "function_call", "images", "reasoning_details", "audio")
_NULLS = re.compile(rb'"(?:%s)"\s*:\s*null' % b"|".join(name.encode() for name in _OPTIONAL))
_NO_ITEMS = re.compile(rb"\[\s*\]")
_UNFINISHED = re.compile(rb'"finish_reason"\s*:\s*null')

_members = msgspec.json.Decoder(JsonObject)
_choices = msgspec.json.Decoder(list[JsonObject])


def rewrite_chunk(members: JsonObject, fields: JsonObject, meter: ResponseMeter) -> bytes | None:
    """A chunk for the client, with `gateway_fields`; None for a chunk that has only usage.

    Usage is withheld here: it comes with the cost in the last chunk, `usage_chunk`.
    """
    chunk = {**members, **fields}
    chunk.pop("usage", None)
    chunk.pop("x_groq", None)
    choices = chunk.get("choices")
    if choices is not None:
        if bytes(choices) == b"[]" and "usage" in members:
            return None
        chunk["choices"] = _rewrite_choices(
            choices, finished=bool(meter.endings), has_output=meter.has_output
        )
    for name in _NEVER_NULL:
        if name in chunk and bytes(chunk[name]) == b"null":
            del chunk[name]
    return _one_line(chunk)


def has_items(members: JsonObject, name: str) -> bool:
    """Whether the response has items in the list of results, such as `choices`."""
    return bytes(members.get(name, _NULL)).startswith(b"[") and not _NO_ITEMS.fullmatch(
        bytes(members[name])
    )


def usage_chunk(generation: Generation, last: JsonObject) -> bytes:
    """The last chunk of a stream: no choices, and the usage with its cost."""
    ends: dict[str, Any] = {"choices": [], "usage": usage_object(generation)}
    return _one_line({**_head(last, generation), **ends})


def error_chunk(generation: Generation, last: JsonObject, error: dict[str, Any]) -> bytes:
    """The end of a failed stream in OpenRouter's form: the error, and a choice that ends so."""
    nothing = {"text": ""} if generation.api is Api.COMPLETIONS else {"delta": {"content": ""}}
    ends: dict[str, Any] = {
        "error": error,
        "choices": [{"index": 0, **nothing, "finish_reason": "error"}],
        "usage": usage_object(generation),
    }
    return _one_line({**_head(last, generation), **ends})


def rewrite_answer(members: JsonObject, generation: Generation, meter: ResponseMeter) -> bytes:
    """A plain response for the client."""
    answer: dict[str, Any] = {
        **members,
        **gateway_fields(generation),
        "usage": usage_object(generation),
    }
    answer.pop("x_groq", None)
    if "choices" in members:
        answer["choices"] = _rewrite_choices(
            members["choices"], finished=True, has_output=meter.has_output
        )
        answer.setdefault("system_fingerprint", None)
    if bytes(members.get("error", _NULL)) == b"null":
        answer.pop("error", None)
    return msgspec.json.encode(answer)


def usage_object(generation: Generation) -> dict[str, Any]:
    """`usage` as OpenRouter documents it; amounts are exact decimals of dollars.

    `cost` is the amount charged to the account. The two parts in `cost_details` add up to it: the
    fee per request and the rounding count as part of the prompt's cost.
    """
    usage = generation.usage or Usage()
    written_pico = min(whole_pico(generation.lines, OUTPUTS), generation.cost_pico)
    fields: dict[str, Any] = {
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
        del fields["completion_tokens"]
    else:
        fields["completion_tokens_details"] = {
            "reasoning_tokens": usage.reasoning,
            "image_tokens": usage.output_image,
            "audio_tokens": usage.output_audio,
        }
    return fields


def _head(last: JsonObject, generation: Generation) -> JsonObject:
    """The fields that all chunks of a stream share, from the last chunk if there was one."""
    kind = "text_completion" if generation.api is Api.COMPLETIONS else "chat.completion.chunk"
    head = {
        "object": msgspec.Raw(msgspec.json.encode(kind)),
        "created": msgspec.Raw(b"%d" % (generation.created_at_ms // 1000)),
    }
    return {name: last.get(name, raw) for name, raw in head.items()} | gateway_fields(generation)


def gateway_fields(generation: Generation) -> JsonObject:
    """The fields that the gateway sets in every response and chunk of a generation."""
    return {
        "id": msgspec.Raw(b'"%b"' % generation.id.encode()),
        "model": msgspec.Raw(msgspec.json.encode(generation.model)),
        "provider": msgspec.Raw(msgspec.json.encode(generation.provider)),
    }


def _one_line(members: dict[str, Any]) -> bytes:
    """JSON on one line, for use after `data: `; the provider's white space may have line ends."""
    chunk = msgspec.json.encode(members)
    if b"\n" in chunk or b"\r" in chunk:
        return msgspec.json.format(chunk, indent=-1)
    return chunk


def _number(pico: int) -> msgspec.Raw:
    return msgspec.Raw(format_pico(pico).encode())


def _rewrite_choices(choices: msgspec.Raw, *, finished: bool, has_output: bool) -> Any:
    """Choices in the form that OpenRouter's clients require, as nearly all chunks already are.

    `finish_reason` is always present, with a value that clients know. At the end,
    `native_finish_reason` next to it has the provider's own word. Fields that those clients accept
    as absent but not as null are dropped.
    """
    raw = bytes(choices)
    is_open = b'"finish_reason":null' in raw or _UNFINISHED.search(raw) is not None
    if not finished and is_open and _NULLS.search(raw) is None:
        return choices
    try:
        rewritten = _choices.decode(raw)
        for choice in rewritten:
            native = choice.setdefault("finish_reason", _NULL)
            choice["finish_reason"] = _normalised(native, has_output=has_output)
            if finished:
                choice.setdefault("native_finish_reason", native)
            for part in choice.keys() & {"delta", "message"}:
                choice[part] = _without_nulls(choice[part])
    except (msgspec.DecodeError, RecursionError):
        return choices  # null, that is, a response without choices
    return rewritten


def _normalised(native: msgspec.Raw, *, has_output: bool) -> msgspec.Raw:
    word = msgspec.json.decode(native)
    if not isinstance(word, str) or not word or not is_an_end(word):
        return _NULL
    reason = reason_or_default(known_finish_reason(word), has_output=has_output)
    return msgspec.Raw(b'"%b"' % reason.encode())


def _without_nulls(part: msgspec.Raw) -> Any:
    if _NULLS.search(bytes(part)) is None:
        return part
    members = _members.decode(part)
    return {
        name: raw for name, raw in members.items() if name not in _OPTIONAL or bytes(raw) != b"null"
    }
