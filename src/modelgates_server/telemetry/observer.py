"""Reports calls: a log line for each generation, and the metrics of `/metrics`.

No line contains a prompt or a response.
"""

import structlog

from modelgates_server.core.errors import ProviderError
from modelgates_server.core.ledger.records import Entry
from modelgates_server.core.metering.generations import (
    Generation,
    UsageWarning,
    uncharged_service_tier,
)
from modelgates_server.core.metering.repairs import Repairs
from modelgates_server.core.money import format_pico
from modelgates_server.service.part_states import PartState, Status
from modelgates_server.telemetry.logs import write_line
from modelgates_server.telemetry.metrics import Metrics
from modelgates_server.telemetry.provider_failures import ProviderFailures

log = structlog.get_logger()


class CallObserver:
    """The port `Observer`."""

    def __init__(self, metrics: Metrics, failures: ProviderFailures) -> None:
        self._metrics = metrics
        self._failures = failures

    def ended(self, generation: Generation, capture_lag_ms: int) -> None:
        """See `Observer.ended`."""
        self._metrics.count_ended(generation, capture_lag_ms)
        write_line("generation", _summary(generation, capture_lag_ms))
        if UsageWarning.COST_DIFFERS in generation.usage_warnings:
            log.warning(
                "provider reports a different cost",
                id=generation.id,
                endpoint_id=generation.endpoint_id,
                reported_cost=format_pico(generation.upstream_cost_pico or 0),
                cost=format_pico(generation.cost_pico),
                markup_bp=generation.markup_bp,
            )
        if generation.overrun_pico:
            log.warning(
                "usage above the hold: the operator pays the overrun",
                id=generation.id,
                endpoint_id=generation.endpoint_id,
                overrun=format_pico(generation.overrun_pico),
            )
        if uncharged_service_tier(generation) is not None:
            log.warning(
                "service tier not requested or without a price: charged as standard",
                id=generation.id,
                endpoint_id=generation.endpoint_id,
                requested=generation.requested_service_tier,
                served=generation.service_tier,
                cost=format_pico(generation.cost_pico),
            )

    def provider_failed(self, generation: Generation, error: ProviderError) -> None:
        """See `Observer.provider_failed`."""
        self._failures.report(generation, error)

    def repaired(self, provider: str, repairs: Repairs) -> None:
        """See `Observer.repaired`."""
        self._metrics.count_repairs(provider, repairs)

    def parameter_refused(self, endpoint_id: str, parameter: str, setting: str | None) -> None:
        """See `Observer.parameter_refused`."""
        log.warning(
            "provider rejects a parameter that the gateway adds: sent without it from now on",
            endpoint_id=endpoint_id,
            parameter=parameter,
            setting=setting,
        )

    def capture_after_expiry(
        self, generation: Generation, resolved: Generation | None, late: Entry | None
    ) -> None:
        """See `Observer.capture_after_expiry`."""
        self._metrics.count_capture_after_expiry(generation, late)
        figures = {
            "id": generation.id,
            "account_id": generation.account_id,
            "endpoint_id": generation.endpoint_id,
            "state": None if resolved is None else resolved.state.value,
            "cost": format_pico(generation.cost_pico),
            "charged": format_pico(0 if resolved is None else resolved.cost_pico),
        }
        if late is None:
            log.error("end of a call after its hold was resolved: not charged", **figures)
        else:
            log.warning(
                "capture after its hold was resolved: charged as late usage",
                **figures,
                charged_late=format_pico(-late.amount_pico),
                overrun=format_pico(-late.overrun_pico),
            )

    def heartbeat_failed(self, generation: Generation, error: Exception) -> None:
        """See `Observer.heartbeat_failed`."""
        log.warning("hold not extended", id=generation.id, reason=str(error))

    def maintenance_failed(self, error: Exception) -> None:
        """See `Observer.maintenance_failed`."""
        log.error("maintenance of calls failed", exc_info=error)

    def spooled(self, generation: Generation, error: Exception) -> None:
        """See `Observer.spooled`."""
        self._metrics.count_spooled(generation)
        log.error(
            "capture waits for the database",
            id=generation.id,
            account_id=generation.account_id,
            state=generation.state.value,
            cost=format_pico(generation.cost_pico),
            reason=str(error),
        )


def log_part_state(part: str, state: PartState) -> None:
    """Log that the status of a part has changed; see `service.part_states.OnChange`."""
    fields = {"part": part, "cause": state.cause, "detail": state.detail}
    if state.status is Status.OK:
        log.info("part works again", **fields)
    elif state.status is Status.WARNING:
        log.warning("part needs attention", **fields)
    else:
        log.error("part does not work: not ready", **fields)


def _summary(generation: Generation, capture_lag_ms: int) -> dict[str, object]:
    usage = generation.usage
    return {
        "id": generation.id,
        "account_id": generation.account_id,
        "key_hash": generation.key_hash,
        "model": generation.model,
        "endpoint_id": generation.endpoint_id,
        "state": generation.state,
        "cost": format_pico(generation.cost_pico),
        "hold": format_pico(generation.hold_pico),
        "overrun": format_pico(generation.overrun_pico),
        "prompt_tokens": None if usage is None else usage.prompt_tokens,
        "completion_tokens": None if usage is None else usage.completion_tokens,
        "estimated": usage is not None and usage.estimated,
        "usage_warnings": generation.usage_warnings,
        "served_model": generation.served_model,
        "streamed": generation.streamed,
        "cancelled": generation.cancelled,
        "finish_reason": generation.finish_reason,
        "error": generation.error,
        "service_tier": generation.service_tier,
        "duration_ms": (generation.ended_at_ms or 0) - generation.created_at_ms,
        "capture_lag_ms": capture_lag_ms,
        "request_id": generation.origin.request_id,
    }
