"""Sends drawn calls to a model of a provider and counts overruns: `make overrun`.

Each call is parsed, gets its hold, and is sent to the provider with the body that the gateway would
send. The usage that the provider reports is settled and posted to the ledger. No call may use more
than its hold, and no call that can be paid for may be rejected. The seed and the call's number
determine the call: repeat a failed one with `python -m tests.overrun.run --seed 0 --only 4711`.
"""

import argparse
import json
import time
from collections import Counter
from fractions import Fraction
from random import Random

import msgspec

from modelgates_server.core.errors import (
    GatewayError,
    InsufficientCredits,
    InvalidInput,
    KeyLimitExceeded,
    MaxCostExceeded,
)
from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.metering.settlement import settle
from modelgates_server.core.metering.sizing import HoldQuote, quote_hold
from modelgates_server.core.pricing.prices import BASIS_POINTS, Price
from modelgates_server.core.pricing.usage import Meter, Usage
from modelgates_server.dialects.openai_chat.meter import ChatResponseMeter
from modelgates_server.dialects.openai_chat.request import parse_request
from modelgates_server.dialects.openai_chat.upstream import upstream_body
from tests.core import calls
from tests.core.pure import PureLedger
from tests.overrun.answers import observe
from tests.overrun.calls import Call, draw_call
from tests.overrun.model import Refusal
from tests.support import DOLLAR, T0_MS, capture, place, void

_LIMITS = ("max_tokens", "max_completion_tokens")
_UNPAID = (InsufficientCredits, KeyLimitExceeded, MaxCostExceeded)


replace = msgspec.structs.replace


def attempt(seed: int, number: int) -> str:
    """Make one call and check its invariants; returns the outcome."""
    rng = Random(f"{seed}:{number}")
    return run_call(draw_call(rng, number), rng)


def run_call(call: Call, rng: Random) -> str:
    """Run one call, from its hold to its entry in the ledger."""
    quote = _quote_or_outcome(call)
    if isinstance(quote, str):
        return quote
    most = call.max_cost_pico
    assert most is None or quote.amount_pico <= most, "the hold is above the client's own limit"
    ledger = PureLedger()
    ledger.accounts[call.account.id] = call.account
    ledger.keys[call.key.hash] = call.key
    ledger.run(place(call.account.id, call.key.hash, "gen-1", quote.amount_pico))
    started = calls.open_generation(quote, call.priced)
    api, endpoint = call.priced.request.api, call.priced.model.endpoint
    sent = json.loads(
        upstream_body(
            call.priced.request,
            endpoint,
            cap_tokens=quote.cap_tokens,
        )
    )
    if call.upstream.usage_on_request and sent.get("stream"):
        assert sent["stream_options"]["include_usage"], "usage would not be reported"
    try:
        spent = call.upstream.spend(api, sent, rng)
    except Refusal as refusal:
        is_gateway_cap = refusal.over_cap and not any(call.body.get(name) for name in _LIMITS)
        assert not (is_gateway_cap and call.is_rich), "the provider rejects the gateway's limit"
        _end(call, started, ledger, ChatResponseMeter(), None)
        return "rejected by the provider"
    read, written = spent.text + spent.images + spent.audio, sum(spent.written)
    assert read <= quote.bounds.input_tokens, (
        f"{read} input tokens, but the hold covers {quote.bounds}"
    )
    assert written <= quote.bounds.output_tokens, (
        f"{written} output tokens, but the hold covers {quote.bounds}"
    )
    meter, usage = observe(api, sent, spent, rng)
    _end(call, started, ledger, meter, usage)
    is_capped = any(sent.get(name) for name in _LIMITS)
    return "answered" if is_capped else "answered without a limit"


def _quote(call: Call) -> HoldQuote:
    return quote_hold(
        call.priced,
        account=call.account,
        key=call.key,
        at_ms=T0_MS,
        max_cost_pico=call.max_cost_pico,
    )


