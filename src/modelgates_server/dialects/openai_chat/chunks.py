"""Rewrites the chunks of a provider's stream, and writes the last one, with the exact cost."""

from typing import Any

import msgspec

from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.metering.meter import ResponseMeter
from modelgates_server.core.metering.repairs import Repair
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.json_object import JsonObject
from modelgates_server.dialects.openai_chat.choices import ChoiceWriter
from modelgates_server.dialects.openai_chat.response import (
    begun_at,
    correct_head,
    gateway_fields,
    has_items,
    is_time,
    usage_object,
)

_NULL = msgspec.Raw(b"null")
_NOTHING = (b"null", b"[]", b"{}", b'""')
_NEVER_NULL = ("system_fingerprint", "error")

_OF_THE_PROMPT = ("prompt_filter_results", "prompt_annotations")
"""Azure's verdict on the prompt, which it sends in a chunk without choices."""

_HEAD = frozenset(
    {
        *("id", "object", "created", "model", "provider", "system_fingerprint", "service_tier"),
        *("choices", "usage", "x_groq", "obfuscation", "error"),
    }
)
"""Fields that say nothing to a client if a chunk has no choices."""


class ChunkWriter:
    """Writes the chunks of one stream for the client, and counts what it has to repair.

    `asks_for_usage`: the client wants the usage in a chunk without choices, as OpenAI sends it.
    """

    def __init__(
        self, generation: Generation, meter: ResponseMeter, *, asks_for_usage: bool = False
    ) -> None:
        self._generation = generation
        self._meter = meter
        self._choices = ChoiceWriter(generation, meter)
        self._fields = gateway_fields(generation)
        self._kind = _kind(generation)
        self._asks_for_usage = asks_for_usage
        self._sound_head: tuple[msgspec.Raw | None, ...] = ()  # nearly all chunks have the same

    def chunk(self, members: JsonObject) -> bytes | None:
        """A chunk in the form of the API; None for one that has nothing for the client.

        Usage is withheld here: it comes with the cost in the last chunk.
        """
        chunk: dict[str, Any] = {**members, **self._fields}
        chunk.pop("usage", None)
        chunk.pop("x_groq", None)
        if has_items(members, "choices"):
            chunk["choices"] = self._choices.of_chunk(members["choices"])
        elif self._has_nothing(members):
            return None
        else:
            chunk["choices"] = []
        head = members.get("object"), members.get("created")
        if head != self._sound_head and correct_head(
            chunk, self._kind, self._generation, self._meter
        ):
            self._sound_head = head
        for name in _NEVER_NULL:
            if name in chunk and bytes(chunk[name]) == b"null":
                del chunk[name]
        return _one_line(chunk)

    def usage_chunk(self, generation: Generation, last: JsonObject) -> bytes:
        """The last chunk: the usage with its cost, and a choice without output or none.

        Clients that do not ask for the usage read the first choice of every chunk.
        """
        ends: dict[str, Any] = {"choices": [], "usage": usage_object(generation)}
        if not self._asks_for_usage:
            ends["choices"] = [_choice(generation, {}, None)]
        return _one_line({**_head(generation, last), **ends})

    def _has_nothing(self, members: JsonObject) -> bool:
        """Whether a chunk without choices is not for the client; counts a foreign one."""
        if any(bytes(members.get(name, _NULL)) not in _NOTHING for name in _OF_THE_PROMPT):
            return False
        if bytes(members.get("usage", _NULL)) != b"null":
            return True
        if bytes(members.get("choices", _NULL)) == b"null":
            self._meter.repaired(Repair.CHUNK_DROPPED)
            return True
        return all(bytes(members[name]) in _NOTHING for name in members.keys() - _HEAD)


def error_chunk(generation: Generation, last: JsonObject, error: dict[str, Any]) -> bytes:
    """The end of a failed stream in OpenRouter's form: the error, and a choice that ends so."""
    ends: dict[str, Any] = {
        "error": error,
        "choices": [_choice(generation, {"content": ""}, "error")],
        "usage": usage_object(generation),
    }
    return _one_line({**_head(generation, last), **ends})


def _choice(generation: Generation, delta: dict[str, str], reason: str | None) -> dict[str, Any]:
    """A choice without output."""
    is_text = generation.api is Api.COMPLETIONS
    return {"index": 0, **({"text": ""} if is_text else {"delta": delta}), "finish_reason": reason}


def _kind(generation: Generation) -> bytes:
    is_text = generation.api is Api.COMPLETIONS
    return b'"text_completion"' if is_text else b'"chat.completion.chunk"'


def _head(generation: Generation, last: JsonObject) -> JsonObject:
    """The fields that all chunks of a stream share; the time is the provider's if it has one."""
    created = last.get("created")
    return {
        "object": msgspec.Raw(_kind(generation)),
        "created": created if created and is_time(created) else begun_at(generation),
        **gateway_fields(generation),
    }


def _one_line(members: dict[str, Any]) -> bytes:
    """JSON on one line, for use after `data: `; the provider's white space may have line ends."""
    chunk = msgspec.json.encode(members)
    if b"\n" in chunk or b"\r" in chunk:
        return msgspec.json.format(chunk, indent=-1)
    return chunk
