"""The body of a request, and what it becomes when a provider rejects a part of it."""

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from modelgates_server.core.pricing.catalog import Endpoint
from modelgates_server.core.pricing.prices import Price, Tier
from modelgates_server.core.pricing.usage import Meter
from modelgates_server.dialects.dialect import RefusedParameter
from modelgates_server.dialects.openai_chat.dialect import OPENAI_CHAT
from modelgates_server.service.calls.outgoing import OutgoingRequest, RefusedParameters
from tests.dialects.openai_chat import chat
from tests.gateway import ACME_PRICE

FLEX = Tier(0, {Meter.INPUT: Decimal("0.0001"), Meter.OUTPUT: Decimal("0.005")}, "flex")
TIERED = msgspec.structs.replace(ACME_PRICE, tiers=(*ACME_PRICE.tiers, FLEX))
ENDPOINT = Endpoint(id="acme:large", provider="acme", upstream_model="large")
ERROR = b'{"error": {"message": "Unknown parameter: \'service_tier\'."}}'


class Reported:
    """The reports of rejected parameters."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str | None]] = []
        self.refused = RefusedParameters(lambda *line: self.lines.append(line))


def outgoing(refused: RefusedParameters, price: Price, **members: Any) -> OutgoingRequest:
    request = chat.request(**members)
    return OutgoingRequest(request, ENDPOINT, OPENAI_CHAT, price, None, refused)


def tier(request: OutgoingRequest) -> Any:
    return json.loads(request.body).get("service_tier")


def test_standard_tier_is_left_out_when_the_provider_has_no_tiers() -> None:
    reported = Reported()
    request = outgoing(reported.refused, ACME_PRICE, service_tier="standard")
    assert tier(request) == "default"
    assert request.repair(400, ERROR)
    assert tier(request) is None
    assert reported.lines == []
    request.confirm()
    assert reported.lines == [("acme:large", "service_tier", None)]
    assert tier(outgoing(reported.refused, ACME_PRICE, service_tier="standard")) is None


@pytest.mark.parametrize(
    ("price", "word"), [(TIERED, "standard"), (TIERED, "flex"), (ACME_PRICE, "default")]
)
def test_tier_is_not_left_out_when_another_could_serve(price: Price, word: str) -> None:
    """The project may be set to a tier that the hold does not cover, or the client chose it."""
    request = outgoing(Reported().refused, price, service_tier=word)
    before = request.body
    assert not request.repair(400, ERROR)
    assert request.body == before


def test_standard_tier_is_sent_again_when_a_later_price_has_other_tiers() -> None:
    reported = Reported()
    reported.refused.add("acme:large", RefusedParameter("service_tier", None))
    assert tier(outgoing(reported.refused, TIERED, service_tier="standard")) == "default"


def test_request_is_repaired_at_most_once() -> None:
    request = outgoing(Reported().refused, ACME_PRICE, stream=True, service_tier="standard")
    assert request.repair(400, ERROR)
    assert not request.repair(400, ERROR.replace(b"service_tier", b"stream_options"))


def test_endpoint_is_reported_once_for_each_parameter() -> None:
    reported = Reported()
    for name in ("stream_options", "max_tokens", "stream_options"):
        reported.refused.add("acme:large", RefusedParameter(name, None))
    assert reported.refused.of("acme:large") == {"stream_options", "max_tokens"}
    assert reported.refused.of("acme:other") == set()
    assert [name for _, name, _ in reported.lines] == ["stream_options", "max_tokens"]
