"""A provider rejects a parameter that the gateway added: the request is sent once more."""

from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from modelgates_server.core.errors import ProviderError, ProviderRefused
from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import Generation
from modelgates_server.core.pricing.catalog import Api
from tests.gateway import READ_PICO, WRITTEN_PICO, CallHarness, FakeClient, asking, take
from tests.upstream import Upstream, UpstreamReply, answer, chunk, plain, story, usage

COST_PICO = 3 * READ_PICO + 5 * WRITTEN_PICO
WARNING = "provider rejects a parameter that the gateway adds: sent without it from now on"


def refusal(name: str, status: int = 400) -> UpstreamReply:
    """An error in OpenAI's form."""
    error = {"message": f"Unknown parameter: '{name}'.", "param": name, "code": "unknown_parameter"}
    return plain({"error": error}, status)


def strict(*names: str, status: int = 400) -> Callable[[Any], UpstreamReply]:
    """An upstream that rejects some parameters, and generates nothing before."""

    def say(body: Any) -> UpstreamReply:
        for name in names:
            if name in body:
                return refusal(name, status)
        return UpstreamReply(story()) if body.get("stream") else plain(answer("hi", usage(3, 5)))

    return say


def limits(body: Any) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name.startswith("max_")}


def counted(harness: CallHarness) -> float | None:
    return harness.metered.metrics._registry.get_sample_value(
        "modelgates_provider_repairs_total", {"provider": "acme", "repair": "request_repeated"}
    )


async def check_charged_once(harness: CallHarness, *generations: Generation) -> None:
    account = await harness.account()
    assert account.usage_pico == sum(each.cost_pico for each in generations)
    assert account.held_pico == 0


@pytest.mark.parametrize("status", [400, 422])
async def test_stream_is_repeated_without_stream_options_when_they_are_rejected(
    harness: CallHarness, upstream: Upstream, status: int
) -> None:
    upstream.say = strict("stream_options", status=status)
    client = FakeClient()
    with capture_logs() as lines:
        generation = await harness.stream(asking(stream=True), client)
        again = await harness.stream(asking(stream=True))
    assert client.text.count("word0") == 1
    assert ["stream_options" in body for body in upstream.asked] == [True, False, False]
    assert (generation.state, generation.cost_pico) == (HoldState.CAPTURED, COST_PICO)
    first, second = generation.attempts
    assert (first.status, first.error) == (status, "provider_refused")
    assert (second.status, second.error) == (200, None)
    assert first.ended_at_ms is not None
    assert first.ended_at_ms <= second.started_at_ms
    assert len(again.attempts) == 1
    [warning] = [line for line in lines if line["event"] == WARNING]
    assert warning["parameter"] == "stream_options"
    assert warning["setting"] == "stream_options = false"
    assert counted(harness) == 1
    await check_charged_once(harness, generation, again)


@pytest.mark.parametrize(
    "limit", [{}, {"max_completion_tokens": 7}, {"max_tokens": None, "max_completion_tokens": 7}]
)
async def test_limit_gets_its_other_name_when_the_first_is_rejected(
    harness: CallHarness, upstream: Upstream, limit: dict[str, Any]
) -> None:
    upstream.say = strict("max_tokens")
    call = await harness.begin(asking(**limit))
    await take(call)
    generation = await harness.saved(call)
    first, second = map(limits, upstream.asked)
    assert second == {"max_completion_tokens": first["max_tokens"]}
    assert second["max_completion_tokens"] <= generation.completion_tokens_max
    await take(await harness.begin(asking(**limit)))
    assert limits(upstream.asked[2]) == second
    assert generation.cost_pico == COST_PICO


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("stream_options", {"stream": True, "stream_options": {"include_usage": True}}),
        ("max_tokens", {"max_tokens": 5}),
        ("temperature", {"temperature": 1}),
    ],
)
async def test_parameter_of_the_client_is_not_repaired(
    harness: CallHarness, upstream: Upstream, name: str, members: dict[str, Any]
) -> None:
    upstream.say = strict(name)
    call = await harness.begin(asking(**members))
    with pytest.raises(ProviderRefused):
        await call.open()
    await call.close(None)
    generation = await harness.saved(call)
    assert len(upstream.asked) == len(generation.attempts) == 1
    assert generation.state is HoldState.VOIDED
    await check_charged_once(harness)


