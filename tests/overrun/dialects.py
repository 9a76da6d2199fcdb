"""Sends drawn calls of agents to models of providers in every dialect, and counts overruns.

`make overrun` runs it for chat completions by `tests.overrun.run`, and for the other dialects by
this program. The providers count what they are sent, each in its own way and apart from the
gateway's sizing: every byte is a token, and hidden prompts are added. They report usage with all
classes that their dialect has. Repeat a failed call with `--only NUMBER`.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import msgspec

from modelgates_server.core.errors import GatewayError, InvalidInput
from modelgates_server.core.metering.settlement import settle
from modelgates_server.core.metering.sizing import PricedRequest, quote_hold
from modelgates_server.core.pricing.catalog import Api, Model
from modelgates_server.core.pricing.prices import Price
from modelgates_server.core.pricing.usage import Usage
from modelgates_server.core.redaction import NO_SECRETS
from modelgates_server.dialects.known import DIALECTS
from modelgates_server.dialects.pairing import pairing_of
from tests.core import calls
from tests.dialects.anthropic.provider_model import prompt_tokens
from tests.overrun.drawn_bodies import BODIES
from tests.overrun.model import Upstream
from tests.overrun.run import _cost_pico
from tests.support import DOLLAR, T0_MS

CONTEXT, OUTPUT = 200_000, 16_000
_TEMPLATE_TOKENS = 12
_CHAT = Upstream(
    cap_parameter="max_tokens",
    context_tokens=CONTEXT,
    output_tokens=OUTPUT,
    media_tokens=2000,
    hidden_tokens=700,
    template_tokens=_TEMPLATE_TOKENS,
    tools_tokens=300,
    escapes_tools=True,
)


def _read_chat(sent: dict[str, Any]) -> int:
    return sum(_CHAT.reads(Api.CHAT, sent)[0])


def _read_responses(sent: dict[str, Any]) -> int:
    """Every byte of the items, the instructions, the tools and the format, and a template."""
    items = sent["input"] if isinstance(sent["input"], list) else [sent["input"]]
    images = [part for item in items for part in _parts(item) if part["type"] == "input_image"]
    for part in images:
        del part["image_url"]
    names = ("input", "instructions", "tools", "text", "tool_choice")
    read = [sent[name] for name in names if sent.get(name)]
    written = "".join(json.dumps(each, ensure_ascii=False, separators=(",", ":")) for each in read)
    return len(written.encode()) + _TEMPLATE_TOKENS * len(items) + 700 + 2000 * len(images)


def _parts(item: Any) -> list[dict[str, Any]]:
    content = item.get("content") if isinstance(item, dict) else None
    return content if isinstance(content, list) else []


_READERS: dict[str, Callable[[dict[str, Any]], int]] = {
    "openai-chat": _read_chat,
    "openai-responses": _read_responses,
    "anthropic": prompt_tokens,
}
_CAPS = {
    "openai-chat": "max_tokens",
    "openai-responses": "max_output_tokens",
    "anthropic": "max_tokens",
}


def draw_price(rng: Random) -> Price:
    """Rates in which cache writes are above or below the input, with a long-context tier."""

    def rate() -> str:
        return f"0.0000{rng.randint(1, 9999):04d}"

    names = ("input", "cache_read", "cache_write", "cache_write_1h", "output", "reasoning")
    tiers = [(above, {name: rate() for name in names}) for above in (0, rng.choice([500, 5000]))]
    return calls.price(*tiers)


def draw_usage(rng: Random, read: int, written: int, *, has_1h: bool) -> Usage:
    """A split of all tokens into the classes of a provider."""
    cached = rng.randint(0, read)
    stored = rng.randint(0, read - cached)
    for_1h = rng.randint(0, stored) if has_1h else 0
    thought = rng.randint(0, written)
    return Usage(
        input=read - cached - stored,
        cache_read=cached,
        cache_write=stored - for_1h,
        cache_write_1h=for_1h,
        output=written - thought,
        reasoning=thought,
    )


def _answer(dialect: str, usage: Usage) -> dict[str, Any]:
    """A plain response with this usage."""
    stored = usage.cache_write + usage.cache_write_1h
    split = {
        "ephemeral_5m_input_tokens": usage.cache_write,
        "ephemeral_1h_input_tokens": usage.cache_write_1h,
    }
    read, written = usage.prompt_tokens, usage.completion_tokens
    inputs: dict[str, Any] = {"cached_tokens": usage.cache_read, "cache_write_tokens": stored}
    inputs["cache_creation"] = split
    match dialect:
        case "anthropic":
            return {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": "m",
                "content": [{"type": "text", "text": "hi"}],
                "stop_reason": "end_turn",
                "stop_sequence": None,
                "usage": {
                    "input_tokens": usage.input,
                    "cache_read_input_tokens": usage.cache_read,
                    "cache_creation_input_tokens": stored,
                    "cache_creation": split,
                    "output_tokens": written,
                    "output_tokens_details": {"thinking_tokens": usage.reasoning},
                },
            }
        case "openai-responses":
            text = {"type": "output_text", "text": "hi", "annotations": []}
            item = {"id": "m", "type": "message", "role": "assistant", "content": [text]}
            return {
                "id": "resp_1",
                "object": "response",
                "status": "completed",
                "output": [{**item, "status": "completed"}],
                "usage": {
                    "input_tokens": read,
                    "input_tokens_details": inputs,
                    "output_tokens": written,
                    "output_tokens_details": {"reasoning_tokens": usage.reasoning},
                    "total_tokens": read + written,
                },
            }
    message = {"role": "assistant", "content": "hi"}
    return {
        "id": "c",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": read,
            "prompt_tokens_details": inputs,
            "completion_tokens": written,
            "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
            "total_tokens": read + written,
        },
    }


def model_of(upstream: str) -> Model:
    """A model whose endpoint speaks one dialect."""
    own = calls.model().endpoint
    endpoint = msgspec.structs.replace(own, dialects=(upstream,), upstream_model="claude-opus-4-6")
    return calls.model(
        endpoint=endpoint,
        context_tokens=CONTEXT,
        output_tokens=OUTPUT,
        media_tokens=None if upstream == "anthropic" else 2000,
        input_modalities=("text", "image"),
    )


def attempt(seed: int, number: int, client: str) -> str:
    """Make one call of a client, and check its invariants; returns the outcome."""
    rng = Random(f"{seed}:{number}:{client}")
    upstream = rng.choice(list(_READERS))
    model, price, dialect = model_of(upstream), draw_price(rng), DIALECTS[client]
    body = json.dumps({"model": model.id, **BODIES[client](rng)}, ensure_ascii=rng.random() < 0.5)
    try:
        request = dialect.parse_request(dialect.api, body.encode())
        pairing = pairing_of(dialect, request, model)
    except InvalidInput as rejection:
        return f"rejected: {str(rejection)[:60]}"
    priced = PricedRequest(model, price, pairing.outgoing, 0)
    quote = quote_hold(priced, account=calls.account(10**9 * DOLLAR), key=calls.key(), at_ms=T0_MS)
    sent_bytes = pairing.upstream.upstream_body(
        pairing.outgoing, model.endpoint, cap_tokens=quote.cap_tokens, service_tier=None
    )
    sent = json.loads(sent_bytes)
    read = min(_READERS[upstream](sent), CONTEXT)
    assert read <= quote.bounds.input_tokens, f"{read} tokens, but the hold covers {quote.bounds}"
    written = min(sent.get(_CAPS[upstream]) or CONTEXT, OUTPUT)
    usage = draw_usage(rng, read, rng.choice([written, rng.randint(1, written)]), has_1h=True)
    adapter = pairing.response(
        calls.open_generation(quote, priced, api=request.api),
        model,
        text_max_bytes=10**6,
        media_max_bytes=10**6,
        redactor=NO_SECRETS,
    )
    adapter.read_answer(json.dumps(_answer(upstream, usage)).encode())
    ended = settle(
        calls.open_generation(quote, priced, api=request.api),
        price,
        pairing.outgoing,
        adapter.meter,
        failure=None,
        at_ms=T0_MS + 1,
    )
    assert ended.usage == usage, f"{usage} was read as {ended.usage}"
    assert ended.overrun_pico == 0, f"overrun of {ended.overrun_pico} above {ended.hold_pico}"
    assert ended.cost_pico == _cost_pico(price, usage, 0)
    return f"over {upstream}"


def main() -> int:
    """Count the outcomes of the calls of each client; returns 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=100_000, help="for each dialect of clients")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="run only the calls with this number")
    options = parser.parse_args()
    numbers = range(options.calls) if options.only is None else [options.only]
    failed = 0
    for client in BODIES:
        began, ways = time.monotonic(), Counter[str]()
        for number in numbers:
            try:
                ways[attempt(options.seed, number, client)] += 1
            except (AssertionError, GatewayError) as problem:
                failed += 1
                if failed <= 10:
                    print(f"{client} {number}: {type(problem).__name__} {problem}")
        seconds = time.monotonic() - began
        print(f"{client}: {len(numbers)} calls, {failed} failed so far, {seconds:.0f} s")
        print(", ".join(f"{way} {count}" for way, count in ways.most_common()))
    return bool(failed)


if __name__ == "__main__":
    raise SystemExit(main())
