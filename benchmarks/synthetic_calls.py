"""Calls as a gateway records them, made up from a seed: to train dictionaries, and to measure."""

import random
import string
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import Attempt, Generation, Origin
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.core.pricing.prices import Price, Tier, charge_for, used_pico
from modelgates_server.core.pricing.usage import Meter, Usage

T0_MS = 1_795_000_000_000
_OWNERS = 40
_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_HEX = string.digits + "abcdef"

Report = Callable[[Usage], dict[str, Any]]


def _openai(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _deepseek(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
        "prompt_cache_hit_tokens": usage.cache_read,
        "prompt_cache_miss_tokens": usage.input,
    }


def _vllm(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "completion_tokens": usage.completion_tokens,
        "prompt_tokens_details": None,
    }


def _groq(usage: Usage) -> dict[str, Any]:
    total_s = usage.completion_tokens / 412.7
    return {
        "queue_time": 0.018512,
        "prompt_tokens": usage.prompt_tokens,
        "prompt_time": round(usage.prompt_tokens / 9731.1, 9),
        "completion_tokens": usage.completion_tokens,
        "completion_time": round(total_s, 9),
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "total_time": round(total_s + 0.02, 9),
    }


class _Offer(NamedTuple):
    """A model at a provider, with the rates of a million tokens: input, cached input, output."""

    model: str
    provider: str
    upstream: str
    rates: tuple[str, str, str]
    report: Report = _openai
    served: str | None = None
    reasons: bool = False


_OFFERS = (
    _Offer("openai/gpt-4o-mini", "openai", "gpt-4o-mini", ("0.15", "0.075", "0.6"),
           served="gpt-4o-mini-2024-07-18"),
    _Offer("openai/gpt-5-mini", "openai", "gpt-5-mini", ("0.25", "0.025", "2"),
           served="gpt-5-mini-2025-08-07", reasons=True),
    _Offer("anthropic/claude-sonnet-4.5", "anthropic", "claude-sonnet-4-5", ("3", "0.3", "15"),
           served="claude-sonnet-4-5-20250929"),
    _Offer("google/gemini-2.5-flash", "google", "gemini-2.5-flash", ("0.3", "0.075", "2.5"),
           report=_vllm, reasons=True),
    _Offer("deepseek/deepseek-chat", "deepseek", "deepseek-chat", ("0.28", "0.028", "0.42"),
           report=_deepseek),
    _Offer("meta-llama/llama-3.3-70b-instruct", "groq", "llama-3.3-70b-versatile",
           ("0.59", "0.59", "0.79"), report=_groq),
    _Offer("mistralai/mistral-small", "mistral", "mistral-small-latest", ("0.1", "0.1", "0.3"),
           report=_vllm),
    _Offer("qwen/qwen3-32b", "vllm", "Qwen/Qwen3-32B", ("0.1", "0.1", "0.3"), report=_vllm),
)  # fmt: skip

_AGENTS = (
    "OpenAI/Python 2.8.1", "AsyncOpenAI/Python 2.9.0", "OpenAI/JS 6.9.1", "python-requests/2.32.5",
    "openrouter-python/0.1.2", "ai-sdk/openai-compatible/1.0.27 ai-sdk/provider-utils/3.0.17",
    "curl/8.14.1", "node", "Go-http-client/2.0", "Mozilla/5.0 (X11; Linux x86_64)",
)  # fmt: skip
_APPS = (
    ("Open WebUI", "https://openwebui.com/"), ("Cline", "https://cline.bot"),
    ("LibreChat", "https://librechat.ai"), ("Support desk", "https://support.example.com/"),
    ("Nightly evaluation", "http://localhost:3000"),
)  # fmt: skip


class Ended(NamedTuple):
    """A call as it is recorded at its start, and at its end."""

    opened: Generation
    ended: Generation


def calls(seed: int, owners: Sequence[tuple[str, str]] = ()) -> Iterator[Ended]:
    """Returns calls without end: the same seed gives the same calls.

    `owners` are the accounts that make them, each with the hash of its key; otherwise made up, too.
    """
    dice = random.Random(seed)
    owners = owners or [
        (f"user_{_text(dice, _BASE62, 22)}", _text(dice, _HEX, 64)) for _ in range(_OWNERS)
    ]
    at_ms = T0_MS + seed * 86_400_000
    while True:
        at_ms += dice.randint(5, 900)
        yield _call(dice, dice.choice(owners), dice.choice(_OFFERS), at_ms)


def _call(dice: random.Random, owner: tuple[str, str], offer: _Offer, at_ms: int) -> Ended:
    price, markup_bp = _price(offer), dice.choice((0, 0, 500, 1000))
    usage = _usage(dice, offer)
    keyed = dice.random() < 0.25
    hold_pico = round(usage.prompt_tokens * 3e6) + 40_000 * dice.randint(10**5, 10**6)
    opened = Generation(
        id=f"gen-{at_ms // 1000}-{_text(dice, _BASE62, 21)}",
        account_id=owner[0],
        key_hash=owner[1],
        api=dice.choice((*[Api.CHAT] * 9, Api.EMBEDDINGS)),
        model=offer.model,
        endpoint_id=f"{offer.provider}:{offer.upstream}",
        provider=offer.provider,
        price_id=price.id,
        markup_bp=markup_bp,
        origin=_origin(dice),
        created_at_ms=at_ms,
        hold_pico=hold_pico,
        prompt_tokens_max=usage.prompt_tokens + dice.randint(20, 900),
        completion_tokens_max=dice.choice((256, 1024, 4096, 16384)),
        streamed=dice.random() < 0.6,
        idempotency=_text(dice, _HEX, 64) if keyed else None,
        request_digest=_text(dice, _HEX, 64) if keyed else None,
    )
    return Ended(opened, _ended(dice, opened, offer, price, usage))


def _ended(
    dice: random.Random, opened: Generation, offer: _Offer, price: Price, usage: Usage
) -> Generation:
    first_ms = opened.created_at_ms + dice.randint(90, 2500)
    ended_ms = first_ms + usage.completion_tokens * dice.randint(4, 20)
    attempt = Attempt(
        provider=offer.provider,
        upstream_model=offer.upstream,
        started_at_ms=opened.created_at_ms + dice.randint(0, 3),
        first_byte_at_ms=first_ms,
        ended_at_ms=ended_ms,
        status=200,
        upstream_id=f"chatcmpl-{_text(dice, _BASE62, 29)}",
    )
    if dice.random() < 0.03:
        failed = msgspec.structs.replace(attempt, status=503, error="provider_unavailable")
        return msgspec.structs.replace(
            opened,
            state=HoldState.VOIDED,
            ended_at_ms=ended_ms,
            error="provider_unavailable",
            attempts=(msgspec.structs.replace(failed, upstream_id=None),),
        )
    charge = charge_for(price, usage, opened.markup_bp, opened.hold_pico)
    finish = dice.choice(("stop", "stop", "stop", "length", "tool_calls"))
    return msgspec.structs.replace(
        opened,
        state=HoldState.CAPTURED,
        ended_at_ms=ended_ms + dice.randint(0, 4),
        cost_pico=charge.amount_pico,
        overrun_pico=used_pico(charge) - charge.amount_pico,
        lines=charge.lines,
        usage=usage,
        reported=offer.report(usage),
        finish_reason=finish,
        native_finish_reason=finish,
        served_model=offer.served,
        service_tier="default" if offer.provider == "openai" else None,
        attempts=(attempt,),
    )


def _usage(dice: random.Random, offer: _Offer) -> Usage:
    prompt, output = dice.randint(8, 9000), dice.randint(1, 1800)
    cached = prompt // 128 * 64 if dice.random() < 0.4 else 0
    thought = output // 2 if offer.reasons else 0
    return Usage(
        input=prompt - cached, cache_read=cached, output=output - thought, reasoning=thought
    )


def _origin(dice: random.Random) -> Origin:
    title, referer = dice.choice((*_APPS, (None, None), (None, None), (None, None)))
    return Origin(
        request_id=f"req_{_text(dice, _HEX, 12)}_{dice.randint(1, 10**6):x}",
        user=f"user-{dice.randint(1, 5000)}" if dice.random() < 0.3 else None,
        session_id=_text(dice, _HEX, 32) if dice.random() < 0.1 else None,
        title=title,
        referer=referer,
        user_agent=dice.choice(_AGENTS),
    )


def _price(offer: _Offer) -> Price:
    given = random.Random(offer.model)
    rates = dict(zip((Meter.INPUT, Meter.CACHE_READ, Meter.OUTPUT), offer.rates, strict=True))
    million = {meter: Decimal(rate).scaleb(-6) for meter, rate in rates.items()}
    endpoint_id = f"{offer.provider}:{offer.upstream}"
    return Price(f"price_{_text(given, _HEX, 16)}", endpoint_id, 0, "seed", (Tier(0, million),))


def _text(dice: random.Random, alphabet: str, length: int) -> str:
    return "".join(dice.choices(alphabet, k=length))
