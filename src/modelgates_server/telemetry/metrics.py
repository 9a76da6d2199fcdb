"""Prometheus metrics of calls and requests.

Amounts are dollars as floats, for graphs. The exact amounts are in the ledger.
"""

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector

from modelgates_server.core.ledger.records import Entry, HoldState
from modelgates_server.core.metering.generations import Attempt, Generation, uncharged_service_tier
from modelgates_server.core.metering.repairs import Repairs
from modelgates_server.core.money import PICOS_PER_DOLLAR
from modelgates_server.service.ports import Clock, Ledger, OpenHolds
from modelgates_server.telemetry.gauges import GaugesCollector, ReadGauges, Reading

EXPOSITION_TYPE = CONTENT_TYPE_PLAIN_0_0_4

MULTIPROCESS_DIR = "PROMETHEUS_MULTIPROC_DIR"
"""Folder where several workers share their metrics; set before this module is imported."""


# Hundreds of models have ten thousand lines. One thread, so that scrapes wait for each other.
_THREAD = ThreadPoolExecutor(1, "modelgates-metrics")

_SERVICE_TIERS = frozenset({"flex", "priority", "batch", "scale", "performance"})
"""The service tiers that a label may have: providers could send unlimited other words."""

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """The metrics of this process, and of the other workers if there are several."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._read_gauges: ReadGauges = tuple
        self._registry = CollectorRegistry()
        self._requests = self._counter(
            "http_requests",
            "HTTP requests answered, by operation and status.",
            "operation",
            "status",
        )
        self._connections_rejected = self._counter(
            "connections_rejected",
            "Rejections of connections on which no whole request arrived, by status.",
            "status",
        )
        self._log_lines_dropped = self._counter(
            "log_lines_dropped", "Log lines dropped because standard error was not read."
        )
        self._open_call_counters()
        self._open_provider_counters()
        self._open_histograms()
        # `labels()` takes a lock and builds strings, so the hot path caches its results.
        self._children: dict[tuple[Counter | Histogram, str, str], Counter | Histogram] = {}

    def _open_call_counters(self) -> None:
        self._generations = self._counter(
            "generations", "Calls ended, by model and state.", "model", "state"
        )
        self._tokens = self._counter("tokens", "Tokens used, by model and meter.", "model", "meter")
        self._cost = self._counter("cost_dollars", "Dollars charged to accounts.", "model")
        self._service_tier_unpriced = self._counter(
            "service_tier_unpriced",
            "Calls served at a service tier that was not requested or has no price; "
            "charged at the standard price.",
            "endpoint",
            "service_tier",
        )
        self._overrun = self._counter(
            "overrun_dollars", "Dollars of usage above the hold, paid by the operator.", "endpoint"
        )
        self._usage_warnings = self._counter(
            "usage_warnings", "Inconsistencies in providers' usage reports.", "endpoint", "warning"
        )
        self._captures_after_expiry = self._counter(
            "late_captures",
            "Captures that arrived after their hold was resolved; charged as late usage.",
            "endpoint",
        )
        self._spooled = self._counter(
            "spooled_captures", "Ends of calls that had to wait for the database.", "endpoint"
        )

    def _open_provider_counters(self) -> None:
        self._upstream_errors = self._counter(
            "upstream_errors", "Failed attempts, by error code.", "endpoint", "error"
        )
        self._provider_failures = self._counter(
            "provider_failures", "Failed attempts, by cause.", "endpoint", "cause"
        )
        self._repairs = self._counter(
            "provider_repairs",
            "Deviations in providers' responses that were repaired or passed over.",
            "provider",
            "repair",
        )

    def _open_histograms(self) -> None:
        self._capture_lag = self._histogram(
            "capture_lag_seconds",
            "Time from the end of a response to its committed capture.",
            "endpoint",
        )
        self._first_byte = self._histogram(
            "upstream_first_byte_seconds",
            "Time from the request to the first byte of the provider's response.",
            "endpoint",
        )
        self._upstream = self._histogram(
            "upstream_seconds",
            "Time from the request to the end of the provider's response.",
            "endpoint",
        )

    def read_at_scrape(self, read: ReadGauges) -> None:
        """Show more gauges, which are read for each scrape."""
        self._read_gauges = read

    def count_request(self, operation: str, status: int) -> None:
        """Count one response."""
        self._count(self._requests, 1, operation, str(status))

    def count_connection_rejected(self, status: int) -> None:
        """Count one response to something that did not become a request."""
        self._count(self._connections_rejected, 1, str(status))

    def count_ended(self, generation: Generation, capture_lag_ms: int) -> None:
        """Count a settled call with its tokens, cost, overrun, warnings and attempts."""
        model, endpoint = generation.model, generation.endpoint_id
        self._count(self._generations, 1, model, generation.state.value)
        if generation.state is not HoldState.VOIDED and generation.usage is not None:
            for meter, quantity in generation.usage.quantities():
                if quantity:
                    self._count(self._tokens, quantity, model, meter.value)
        if generation.cost_pico:
            self._count(self._cost, generation.cost_pico / PICOS_PER_DOLLAR, model)
        if generation.overrun_pico:
            self._count(self._overrun, generation.overrun_pico / PICOS_PER_DOLLAR, endpoint)
        self._count_oddities(generation)
        self._observe(self._capture_lag, capture_lag_ms, endpoint)
        for attempt in generation.attempts:
            self._count_attempt(endpoint, attempt)

    def _count_oddities(self, generation: Generation) -> None:
        endpoint = generation.endpoint_id
        if service_tier := uncharged_service_tier(generation):
            named = service_tier if service_tier in _SERVICE_TIERS else "other"
            self._count(self._service_tier_unpriced, 1, endpoint, named)
        for warning in generation.usage_warnings:
            self._count(self._usage_warnings, 1, endpoint, warning.value)

    def count_repairs(self, provider: str, repairs: Repairs) -> None:
        """Count the deviations that were repaired in one call."""
        for repair, count in repairs.items():
            self._count(self._repairs, count, provider, repair.value)

    def count_provider_failure(self, endpoint: str, cause: str) -> None:
        """Count a failed attempt."""
        self._count(self._provider_failures, 1, endpoint, cause)

    def count_capture_after_expiry(self, generation: Generation, late: Entry | None) -> None:
        """Count a capture that arrived after its hold was resolved, with its late usage."""
        self._count(self._captures_after_expiry, 1, generation.endpoint_id)
        if late is not None:
            charged, overrun = -late.amount_pico, -late.overrun_pico
            self._count(self._cost, charged / PICOS_PER_DOLLAR, generation.model)
            self._count(self._overrun, overrun / PICOS_PER_DOLLAR, generation.endpoint_id)

    def count_spooled(self, generation: Generation) -> None:
        """Count a call whose end had to wait for the database."""
        self._count(self._spooled, 1, generation.endpoint_id)

    def count_log_lines_dropped(self, lines: int) -> None:
        """Count log lines that were dropped because nothing reads them."""
        self._log_lines_dropped.inc(lines)

    def _count_attempt(self, endpoint: str, attempt: Attempt) -> None:
        if attempt.error is not None:
            self._count(self._upstream_errors, 1, endpoint, attempt.error)
        if attempt.first_byte_at_ms is not None:
            first_ms = attempt.first_byte_at_ms - attempt.started_at_ms
            self._observe(self._first_byte, first_ms, endpoint)
        if attempt.ended_at_ms is not None and attempt.error is None:
            self._observe(self._upstream, attempt.ended_at_ms - attempt.started_at_ms, endpoint)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"modelgates_{name}", text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, label: str) -> Histogram:
        return Histogram(
            f"modelgates_{name}", text, [label], registry=self._registry, buckets=_SECONDS
        )

    def _count(self, counter: Counter, amount: float, *labels: str) -> None:
        child = self._child(counter, *labels)
        assert isinstance(child, Counter)
        child.inc(amount)

    def _observe(self, histogram: Histogram, ms: int, label: str) -> None:
        child = self._child(histogram, label)
        assert isinstance(child, Histogram)
        child.observe(max(0, ms) / 1000)

    def _child(
        self, metric: Counter | Histogram, first: str, second: str = ""
    ) -> Counter | Histogram:
        child = self._children.get((metric, first, second))
        if child is None:
            child = metric.labels(first, second) if second else metric.labels(first)
            self._children[metric, first, second] = child
        return child

    async def exposition(self) -> bytes:
        """All metrics in the text format of Prometheus, `EXPOSITION_TYPE`; written on a thread."""
        holds = await self._ledger.all_open_holds()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(_THREAD, self._written, holds)

    def _written(self, open_holds: OpenHolds) -> bytes:
        registry = self._registry
        if MULTIPROCESS_DIR in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        gauges = CollectorRegistry()
        gauges.register(GaugesCollector([*self._holds(open_holds), *self._read_gauges()]))
        return generate_latest(registry) + generate_latest(gauges)

    def _holds(self, open_holds: OpenHolds) -> Iterator[Reading]:
        now_ms = self._clock()
        oldest_ms = now_ms if open_holds.oldest_at_ms is None else open_holds.oldest_at_ms
        yield Reading("holds_open", open_holds.count)
        yield Reading("holds_dollars", open_holds.amount_pico / PICOS_PER_DOLLAR)
        yield Reading("holds_oldest_age_seconds", max(0, now_ms - oldest_ms) / 1000)
