import json
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelgates_server.core.errors import (
    InsufficientCredits,
    InvalidInput,
    KeyLimitExceeded,
    MaxCostExceeded,
)
from modelgates_server.core.ledger.records import Account, HoldState
from modelgates_server.core.metering.generations import Generation, uncharged_service_tier
from modelgates_server.core.metering.meter import Ending, FinishReason
from modelgates_server.core.metering.settlement import checkpoint, lost, settle
from modelgates_server.core.metering.sizing import PricedRequest, quote_hold
from modelgates_server.core.money import ENTRY_MAX_PICO
from modelgates_server.core.pricing.catalog import Api, Model
from modelgates_server.core.pricing.prices import BASIS_POINTS, Price, dollars, total_of
from modelgates_server.core.pricing.service_tiers import service_tier_to_send
from modelgates_server.core.pricing.usage import Meter
from modelgates_server.dialects.openai_chat.meter import ChatResponseMeter
from modelgates_server.dialects.openai_chat.output_meter import OutputMeter
from modelgates_server.dialects.openai_chat.request import parse_request
from modelgates_server.dialects.openai_chat.upstream import upstream_body
from tests.core import calls
from tests.core.pure import PureLedger
from tests.dialects.openai_chat import chat
from tests.support import DOLLAR, HOLD_MS, T0_MS, capture, expire, place, void

TEMPLATE_TOKENS = 8
HIDDEN_PROMPT_TOKENS = 200
TOOLS_TOKENS = 500


class Placed(NamedTuple):
    """A call with its hold, the request for the provider, and the ledger."""

    priced: PricedRequest
    generation: Generation
    upstream: dict[str, Any]
    ledger: PureLedger

    @property
    def account(self) -> Account:
        return self.ledger.accounts[calls.ACCOUNT]


@st.composite
def placed(draw: st.DrawFn) -> Placed | None:
    """A call of an account with just about enough credits; None if it is rejected."""
    api, body = draw(chat.requests())
    at = draw(calls.models)
    priced = calls.priced(
        draw(calls.prices), parse_request(api, body), at=at, markup_bp=draw(calls.markups)
    )
    try:
        whole = priced.quote(priced.output_tokens, lowered=False)
    except InvalidInput:
        return None
    whole_pico = min(whole.amount_pico, ENTRY_MAX_PICO)
    budgets = st.sampled_from([100, 100, 150, 200, 99, 80, 50]).map(
        lambda each: whole_pico * each // 100
    )
    left, limit, most = (min(draw(budgets), ENTRY_MAX_PICO) for _ in range(3))
    left -= draw(st.sampled_from([0, 0, 0, 1]))
    floor, used, held = (draw(st.integers(0, DOLLAR)) for _ in range(3))
    account = calls.account(
        left + used + held - floor, usage_pico=used, held_pico=held, min_balance_pico=-floor
    )
    key = calls.key()
    if draw(st.booleans()):
        key = calls.key(limit_pico=limit + held + used, held_pico=held, usage_pico=used)
    ledger = PureLedger()
    ledger.accounts[account.id], ledger.keys[key.hash] = account, key
    try:
        quote = quote_hold(
            priced,
            account=account,
            key=key,
            at_ms=T0_MS,
            max_cost_pico=most if draw(st.booleans()) else None,
        )
        ledger.run(place(account.id, key.hash, "gen-1", quote.amount_pico))
    except (InsufficientCredits, KeyLimitExceeded, MaxCostExceeded, InvalidInput):
        return None
    sent = upstream_body(
        priced.request,
        at.endpoint,
        cap_tokens=quote.cap_tokens,
        service_tier=service_tier_to_send(priced.price, priced.request.service_tier, "default"),
    )
    return Placed(priced, calls.open_generation(quote, priced), json.loads(sent), ledger)


def most_read(api: Api, sent: dict[str, Any], at: Model) -> int:
    """The tokens that a byte-level tokenizer without merges finds in the provider's request."""
    if api is not Api.CHAT:
        given = sent["input" if api is Api.EMBEDDINGS else "prompt"]
        is_single = isinstance(given, str) or isinstance(given[0], int)
        each = [given] if is_single else given
        lengths = [len(x.encode() if isinstance(x, str) else x) + 2 for x in each]
        return sum(min(length, at.context_tokens) for length in lengths)
    tokens = HIDDEN_PROMPT_TOKENS
    for message in sent["messages"]:
        tokens += TEMPLATE_TOKENS + len(message.get("name", "").encode())
        tokens += len(compact(message.get("tool_calls", "")))
        content = message["content"] or ""
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        tokens += sum(most_in(part, at) for part in parts)
    if sent.get("tools"):
        tokens += TOOLS_TOKENS + len(compact(sent["tools"]))
    return min(tokens, at.context_tokens)


