"""Calls for tests of the pure core: prices, models, requests, and the strategies that draw them."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import strategies as st

from modelgates_server.core.keys import Key
from modelgates_server.core.ledger.records import Account
from modelgates_server.core.metering.generations import Generation, Origin
from modelgates_server.core.metering.observed import ResponseMeter
from modelgates_server.core.metering.request import Api, InferenceRequest, parse_request
from modelgates_server.core.metering.sizing import HoldQuote, PricedRequest, quote_hold
from modelgates_server.core.metering.usage_reader import UsageRules
from modelgates_server.core.pricing.catalog import CapParameter, Endpoint, Model
from modelgates_server.core.pricing.prices import Price, Tier, read_rate
from modelgates_server.core.pricing.usage import Meter
from tests.support import DOLLAR, T0_MS, new_key

ACCOUNT = "user_" + "0" * 22
MODEL = "acme/m1"
UPSTREAM_MODEL = "m1-large"
HI = [{"role": "user", "content": "hi"}]
_KEY = new_key(ACCOUNT)[1]
KEY_HASH = _KEY.hash

replace = msgspec.structs.replace


def price(*tiers: tuple[int, Mapping[str, str]], **service_tiers: Mapping[str, str]) -> Price:
    read = [
        Tier(above, {Meter(meter): read_rate(rate) for meter, rate in each.items()}, service_tier)
        for above, each, service_tier in [
            *((above, each, None) for above, each in tiers),
            *((0, each, name) for name, each in service_tiers.items()),
        ]
    ]
    return Price("price_1", "acme:" + UPSTREAM_MODEL, 0, "test", tuple(read))


def flat(**each: str) -> Price:
    """One tier; what is left out of input and output is free."""
    return price((0, {"input": "0", "output": "0", **each}))


def model(**members: Any) -> Model:
    """A model of 1000 tokens of context, of which an answer may have 100."""
    defaults = {
        "name": "M1",
        "endpoint": endpoint(),
        "context_tokens": 1000,
        "output_tokens": 100,
        "created_at_s": 0,
        "apis": frozenset(Api),
    }
    return Model(id=MODEL, **{**defaults, **members})


def endpoint(cap_parameter: CapParameter = CapParameter.MAX_TOKENS) -> Endpoint:
    return Endpoint(
        id=f"acme:{UPSTREAM_MODEL}",
        provider="acme",
        upstream_model=UPSTREAM_MODEL,
        cap_parameter=cap_parameter,
    )


def body_of(api: Api = Api.CHAT, **members: Any) -> bytes:
    """A request's body; the least that is asked where a member is left out."""
    given: dict[Api, dict[str, Any]] = {
        Api.CHAT: {"messages": HI},
        Api.COMPLETIONS: {"prompt": "hi"},
        Api.EMBEDDINGS: {"input": "hi"},
    }
    return json.dumps({"model": MODEL, **given[api], **members}).encode()


def demand(api: Api = Api.CHAT, **members: Any) -> InferenceRequest:
    return parse_request(api, body_of(api, **members))


def account(credits_pico: int = 10 * DOLLAR, **members: Any) -> Account:
    return Account(
        id=ACCOUNT,
        name="test",
        created_at_ms=T0_MS,
        credits_pico=credits_pico,
        **{"min_balance_pico": 0, **members},
    )


def key(**members: Any) -> Key:
    return replace(_KEY, **members)


def ask(
    of: Price, what: InferenceRequest, *, at: Model | None = None, markup_bp: int = 0
) -> PricedRequest:
    return PricedRequest(at or model(), of, what, markup_bp)


def begun(sized: HoldQuote, asked: PricedRequest, **members: Any) -> Generation:
    """The generation of a call whose hold is placed."""
    defaults = {
        "id": "gen-1",
        "account_id": ACCOUNT,
        "key_hash": KEY_HASH,
        "api": asked.demand.api,
        "model": asked.model.id,
        "endpoint_id": asked.price.endpoint_id,
        "provider": "acme",
        "price_id": asked.price.id,
        "markup_bp": asked.markup_bp,
        "origin": Origin(request_id="req-1"),
        "created_at_ms": T0_MS,
        "hold_pico": sized.amount_pico,
        "prompt_tokens_max": sized.bounds.input_tokens,
        "completion_tokens_max": sized.bounds.output_tokens,
        "streamed": asked.demand.stream,
        "requested_service_tier": asked.demand.service_tier,
    }
    return Generation(**{**defaults, **members})


def held(asked: PricedRequest) -> Generation:
    """The generation of a call that a rich account makes."""
    return begun(quote_hold(asked, account=account(10**18), key=key(), at_ms=T0_MS), asked)


def seen(*payloads: Mapping[str, Any], rules: UsageRules | None = None) -> ResponseMeter:
    """What is known after these answers or chunks."""
    observed = ResponseMeter(rules=rules or UsageRules())
    for payload in payloads:
        observed.observe(json.dumps(payload).encode())
    return observed


def said(content: str | None = "ok", **members: Any) -> dict[str, Any]:
    """A plain answer."""
    choice = {"index": 0, "message": {"content": content}, "finish_reason": "stop"}
    return {"id": "up-1", "choices": [choice], **members}


