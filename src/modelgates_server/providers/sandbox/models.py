"""The models `echo`, `lorem` and `embed`, and the call of `chaos`."""

import base64
import re
import struct
from hashlib import shake_256
from math import sqrt
from typing import Any

import msgspec

from modelgates_server.core.pricing.catalog import Api
from modelgates_server.providers.sandbox.answers import ChoiceContent, SandboxAnswer, events
from modelgates_server.providers.sandbox.chaos import misbehave, read_chaos
from modelgates_server.providers.sandbox.lorem import lorem_tokens
from modelgates_server.providers.sandbox.request import (
    OUTPUT_TOKENS,
    ParsedRequest,
    read_request,
    tokens_of,
)
from modelgates_server.providers.sandbox.script import Script, ScriptedError

LOREM_TOKENS = 100
DIMENSIONS = 8

_APIS = {
    "echo": (Api.CHAT, Api.COMPLETIONS),
    "lorem": (Api.CHAT, Api.COMPLETIONS),
    "chaos": (Api.CHAT, Api.COMPLETIONS),
    "embed": (Api.EMBEDDINGS,),
}
NAMES = tuple(_APIS)

_ANSWER_MAX_CHARS = 32 * 2**20
_NUMBERS_MAX = 2**18

_CALL = re.compile(r"call (\S+) (\{.*\})", re.DOTALL)
_NUMBER = re.compile(r"\s*([0-9]{1,9})\s*", re.ASCII)
_object = msgspec.json.Decoder(dict[str, Any])


def respond(api: Api, body: bytes, *, at_ms: int, number: int) -> Script:
    """The response to a request; `number` makes its id unique within a millisecond."""
    try:
        parsed = read_request(api, body)
        _check_model(parsed)
        if api is Api.EMBEDDINGS:
            return Script(body=_embeddings(parsed))
        return _say(parsed, at_ms, number)
    except ScriptedError as refused:
        return refused.script()


def _check_model(parsed: ParsedRequest) -> None:
    name = parsed.request.model
    if parsed.api not in _APIS.get(name, ()):
        known = ", ".join(NAMES)
        message = f"The model {name[:80]!r} does not exist at /{parsed.api}. Use one of {known}."
        raise ScriptedError(404, message, code="model_not_found", param="model")


def _say(parsed: ParsedRequest, at_ms: int, number: int) -> Script:
    request = parsed.request
    stream, with_usage = bool(request.stream), request.wants_usage
    if request.model == "chaos":
        chaos = read_chaos(parsed.texts)
        answer = _answer(parsed, [chaos.content(parsed.cap_tokens)], at_ms, number)
        return misbehave(chaos, answer, stream=stream, with_usage=with_usage)
    speak = _echo if request.model == "echo" else _lorem
    answer = _answer(parsed, [speak(parsed, text) for text in parsed.texts], at_ms, number)
    if stream:
        return Script(body=events(answer, with_usage=with_usage), is_stream=True)
    return Script(body=answer.plain(answer.usage))


def _answer(
    parsed: ParsedRequest, choices: list[ChoiceContent], at_ms: int, number: int
) -> SandboxAnswer:
    """The response with `n` equal choices for each text."""
    times = parsed.request.n or 1
    if times * sum(len(token) for choice in choices for token in choice.tokens) > _ANSWER_MAX_CHARS:
        raise ScriptedError(400, "The response would be too long. Lower `n`.", param="n")
    return SandboxAnswer(
        api=parsed.api,
        model=parsed.request.model,
        at_ms=at_ms,
        number=number,
        prompt_tokens=parsed.prompt_tokens,
        choices=[choice for choice in choices for _ in range(times)],
    )


def _echo(parsed: ParsedRequest, text: str) -> ChoiceContent:
    """The text itself, or a tool call if the text spells out one that is offered.

    If JSON is requested, a text that is not a JSON object is wrapped in one.
    """
    function = None
    if called := parsed.request.tools and _CALL.fullmatch(text):
        name, arguments = called.groups()
        if _is_offered(parsed, name) and _is_object(arguments):
            function, text = name, arguments
    form = parsed.request.response_format
    wants_object = form is not None and form.type != "text"
    if function is None and wants_object and not _is_object(text):
        text = msgspec.json.encode({"echo": text}).decode()
    tokens = tokens_of(text)
    return _cut_short(tokens, parsed, "stop" if function is None else "tool_calls", function)


def _lorem(parsed: ParsedRequest, text: str) -> ChoiceContent:
    """N tokens if the text is a number N; otherwise up to the request's limit, or 100."""
    number = _NUMBER.fullmatch(text)
    if number is not None:
        count = int(number.group(1))
    else:
        endless = parsed.cap_tokens + 1
        # A gateway sends the maximum if the client gave no limit; that is not a wish for long text.
        is_limited = parsed.request.has_cap and parsed.cap_tokens < OUTPUT_TOKENS
        count = endless if is_limited else LOREM_TOKENS
    return _cut_short(lorem_tokens(min(count, parsed.cap_tokens + 1)), parsed, "stop")


def _cut_short(
    tokens: list[str], parsed: ParsedRequest, finish: str, function: str | None = None
) -> ChoiceContent:
    if len(tokens) > parsed.cap_tokens:
        return ChoiceContent(tokens[: parsed.cap_tokens], "length", function)
    return ChoiceContent(tokens, finish, function)


def _is_offered(parsed: ParsedRequest, name: str) -> bool:
    tools = parsed.request.tools or ()
    return parsed.api is Api.CHAT and any(
        tool.function is not None and tool.function.name == name for tool in tools
    )


def _is_object(text: str) -> bool:
    try:
        _object.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _embeddings(parsed: ParsedRequest) -> bytes:
    """A list of embeddings; source: OpenAI's API reference, "The embedding object"."""
    request = parsed.request
    size = request.dimensions or DIMENSIONS
    if size * len(parsed.texts) > _NUMBERS_MAX:
        raise ScriptedError(
            400,
            f"The response would have more than {_NUMBERS_MAX:,} numbers. "
            "Send fewer texts, or lower `dimensions`.",
        )
    encode = _as_base64 if request.encoding_format == "base64" else _as_floats
    data = [
        {"object": "embedding", "index": index, "embedding": encode(_vector(text, size))}
        for index, text in enumerate(parsed.texts)
    ]
    usage = {"prompt_tokens": parsed.prompt_tokens, "total_tokens": parsed.prompt_tokens}
    return msgspec.json.encode(
        {"object": "list", "data": data, "model": request.model, "usage": usage}
    )


def _vector(text: str, size: int) -> bytes:
    """A vector of length 1 whose direction is the text's hash, as little-endian 32-bit floats."""
    digest = shake_256(text.encode("utf-8", "surrogatepass")).digest(2 * size)
    numbers = [number | 1 for number in struct.unpack(f"<{size}h", digest)]  # never all zero
    length = sqrt(sum(number * number for number in numbers))
    return struct.pack(f"<{size}f", *(number / length for number in numbers))


def _as_base64(vector: bytes) -> str:
    return base64.b64encode(vector).decode()


def _as_floats(vector: bytes) -> list[Any]:
    return list(struct.unpack(f"<{len(vector) // 4}f", vector))
