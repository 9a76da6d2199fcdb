"""Rewrites a provider's plain response: the gateway's id and model name, and the exact cost.

All other fields stay the bytes that the provider sent. Shapes: OpenAI's API reference; `provider`,
`native_finish_reason`, `usage.cost` and its details as OpenRouter documents them.
"""

import re
from typing import Any

import msgspec

from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.metering.meter import ResponseMeter
from modelgates_server.core.metering.repairs import Repair
from modelgates_server.core.money import format_pico
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.core.pricing.prices import whole_pico
from modelgates_server.core.pricing.usage import OUTPUTS, Usage
from modelgates_server.dialects.json_object import JsonObject
from modelgates_server.dialects.openai_chat.choices import ChoiceWriter

_NULL = msgspec.Raw(b"null")
_OBJECTS = {Api.CHAT: b'"chat.completion"', Api.COMPLETIONS: b'"text_completion"'}
_NO_ITEMS = re.compile(rb"\[\s*\]")


def has_items(members: JsonObject, name: str) -> bool:
    """Whether the response has items in the list of results, such as `choices`."""
    raw = bytes(members.get(name, _NULL))
    return raw.startswith(b"[{") or (raw.startswith(b"[") and not _NO_ITEMS.fullmatch(raw))


def rewrite_answer(members: JsonObject, generation: Generation, meter: ResponseMeter) -> bytes:
    """A plain response for the client."""
    answer: dict[str, Any] = {
        **members,
        **gateway_fields(generation),
        "usage": usage_object(generation),
    }
    answer.pop("x_groq", None)
    if "choices" in members:
        answer["choices"] = ChoiceWriter(generation, meter).of_answer(members["choices"])
        answer.setdefault("system_fingerprint", None)
    if generation.api in _OBJECTS:
        correct_head(answer, _OBJECTS[generation.api], generation, meter)
    if bytes(members.get("error", _NULL)) == b"null":
        answer.pop("error", None)
    return msgspec.json.encode(answer)


def correct_head(
    members: dict[str, Any], kind: bytes, generation: Generation, meter: ResponseMeter
) -> bool:
    """Give a response or a chunk its `object`, which is `kind`, and a time; whether it had both."""
    has_kind = bytes(members.get("object", _NULL)) == kind
    if not has_kind:
        members["object"] = msgspec.Raw(kind)
        meter.repaired(Repair.FIELD_REPAIRED)
    has_time = is_time(members.get("created"))
    if not has_time:
        members["created"] = begun_at(generation)
        meter.repaired(Repair.FIELD_REPAIRED)
    return has_kind and has_time


def is_time(raw: msgspec.Raw | None) -> bool:
    """Whether a value is a time in whole seconds; Azure sends 0 in some chunks."""
    return raw is not None and bytes(raw).isdigit() and bytes(raw) != b"0"


def begun_at(generation: Generation) -> msgspec.Raw:
    """`created` of a response whose provider sends none."""
    return msgspec.Raw(b"%d" % (generation.created_at_ms // 1000))


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


def gateway_fields(generation: Generation) -> JsonObject:
    """The fields that the gateway sets in every response and chunk of a generation."""
    return {
        "id": msgspec.Raw(b'"%b"' % generation.id.encode()),
        "model": msgspec.Raw(msgspec.json.encode(generation.model)),
        "provider": msgspec.Raw(msgspec.json.encode(generation.provider)),
    }


def _number(pico: int) -> msgspec.Raw:
    return msgspec.Raw(format_pico(pico).encode())
