"""The request body of an attempt, and its repair if the provider rejects what the gateway added."""

from collections.abc import Callable

from modelgates_server.core.metering.request import InferenceRequest
from modelgates_server.core.pricing.catalog import Endpoint
from modelgates_server.core.pricing.prices import Price
from modelgates_server.core.pricing.service_tiers import service_tier_to_send
from modelgates_server.dialects.dialect import Dialect, RefusedParameter

_SERVICE_TIER = "service_tier"


class RefusedParameters:
    """The parameters that each endpoint has rejected, as far as this process knows.

    `report` is called once for each, with the endpoint, the parameter and the setting.
    """

    def __init__(self, report: Callable[[str, str, str | None], None]) -> None:
        self._by_endpoint: dict[str, frozenset[str]] = {}
        self._report = report

    def of(self, endpoint_id: str) -> frozenset[str]:
        """The names that an endpoint has rejected."""
        return self._by_endpoint.get(endpoint_id, frozenset())

    def add(self, endpoint_id: str, parameter: RefusedParameter) -> None:
        """Remember a rejected parameter, so that the next request is accepted at once."""
        known = self.of(endpoint_id)
        if parameter.name not in known:
            self._by_endpoint[endpoint_id] = known | {parameter.name}
            self._report(endpoint_id, parameter.name, parameter.setting)


class OutgoingRequest:
    """The body of a request to an endpoint. It is repaired at most once."""

    def __init__(
        self,
        request: InferenceRequest,
        endpoint: Endpoint,
        dialect: Dialect,
        price: Price,
        cap_tokens: int | None,
        refused: RefusedParameters,
    ) -> None:
        self._request = request
        self._endpoint = endpoint
        self._dialect = dialect
        self._price = price
        self._cap_tokens = cap_tokens
        self._refused = refused
        self._repaired: RefusedParameter | None = None
        self.body = self._written(refused.of(endpoint.id))

    def repair(self, status: int, error: bytes) -> bool:
        """Write the body without the parameter that an error rejects; returns whether it changed.

        Nothing was served, so the request may be sent again.
        """
        if self._repaired is not None:
            return False
        refused = self._dialect.refused_parameter(self._request, self.body, status, error)
        if refused is None:
            return False
        body = self._written(self._refused.of(self._endpoint.id) | {refused.name})
        if body == self.body:
            return False
        self.body, self._repaired = body, refused
        return True

    def confirm(self) -> None:
        """Remember the repair: the endpoint has accepted the repaired request."""
        if self._repaired is not None:
            self._refused.add(self._endpoint.id, self._repaired)

    def _written(self, refused: frozenset[str]) -> bytes:
        request, endpoint = self._request, self._endpoint
        if self._price.service_tiers:
            # The project may be set to a tier that the hold does not cover.
            refused -= {_SERVICE_TIER}
        return self._dialect.upstream_body(
            request,
            endpoint,
            cap_tokens=self._cap_tokens,
            service_tier=service_tier_to_send(
                self._price, request.service_tier, endpoint.standard_service_tier
            ),
            refused=refused,
        )