def most_in(part: dict[str, Any], at: Model) -> int:
    if part["type"] == "text":
        return len(part["text"].encode())
    if part["type"] in {"image_url", "input_audio"} and at.media_tokens is not None:
        return at.media_tokens
    return at.context_tokens


def compact(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def most_written(api: Api, sent: dict[str, Any], at: Model) -> int:
    """The most output tokens of a provider that respects the one cap it reads."""
    if api is Api.EMBEDDINGS:
        return 0
    read = "max_tokens" if api is Api.COMPLETIONS else at.endpoint.cap_parameter
    each = min(sent.get(read) or at.output_tokens, at.output_tokens, at.context_tokens)
    prompt = sent.get("prompt", "")
    several = isinstance(prompt, list) and not isinstance(prompt[0], int)
    choices = max(sent.get("n") or 1, sent.get("best_of") or 1)
    return each * choices * (len(prompt) if several else 1)


def split(draw: st.DrawFn, whole: int, count: int) -> list[int]:
    cuts = sorted(draw(st.lists(st.integers(0, whole), min_size=count - 1, max_size=count - 1)))
    return [high - low for low, high in pairwise([0, *cuts, whole])]


@st.composite
def honest(draw: st.DrawFn, call: Placed) -> dict[str, Any]:
    """A report of the call in one of the ways in which providers count."""
    api, at = call.priced.request.api, call.priced.model
    most = most_read(api, call.upstream, at), most_written(api, call.upstream, at)
    # No prompt is empty, so a report of zero is not trusted.
    prompt, completion = (
        draw(st.just(bound) | st.integers(least, bound))
        for least, bound in zip((1, 0), most, strict=True)
    )
    if api is Api.EMBEDDINGS:
        alone = draw(st.booleans())
        return {"total_tokens": prompt} if alone else {"prompt_tokens": prompt, "total_tokens": 0}
    _, cached, written, audio, image = split(draw, prompt, 5)
    _, reasoning, spoken, drawn = split(draw, completion, 4)
    details: dict[str, int] = {"cached_tokens": cached, "cache_write_tokens": written}
    if call.priced.request.media:
        details |= {"audio_tokens": audio, "image_tokens": image}
    # Gemini and xAI leave reasoning out of the completion. If it happens to equal a cache count,
    # the rest of the total would be read as that count.
    is_distinct = reasoning not in (cached, written, cached + written)
    hidden = reasoning if is_distinct and draw(st.booleans()) else 0
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion - hidden,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": details,
        "completion_tokens_details": {
            "reasoning_tokens": reasoning,
            "audio_tokens": spoken,
            "image_tokens": drawn,
        },
    }


def ended(call: Placed, meter: ChatResponseMeter, failure: str | None = None) -> Generation:
    """Settle the call, close its hold, and check what must be true whatever was reported."""
    before = call.account
    generation = settle(
        call.generation,
        call.priced.price,
        call.priced.request,
        meter,
        failure=failure,
        at_ms=T0_MS + 1,
    )
    assert 0 <= generation.cost_pico <= generation.hold_pico
    assert generation.overrun_pico >= 0
    assert total_of(generation.lines) == dollars(generation.cost_pico)
    record = msgspec.json.encode(generation)
    assert msgspec.json.decode(record, type=Generation) == generation
    used_pico = generation.cost_pico + generation.overrun_pico
    if generation.state is HoldState.VOIDED:
        assert used_pico == 0
        call.ledger.run(void(calls.ACCOUNT, calls.KEY_HASH, "gen-1"))
    else:
        assert generation.usage is not None
        assert used_pico == by_hand(call.priced.price, generation)
        call.ledger.run(capture(calls.ACCOUNT, calls.KEY_HASH, "gen-1", used_pico))
    after = call.account
    assert after.credits_pico == before.credits_pico
    assert after.usage_pico == before.usage_pico + generation.cost_pico
    assert after.held_pico == before.held_pico - generation.hold_pico
    assert after.available_pico >= after.min_balance_pico
    return generation


def by_hand(price: Price, generation: Generation) -> int:
    """The price of the usage in picos, rounded once and limited to what an entry can have."""
    usage, markup_bp = generation.usage, generation.markup_bp
    assert usage is not None
    tier = [
        tier
        for tier in price.tiers
        if tier.service_tier == generation.charged_service_tier
        and (tier.above == 0 or usage.prompt_tokens > tier.above)
    ][-1]
    exact = sum(
        (Fraction(tier.rate(meter)) * count for meter, count in usage.quantities()), Fraction()
    )
    exact += Fraction(tier.rates.get(Meter.REQUEST, 0))
    exact *= Fraction(BASIS_POINTS + markup_bp, BASIS_POINTS) * DOLLAR
    return min(round(exact), ENTRY_MAX_PICO)