async def test_second_rejection_is_final(harness: CallHarness, upstream: Upstream) -> None:
    upstream.say = strict("stream_options", "max_tokens")
    with capture_logs() as lines:
        call = await harness.begin(asking(stream=True))
        with pytest.raises(ProviderRefused):
            await call.open()
        await call.close(None)
    generation = await harness.saved(call)
    assert len(upstream.asked) == 2
    assert [each.status for each in generation.attempts] == [400, 400]
    assert generation.state is HoldState.VOIDED
    assert not [line for line in lines if line["event"] == WARNING]
    await check_charged_once(harness)


async def test_limit_is_never_removed_when_both_names_are_rejected(
    harness: CallHarness, upstream: Upstream
) -> None:
    upstream.say = strict("max_tokens", "max_completion_tokens")
    for _ in range(2):
        with pytest.raises(ProviderRefused):
            await take(await harness.begin(asking()))
    assert all(limits(body) for body in upstream.asked)


@pytest.mark.parametrize(
    "error",
    [
        plain(
            {"error": {"message": "max_tokens is too large: 90000.", "param": "max_tokens"}}, 400
        ),
        plain({"error": {"message": "Unknown parameter: 'max_tokens'."}}, 500),
        plain({"error": {"message": "Unknown parameter: 'messages[0].max_tokens'."}}, 400),
        UpstreamReply([b"x" * 100_000 + b"Unknown parameter: 'max_tokens'"], status=400),
        UpstreamReply([b""], status=400),
    ],
)
async def test_error_that_names_no_added_parameter_is_not_repaired(
    harness: CallHarness, upstream: Upstream, error: UpstreamReply
) -> None:
    upstream.say = lambda _: error
    with pytest.raises(ProviderError):
        await take(await harness.begin(asking()))
    assert len(upstream.asked) == 1


async def test_completions_keep_the_only_name_of_their_limit(
    harness: CallHarness, upstream: Upstream
) -> None:
    upstream.say = strict("max_tokens")
    request = asking(api=Api.COMPLETIONS, prompt="hello")
    with pytest.raises(ProviderRefused):
        await take(await harness.begin(request))
    assert len(upstream.asked) == 1


async def test_model_without_reasoning_is_called_without_it(
    harness: CallHarness, upstream: Upstream
) -> None:
    """OpenRouter ignores `reasoning` for such a model; a wish for less of it is never dropped."""
    upstream.say = strict("reasoning_effort")
    await take(await harness.begin(asking(reasoning={"effort": "high"})))
    assert ["reasoning_effort" in body for body in upstream.asked] == [True, False]
    for wish in ({"effort": "low"}, {"enabled": False}, {"max_tokens": 100}):
        with pytest.raises(ProviderRefused):
            await take(await harness.begin(asking(reasoning=wish)))


async def test_client_that_excludes_reasoning_gets_none_and_pays_for_it(
    harness: CallHarness, upstream: Upstream
) -> None:
    whole = answer("hi", usage(3, 5))
    whole["choices"][0]["message"] |= {"reasoning_content": "secret", "reasoning": "secret"}
    upstream.say = lambda _: plain(whole)
    body, generation = await harness.answer(asking(reasoning={"exclude": True}))
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "hi"}
    assert generation.cost_pico == COST_PICO
    thought = chunk("hi", reasoning="at the top")
    piece = thought.replace(b'"content"', b'"reasoning_content": "secret", "content"')
    upstream.say = lambda _: UpstreamReply([piece, *story()[-3:]])
    client = FakeClient()
    await harness.stream(asking(stream=True, include_reasoning=False), client)
    assert "secret" not in "".join(map(str, client.chunks))
    assert client.text.count("hi") == 1
