"""The model `chaos`, which misbehaves as the JSON object in the last user message specifies.

A fault that a stream shows after N chunks affects the body of a plain response as a whole.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any, Literal

import msgspec

from modelgates_server.providers.sandbox.answers import DONE, ChoiceContent, SandboxAnswer
from modelgates_server.providers.sandbox.lorem import lorem_tokens
from modelgates_server.providers.sandbox.request import OUTPUT_TOKENS, tokens_of
from modelgates_server.providers.sandbox.script import Script, ScriptedError, error_body

_TOKENS = 20
_DRIP_BYTES = 32
_GARBAGE = b'{"id":"chatcmpl-garbage","choices":[{"index":0,"del'
_COMMENT = b": the sandbox is awake"
_FAILS = "The sandbox fails, as requested."

_Delay = Annotated[int, msgspec.Meta(ge=0, le=600_000)]
_After = Annotated[int, msgspec.Meta(ge=0)]


class Chaos(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to misbehave. Times are in milliseconds; `after` counts chunks with content.

    say, tokens     the text, or the number of lorem tokens; both ignore `max_tokens`
    finish          the finish reason; null: none
    status          an immediate error with this HTTP status, and `retry_after` in seconds
    first_byte_ms   a delay before the headers
    chunk_ms        a delay before each event, or before each 32 bytes of a plain body
    cut_after       the connection breaks off within an event
    error_after     an error with status 200 instead of the end
    garbage_after   an event that is not JSON; the stream then continues normally
    usage           the usage to report, literally, or one of
                    none: no usage; wrong: far too much, with a total that does not match;
                    negative; absurd: 10**15; huge: strings of 10,000 digits;
                    twice: in two chunks; late: after `[DONE]` (plain responses: unchanged)
    comments, crlf  a comment before each event; CRLF as line end
    no_done         no `[DONE]`
    """

    say: str | None = None
    tokens: Annotated[int, msgspec.Meta(ge=0, le=OUTPUT_TOKENS)] | None = None
    finish: str | None = "stop"
    status: Annotated[int, msgspec.Meta(ge=400, le=599)] | None = None
    retry_after: Annotated[int, msgspec.Meta(ge=0, le=3600)] | None = None
    first_byte_ms: _Delay = 0
    chunk_ms: _Delay = 0
    cut_after: _After | None = None
    error_after: _After | None = None
    garbage_after: _After | None = None
    usage: (
        Literal["none", "wrong", "negative", "absurd", "huge", "twice", "late"]
        | dict[str, Any]
        | None
    ) = None
    comments: bool = False
    crlf: bool = False
    no_done: bool = False

    def __post_init__(self) -> None:
        for first, second in (("say", "tokens"), ("cut_after", "error_after")):
            if getattr(self, first) is not None and getattr(self, second) is not None:
                raise ValueError(f"`{first}` and `{second}` cannot be combined")

    def content(self, cap_tokens: int) -> ChoiceContent:
        """The tokens to send; `cap_tokens` only limits the default."""
        if self.say is not None:
            return ChoiceContent(tokens_of(self.say), self.finish)
        count = min(_TOKENS, cap_tokens) if self.tokens is None else self.tokens
        return ChoiceContent(lorem_tokens(count), self.finish)


_chaos = msgspec.json.Decoder(Chaos)


def read_chaos(texts: list[str]) -> Chaos:
    """Read the only text of a request; raises `ScriptedError` if it is not valid."""
    if len(texts) != 1:
        raise ScriptedError(400, "Send `chaos` one prompt.", param="prompt")
    try:
        return _chaos.decode(texts[0])
    except (msgspec.DecodeError, RecursionError) as error:
        raise ScriptedError(
            400,
            "Send `chaos` a JSON object as the last user message, such as "
            f'`{{"tokens":5}}`. The one sent is invalid: {error}.',
        ) from None


def misbehave(chaos: Chaos, answer: SandboxAnswer, *, stream: bool, with_usage: bool) -> Script:
    """The response with its faults; `with_usage`: whether a stream ends with its usage."""
    if chaos.status is not None:
        code = "rate_limit_exceeded" if chaos.status == 429 else None  # noqa: PLR2004
        return Script(
            body=error_body(chaos.status, _FAILS, code=code),
            status=chaos.status,
            head_ms=chaos.first_byte_ms,
            retry_after_s=chaos.retry_after,
        )
    return Script(
        body=_events(chaos, answer, with_usage=with_usage) if stream else _plain(chaos, answer),
        is_stream=stream,
        head_ms=chaos.first_byte_ms,
        chunk_ms=chaos.chunk_ms,
        retry_after_s=chaos.retry_after,
        is_cut=chaos.cut_after is not None,
    )


def _plain(chaos: Chaos, answer: SandboxAnswer) -> Iterator[bytes]:
    body = answer.plain(_reported(chaos, answer))
    if chaos.error_after is not None:
        body = error_body(500, _FAILS)
    elif chaos.cut_after is not None or chaos.garbage_after is not None:
        body = body[: len(body) // 2]
    size = _DRIP_BYTES if chaos.chunk_ms else len(body)
    return (body[start : start + size] for start in range(0, len(body), size))


def _events(chaos: Chaos, answer: SandboxAnswer, *, with_usage: bool) -> Iterator[bytes]:
    end = b"\r\n" if chaos.crlf else b"\n"
    before = _COMMENT + 2 * end if chaos.comments else b""
    for payload in _payloads(chaos, answer, with_usage=with_usage):
        yield b"%bdata: %b%b%b" % (before, payload, end, end)
    if chaos.cut_after is not None:
        yield b"data: " + _GARBAGE


def _payloads(chaos: Chaos, answer: SandboxAnswer, *, with_usage: bool) -> Iterator[bytes]:
    yield from answer.opening(with_usage=with_usage)
    stop = chaos.cut_after if chaos.error_after is None else chaos.error_after
    content = list(islice(answer.content(with_usage=with_usage), stop))
    if chaos.garbage_after is not None:
        content.insert(chaos.garbage_after, _GARBAGE)
    yield from content
    if chaos.error_after is not None:
        yield error_body(500, _FAILS)
    if stop is not None:
        return
    yield from answer.ending(with_usage=with_usage)
    usage = _usage_chunks(chaos, answer) if with_usage else []
    if chaos.usage != "late":
        yield from usage
    if not chaos.no_done:
        yield DONE
    if chaos.usage == "late":
        yield from usage


def _usage_chunks(chaos: Chaos, answer: SandboxAnswer) -> list[bytes]:
    reported = _reported(chaos, answer)
    if reported is None:
        return []
    return [answer.usage_chunk(reported)] * (2 if chaos.usage == "twice" else 1)


def _reported(chaos: Chaos, answer: SandboxAnswer) -> dict[str, Any] | None:
    if isinstance(chaos.usage, dict):
        return chaos.usage
    true = answer.usage
    prompt, completion = true["prompt_tokens"], true["completion_tokens"]
    match chaos.usage:
        case "none":
            return None
        case "wrong":
            return {**true, **_counts(prompt + 1000, completion * 10 + 1000, 1)}
        case "negative":
            return {**true, **_counts(-prompt - 1, -completion - 1, -prompt - completion - 2)}
        case "absurd":
            return {**true, **_counts(10**15, 10**15, 2 * 10**15)}
        case "huge":
            return {**true, **_counts("9" * 10_000, "9" * 10_000, "9" * 10_000)}
        case _:
            return true


def _counts(prompt: Any, completion: Any, total: Any) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total}
