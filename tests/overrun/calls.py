"""Draws random calls: requests, models and their providers, prices, and budgets."""

import json
from decimal import Decimal
from random import Random
from typing import Any

import msgspec

from modelgates_server.core.keys import Key
from modelgates_server.core.ledger.records import Account
from modelgates_server.core.metering.sizing import PricedRequest
from modelgates_server.core.money import ENTRY_MAX_PICO
from modelgates_server.core.pricing.catalog import Api, CapParameter, Model
from modelgates_server.core.pricing.prices import Price, Tier
from modelgates_server.core.pricing.usage import Meter
from modelgates_server.dialects.openai_chat.request import parse_request
from tests.core import calls
from tests.overrun.model import Upstream
from tests.support import DOLLAR

HIDDEN_TOKENS = 750
"""The longest known hidden prompt of a provider: that of grok-4, published, 3,504 characters."""

TEMPLATE_TOKENS = 36
"""The most that a template adds to a message, in addition to role and text: Alpaca's headings take
33 tokens with a tokenizer without merges; special tokens take 3 to 8."""

TOOLS_TOKENS = 800
"""Anthropic documents up to 530 tokens for tools; open templates have up to 300."""

_ALPHABETS = ("abc xyz", "0123456789", "éüñ", "漢字かな", "😀🎉", '"\\\n\t<>&{}', "\x00\x1f\u2028")
_ROLES = ("system", "developer", "user", "assistant", "tool")


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A call that a client tries to make, and its provider.

    `style` is the formatting of its JSON. `is_rich`: the account, the key and the client's own
    limit allow the call's worst-case cost.
    """

    priced: PricedRequest
    body: dict[str, Any]
    style: dict[str, Any]
    upstream: Upstream
    account: Account
    key: Key
    max_cost_pico: int | None
    is_rich: bool


def draw_call(rng: Random, number: int) -> Call:
    """One call of many; its number makes the id of its price unique."""
    api = rng.choice((Api.CHAT, Api.CHAT, Api.CHAT, Api.COMPLETIONS, Api.EMBEDDINGS))
    body = {"model": calls.MODEL, **_BODIES[api](rng)}
    style: dict[str, Any] = {
        "ensure_ascii": rng.random() < 0.5,
        "indent": rng.choice((None, None, 1)),
        "separators": rng.choice(((",", ":"), (", ", ": "))),
    }
    model, upstream = _draw_model(rng)
    if api is Api.CHAT and rng.random() < 0.2:
        body["reasoning"] = rng.choice(
            ({"enabled": True}, {"effort": "high"}, {"max_tokens": rng.randint(1, 20_000)})
        )
        # A provider that does not count reasoning towards its limit.
        endpoint = msgspec.structs.replace(model.endpoint, profile="dashscope")
        model = msgspec.structs.replace(model, endpoint=endpoint)
    priced = PricedRequest(
        model=model,
        price=_draw_price(rng, number),
        request=parse_request(api, json.dumps(body, **style).encode()),
        markup_bp=rng.choice((0, 0, 550, 1, -2500, 1_000_000)),
    )
    money = _draw_money(priced, rng)
    return Call(priced=priced, body=body, style=style, upstream=upstream, **money)


def _draw_money(priced: PricedRequest, rng: Random) -> dict[str, Any]:
    """Budgets close to the worst-case cost of the call; some are unlimited."""
    whole = min(priced.quote(priced.output_tokens, lowered=False).amount_pico, ENTRY_MAX_PICO)
    left, limit, most = (
        min(whole * rng.choice((100, 100, 100, 101, 300, 99, 60, 20)) // 100, ENTRY_MAX_PICO)
        for _ in range(3)
    )
    used, held, debt = (rng.randint(0, DOLLAR) for _ in range(3))
    account = calls.account(
        left + used + held - debt, usage_pico=used, held_pico=held, min_balance_pico=-debt
    )
    key, max_cost_pico = calls.key(), None
    is_rich = left >= whole
    if rng.random() < 0.3:
        key = calls.key(limit_pico=limit + held + used, held_pico=held, usage_pico=used)
        is_rich &= limit >= whole
    if rng.random() < 0.3:
        max_cost_pico = most
        is_rich &= most >= whole
    return {"account": account, "key": key, "max_cost_pico": max_cost_pico, "is_rich": is_rich}


def _draw_model(rng: Random) -> tuple[Model, Upstream]:
    """A model as configured by the operator, and a provider that matches the configuration."""
    context = _log_uniform(rng, rng.choice((1, 2000)), 200_000)
    output = _log_uniform(rng, 1, 20_000)
    cap_parameter = rng.choice(tuple(CapParameter))
    media = rng.choice((None, None, 0, 85, 1500))
    model = calls.model(
        endpoint=calls.endpoint(cap_parameter),
        context_tokens=context,
        output_tokens=output,
        default_output_tokens=rng.choice((None, None, rng.randint(1, output))),
        media_tokens=media,
    )
    upstream = Upstream(
        cap_parameter=cap_parameter.value,
        context_tokens=context,
        # Operators may configure less than the provider allows.
        output_tokens=rng.choice((output, output * 3, 10**9)),
        media_tokens=media,
        hidden_tokens=rng.choice((0, 70, HIDDEN_TOKENS, HIDDEN_TOKENS)),
        template_tokens=rng.choice((3, 5, TEMPLATE_TOKENS, TEMPLATE_TOKENS)),
        tools_tokens=rng.choice((0, 150, TOOLS_TOKENS)),
        escapes_tools=rng.random() < 0.3,
        cuts_prompts=rng.random() < 0.5,
        checks_sum=rng.random() < 0.5,
        shifts_context=rng.random() < 0.2,
        refuses_other_cap=rng.random() < 0.5,
        usage_on_request=rng.random() < 0.5,
    )
    return model, upstream


def _draw_price(rng: Random, number: int) -> Price:
    """Up to three tiers, rising or falling; a meter has a rate in all of them or in none."""
    above = sorted(_log_uniform(rng, 1, 200_000) for _ in range(rng.choice((0, 0, 1, 2))))
    extra = [meter for meter in Meter if rng.random() < 0.4]
    meters = {Meter.INPUT, Meter.OUTPUT, *extra}
    if rng.random() < 0.7:
        meters.add(Meter.INPUT_AUDIO)  # without it, possible audio is rejected
    tiers = tuple(
        Tier(each, {meter: _draw_rate(rng) for meter in sorted(meters)})
        for each in sorted({0, *above})
    )
    endpoint_id = f"acme:{calls.UPSTREAM_MODEL}"
    return Price(f"price_{number}", endpoint_id, 0, "test", tiers)


def _draw_rate(rng: Random) -> Decimal:
    """A rate that is zero, up to a tenth of a cent, or far below a pico."""
    places = rng.choice((12, 12, 24))
    return Decimal(rng.choice((0, _log_uniform(rng, 1, 10**9), 1))).scaleb(-places)


def _draw_chat(rng: Random) -> dict[str, Any]:
    body: dict[str, Any] = {
        "messages": [_draw_message(rng) for _ in range(rng.choice((1, 1, 2, 5, 30)))]
    }
    if rng.random() < 0.1:  # hardly more than the template
        body["messages"] = [{"role": rng.choice(_ROLES), "content": "é"}] * 300
    if rng.random() < 0.2:
        body["tools"] = [_draw_tool(rng) for _ in range(rng.randint(0, 3))]
    if rng.random() < 0.1:
        schema = {"type": "object", "properties": {_text(rng): {"type": "string"}}}
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "x", "schema": schema},
        }
    if rng.random() < 0.05:
        body["documents"] = [{"title": _text(rng), "text": _text(rng)}]
    if rng.random() < 0.05:
        body["best_of"] = rng.randint(1, 4)
    return {**body, **_limits(rng)}


def _draw_message(rng: Random) -> dict[str, Any]:
    message: dict[str, Any] = {"role": rng.choice(_ROLES), "content": _text(rng)}
    chance = rng.random()
    if chance < 0.1:
        message["content"] = None
    elif chance < 0.2:
        message["content"] = [_draw_part(rng) for _ in range(rng.randint(1, 3))]
    if rng.random() < 0.1:
        message["name"] = _text(rng)
    if message["role"] == "tool":
        message["tool_call_id"] = _text(rng)
    if message["role"] == "assistant":
        message |= rng.choice(_assistant_members(rng))
    return message


def _assistant_members(rng: Random) -> tuple[dict[str, Any], ...]:
    """Fields of an earlier response: tool calls, reasoning, audio."""
    function = {"name": _text(rng), "arguments": _text(rng)}
    return (
        {},
        {},
        {"tool_calls": [{"id": "c1", "type": "function", "function": function}]},
        {"function_call": function},
        {"reasoning_content": _text(rng)},
        {"audio": {"id": "audio_1"}},
    )


def _draw_part(rng: Random) -> dict[str, Any]:
    if rng.random() < 0.6:
        return {"type": "text", "text": _text(rng)}
    url = rng.choice(("https://a/b.png", "data:image/png;base64," + "A" * rng.randint(0, 400)))
    return rng.choice(
        (
            {"type": "image_url", "image_url": {"url": url}},
            {"type": "image_url", "image_url": {"url": url}},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"type": "file", "file": {"file_id": "file-1"}},
            {"type": "video_url", "video_url": {"url": "https://a/b.mp4"}},
            {"type": "refusal", "refusal": _text(rng)},
        )
    )


def _draw_tool(rng: Random) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {_text(rng): {"type": "string"}}}
    function = {"name": "f", "description": _text(rng), "parameters": parameters}
    return {"type": "function", "function": function}


def _draw_completion(rng: Random) -> dict[str, Any]:
    body: dict[str, Any] = {"prompt": _prompts(rng), **_limits(rng)}
    if rng.random() < 0.3:
        body["best_of"] = rng.choice((None, 1, 2, 5))
    if rng.random() < 0.4:
        body["suffix"] = _text(rng)
    return body


def _draw_embedding(rng: Random) -> dict[str, Any]:
    return {"input": _prompts(rng)}


def _prompts(rng: Random) -> Any:
    ids = [[rng.randint(0, 200_000)] * rng.choice((1, 20, 300)) for _ in range(rng.randint(1, 5))]
    texts = [_text(rng) for _ in range(rng.choice((1, 5, 100)))]
    return rng.choice((texts[0], texts[0], texts, ids[0], ids))


def _limits(rng: Random) -> dict[str, Any]:
    """Parameters that limit the output and select streaming."""
    body: dict[str, Any] = {}
    for name in ("max_tokens", "max_completion_tokens"):
        if rng.random() < 0.3:
            body[name] = rng.choice((None, _log_uniform(rng, 1, 30_000)))
    if rng.random() < 0.3:
        body["n"] = rng.choice((None, 1, 2, 4))
    if rng.random() < 0.5:
        body["stream"] = rng.choice((None, False, True, True))
    if rng.random() < 0.2:
        body["stream_options"] = {"include_usage": rng.random() < 0.5}
    return body


def _text(rng: Random) -> str:
    """A text with characters of one to four bytes and some that JSON escapes; some are long."""
    alphabet = rng.choice(_ALPHABETS)
    length = rng.choice((0, 0, 1, 5, 40, 300))
    return "".join(rng.choices(alphabet, k=min(length, 40))) * max(1, length // 40)


def _log_uniform(rng: Random, least: int, most: int) -> int:
    drawn: float = least * (most / least) ** rng.random()
    return min(most, max(least, round(drawn)))


_BODIES = {
    Api.CHAT: _draw_chat,
    Api.COMPLETIONS: _draw_completion,
    Api.EMBEDDINGS: _draw_embedding,
}