# In picos: up to a tenth of a cent a token; the last are far below one.
rates = st.one_of(
    st.integers(1, 10**9).map(lambda pico: Decimal(pico).scaleb(-12)),
    st.integers(1, 10**9).map(lambda pico: Decimal(pico).scaleb(-12)),
    st.integers(0, 10**12).map(lambda fraction: Decimal(fraction).scaleb(-24)),
).map(lambda rate: read_rate(f"{rate:f}"))
markups = st.sampled_from([0, 550, 1, -2500, 1_000_000])


@st.composite
def paid(draw: st.DrawFn) -> Price:
    """Up to three tiers of up to three service tiers, with any classes beside input and output."""
    must = {Meter.INPUT: rates, Meter.OUTPUT: rates}
    may = {meter: rates for meter in Meter if meter not in must}
    # In every tier or in none, as audio has to be.
    there = {meter: may[meter] for meter in draw(st.sets(st.sampled_from(sorted(may))))}
    tiers = [
        Tier(above, draw(st.fixed_dictionaries({**must, **there})), service_tier)
        for service_tier in (None, *draw(st.sets(st.sampled_from(["flex", "priority"]))))
        for above in [0, *sorted(draw(st.sets(st.integers(1, 3000), max_size=2)))]
    ]
    return Price("price_1", f"acme:{UPSTREAM_MODEL}", 0, "test", tuple(tiers))


prices = st.one_of(paid(), paid(), paid(), st.just(flat()))

models = st.builds(
    model,
    endpoint=st.sampled_from(CapParameter).map(endpoint),
    context_tokens=st.integers(1, 10_000),
    output_tokens=st.integers(1, 10_000),
    media_tokens=st.none() | st.integers(0, 2000),
)

# Any text that JSON can hold, with characters of one to four bytes.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
caps = st.none() | st.integers(1, 20_000)
_counts = st.none() | st.integers(1, 4)
_token_ids = st.lists(st.integers(0, 200_000), min_size=1, max_size=20)

_text_parts = st.builds(lambda text: {"type": "text", "text": text}, texts)
_other_parts = st.sampled_from(
    [
        {"type": "image_url", "image_url": {"url": "https://a/b.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 99}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "video_url", "video_url": {"url": "https://a/b.mp4"}},
    ]
)
_contents = st.one_of(
    st.none(), texts, texts, st.lists(_text_parts | _other_parts, min_size=1, max_size=3)
)
_calls = st.builds(
    lambda name, arguments: [
        {"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}}
    ],
    texts,
    texts,
)
_messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": _contents},
    optional={"name": texts, "tool_calls": _calls},
)
_tools = st.builds(
    lambda name, about: {"type": "function", "function": {"name": name, "description": about}},
    texts,
    texts,
)
_may = {
    "max_tokens": caps,
    "max_completion_tokens": caps,
    "n": _counts,
    "stream": st.none() | st.booleans(),
    "temperature": st.none() | st.floats(0, 2),
    "stream_options": st.none() | st.just({"include_usage": False}),
    "x_unknown": st.lists(texts, max_size=2),
    "service_tier": st.sampled_from([None, "auto", "default", "on_demand", "flex", "priority"]),
}
_chats = st.fixed_dictionaries(
    {"messages": st.lists(_messages, min_size=1, max_size=3)},
    optional={**_may, "tools": st.lists(_tools, max_size=2), "response_format": st.just({"a": 1})},
)
_prompts = st.one_of(
    texts,
    st.lists(texts, min_size=1, max_size=3),
    _token_ids,
    st.lists(_token_ids, min_size=1, max_size=3),
)
_bodies: dict[Api, st.SearchStrategy[dict[str, Any]]] = {
    Api.CHAT: _chats,
    Api.COMPLETIONS: st.fixed_dictionaries(
        {"prompt": _prompts}, optional={**_may, "best_of": _counts}
    ),
    Api.EMBEDDINGS: st.fixed_dictionaries({"input": _prompts}, optional={"max_tokens": caps}),
}


@st.composite
def requests(draw: st.DrawFn) -> tuple[Api, bytes]:
    """An operation and a body for it, in one of the ways that JSON can be written."""
    api = draw(st.sampled_from(Api))
    members = {"model": MODEL, **draw(_bodies[api])}
    ascii_only, indent = draw(st.booleans()), draw(st.none() | st.just(1))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    text = json.dumps(members, ensure_ascii=ascii_only, indent=indent, separators=separators)
    return api, text.encode()


COUNT = st.integers(0, 10**6)
# What JSON can hold where a count should stand.
JUNK = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**30), 10**30),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    ),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
_numbers = COUNT | JUNK
_details = JUNK | st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("cached_tokens", "cache_write_tokens", "audio_tokens", "image_tokens", "reasoning_tokens"),
        _numbers,
    ),
)
REPORTS = JUNK | st.fixed_dictionaries(
    {},
    optional={
        "prompt_tokens": _numbers,
        "completion_tokens": _numbers,
        "total_tokens": _numbers,
        "prompt_cache_hit_tokens": _numbers,
        "prompt_tokens_details": _details,
        "completion_tokens_details": _details,
        "cost": JUNK,
    },
)
"""Usage as no honest provider reports it."""