def may_serve(call: Placed) -> dict[str | None, str | None]:
    """The words that a provider may report as the served tier, and the tier charged for each.

    It serves the tier that was sent or the standard tier; if it may choose, any of them.
    """
    sent, price = call.upstream.get("service_tier"), call.priced.price
    named = price.service_tiers if sent in (None, "auto") else {sent} & {*price.service_tiers}
    silent = sent if sent in named else None
    charged: dict[str | None, str | None] = dict.fromkeys([None, "", "auto"], silent)
    charged.update(dict.fromkeys(["default", "standard", "on_demand", "Default"]))
    charged.update((tier, tier) for tier in named)
    return charged


@pytest.mark.slow
@given(placed(), st.data())
@settings(max_examples=400)
def test_honest_report_never_exceeds_the_hold(call: Placed | None, data: st.DataObject) -> None:
    if call is None:
        return
    report = data.draw(honest(call))
    # A zero is accepted if there is no text.
    wrote = report.get("total_tokens", 0) > report.get("prompt_tokens", 0)
    text = "ok" if wrote else ""
    charged_by_word = may_serve(call)
    served = data.draw(st.sampled_from([*charged_by_word]))
    if data.draw(st.booleans()):
        answer = chat.answer(text, usage={**report, "service_tier": served})
    else:
        answer = chat.answer(text, usage=report, service_tier=served)
    generation = ended(call, chat.metered(answer))
    assert generation.charged_service_tier == charged_by_word[served]
    assert uncharged_service_tier(generation) is None
    assert generation.state is HoldState.CAPTURED
    assert generation.overrun_pico == 0
    assert generation.usage is not None
    assert not generation.usage.estimated


def chunk(form: str, report: Any, tier: Any) -> dict[str, Any]:
    """A chunk with usage in one of the places that providers use."""
    choice = {"index": 0, "delta": {"content": "so"}, "finish_reason": None}
    return {
        "alone": {"choices": [], "usage": report},
        "with a choice": {"choices": [choice], "usage": report},
        "in a choice": {"choices": [{**choice, "usage": report}]},
        "groq": {"choices": [], "x_groq": {"usage": report}},
        "silent": {"choices": [], "usage": None, "note": report},
    }[form] | {"service_tier": tier}


tiers = chat.JUNK | st.sampled_from(["flex", "priority", "Priority", "batch", "default", "auto"])
chunks = st.lists(
    st.builds(
        chunk,
        st.sampled_from(["alone", "with a choice", "in a choice", "groq", "silent"]),
        chat.REPORTS,
        tiers,
    ),
    max_size=4,
)


@pytest.mark.slow
@given(placed(), chunks, st.sampled_from([None, None, "provider_unavailable"]))
@settings(max_examples=400)
def test_dishonest_report_never_overdraws_an_account_or_creates_credits(
    call: Placed | None, stream: list[dict[str, Any]], failure: str | None
) -> None:
    if call is None:
        return
    generation = ended(call, chat.metered(*stream), failure)
    if call.generation.hold_pico == 0:
        assert generation.cost_pico == 0


@given(placed(), chunks)
def test_call_of_a_killed_process_is_charged_at_most_its_hold(
    call: Placed | None, stream: list[dict[str, Any]]
) -> None:
    if call is None:
        return
    meter = chat.metered(*stream)
    priced = call.priced
    generation = lost(
        checkpoint(call.generation, priced.price, priced.request, meter), T0_MS + HOLD_MS
    )
    assert generation.state is HoldState.EXPIRED
    assert 0 <= generation.cost_pico <= generation.hold_pico
    assert generation.overrun_pico == 0
    assert total_of(generation.lines) == dollars(generation.cost_pico)
    if meter.output.text_bytes == 0:
        assert generation.cost_pico == 0
    before = call.account
    call.ledger.run(
        expire(calls.ACCOUNT, calls.KEY_HASH, "gen-1", T0_MS + HOLD_MS, generation.cost_pico)
    )
    assert call.account.balance_pico == before.balance_pico - generation.cost_pico
    assert call.account.available_pico >= call.account.min_balance_pico


@given(placed(), st.integers(0, 10**7))
def test_output_counted_locally_is_recorded_and_charged_up_to_the_hold(
    call: Placed | None, output_bytes: int
) -> None:
    if call is None or call.priced.request.api is Api.EMBEDDINGS:
        return
    meter = ChatResponseMeter(
        output=OutputMeter(text_bytes=output_bytes), endings={0: Ending("stop", FinishReason.STOP)}
    )
    generation = ended(call, meter)
    assert generation.usage is not None
    assert generation.usage.estimated
    assert generation.usage.output == -(-output_bytes // 4)
    assert generation.usage.prompt_tokens <= generation.prompt_tokens_max
