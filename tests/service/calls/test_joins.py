"""Who may join which call: the rule, and the calls of a process under it."""

import pytest

from modelgates_server.core.pricing.catalog import Api
from modelgates_server.service.calls.call_request import CallRequest, retry_digest
from modelgates_server.service.calls.joins import JOINABLE_MS, Verdict, verdict_on_retry
from tests.gateway import asking

LEFT = {"gone_ms": 0, "is_served": False, "is_running": True, "is_kept": True}


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        ({}, Verdict.JOINS),
        ({"is_running": False}, Verdict.JOINS),
        ({"gone_ms": JOINABLE_MS}, Verdict.JOINS),
        ({"gone_ms": JOINABLE_MS + 1}, Verdict.UNRELATED),
        ({"gone_ms": None}, Verdict.UNRELATED),
        ({"is_served": True}, Verdict.UNRELATED),
        ({"is_kept": False}, Verdict.WAITS),
        ({"is_kept": False, "is_running": False}, Verdict.UNRELATED),
        ({"is_kept": False, "gone_ms": None}, Verdict.UNRELATED),
    ],
)
def test_retry_joins_only_calls_whose_clients_left_without_the_response(
    state: dict[str, object], verdict: Verdict
) -> None:
    assert verdict_on_retry(**{**LEFT, **state}) is verdict  # type: ignore[arg-type]


BETA = (b"anthropic-beta", b"one")
DIFFERENT: dict[str, CallRequest] = {
    "text": asking("other"),
    "parameter": asking(temperature=1),
    "API": asking(api=Api.EMBEDDINGS),
    "maximum cost": asking(max_cost_pico=1),
    "header": asking(shaping_headers=(BETA,)),
    "two headers": asking(shaping_headers=(BETA, (b"anthropic-version", b"1"))),
    "shifted header": asking(shaping_headers=((b"anthropic-betao", b"ne"),)),
}


def test_digest_differs_with_everything_that_shapes_the_response() -> None:
    digests = {retry_digest(request) for request in (asking(), *DIFFERENT.values())}
    assert len(digests) == 1 + len(DIFFERENT)


def test_digest_ignores_the_order_of_headers() -> None:
    other = (b"anthropic-version", b"1")
    one, two = asking(shaping_headers=(BETA, other)), asking(shaping_headers=(other, BETA))
    assert retry_digest(one) == retry_digest(two)