def _quote_or_outcome(call: Call) -> HoldQuote | str:
    """The hold of a call, or why it has none; a wrong rejection is raised."""
    try:
        return _quote(call)
    except _UNPAID as refusal:
        if call.is_rich:
            raise
        _check_affordable(call, refusal)
        return "unpaid"
    except InvalidInput:
        if not _has_unpriced_audio(call):
            raise
        return "unpriced"


def _check_affordable(call: Call, refusal: GatewayError) -> None:
    """Check that the call is accepted with the limit that the rejection names as affordable."""
    shortfall = getattr(refusal, "shortfall", None)
    if shortfall is None or not shortfall.affordable_tokens:
        return
    lower = {
        name: min(call.body[name], shortfall.affordable_tokens)
        for name in _LIMITS
        if call.body.get(name)
    }
    body = json.dumps({**call.body, **lower}, **call.style).encode()
    request = parse_request(call.priced.request.api, body)
    _quote(replace(call, priced=replace(call.priced, request=request)))


def _has_unpriced_audio(call: Call) -> bool:
    """Whether a call may send audio to a model that has no price for audio."""
    has_price = Meter.INPUT_AUDIO in call.priced.price.tiers[0].rates
    return not has_price and any(
        message.get("audio") or isinstance(message["content"], list)
        for message in call.body.get("messages", ())
    )


def _end(
    call: Call,
    started: Generation,
    ledger: PureLedger,
    meter: ChatResponseMeter,
    usage: Usage | None,
) -> None:
    """Settle a call and close its hold; `usage` is the true one, None if it was rejected."""
    ended = settle(
        started,
        call.priced.price,
        call.priced.request,
        meter,
        failure=None if usage else "provider_refused",
        at_ms=T0_MS + 1,
    )
    assert ended.overrun_pico == 0, f"overrun of {ended.overrun_pico} above {ended.hold_pico}"
    assert 0 <= ended.cost_pico <= ended.hold_pico
    if usage is None:
        assert ended.state is HoldState.VOIDED
        ledger.run(void(call.account.id, call.key.hash, "gen-1"))
    else:
        assert ended.state is HoldState.CAPTURED
        assert ended.usage == usage, f"{usage} was read as {ended.usage}: {meter.reported}"
        assert ended.cost_pico == _cost_pico(call.priced.price, usage, call.priced.markup_bp)
        ledger.run(capture(call.account.id, call.key.hash, "gen-1", ended.cost_pico))
    after, key = ledger.accounts[call.account.id], ledger.keys[call.key.hash]
    assert after.usage_pico == call.account.usage_pico + ended.cost_pico
    assert key.usage_pico == call.key.usage_pico + ended.cost_pico
    assert (after.held_pico, key.held_pico) == (call.account.held_pico, call.key.held_pico)
    assert after.available_pico >= after.min_balance_pico


def _cost_pico(price: Price, usage: Usage, markup_bp: int) -> int:
    """The charge, calculated with fractions and rounded once."""
    tier = [tier for tier in price.tiers if tier.above == 0 or usage.prompt_tokens > tier.above][-1]
    exact = sum(
        (Fraction(tier.rate(meter)) * count for meter, count in usage.quantities()),
        Fraction(tier.rates.get(Meter.REQUEST, 0)),
    )
    return round(exact * Fraction(BASIS_POINTS + markup_bp, BASIS_POINTS) * DOLLAR)


def main() -> int:
    """Count the outcomes of the calls; returns 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="run only the call with this number")
    options = parser.parse_args()
    if options.only is not None:
        print(attempt(options.seed, options.only))
        return 0
    began, ways, failed = time.monotonic(), Counter[str](), 0
    for number in range(options.calls):
        try:
            ways[attempt(options.seed, number)] += 1
        except (AssertionError, GatewayError) as problem:
            failed += 1
            if failed <= 10:
                print(f"call {number}: {type(problem).__name__} {problem}")
    seconds = time.monotonic() - began
    print(f"{options.calls} calls, {failed} failed, {seconds:.0f} s")
    print(", ".join(f"{way} {count}" for way, count in ways.most_common()))
    return bool(failed)


if __name__ == "__main__":
    raise SystemExit(main())
