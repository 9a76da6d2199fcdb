"""Builds the services and the HTTP application from their parts. Nothing else does.

The server uses this module, and so do tests, with a clock, randomness, providers and folders that
they choose. The command line needs only `bootstrap.ledger_services`, which loads faster.
"""

from collections.abc import Mapping
from functools import partial

from modelgates_server.bootstrap import ledger_services, steady_ms
from modelgates_server.bootstrap.gauges import read_gauges
from modelgates_server.core.pricing.catalog import Catalog
from modelgates_server.service.calls.admission import CallTimeouts, ServedCatalog
from modelgates_server.service.calls.call import CallService
from modelgates_server.service.calls.outgoing import RefusedParameters
from modelgates_server.service.calls.token_counts import TokenCounts
from modelgates_server.service.clock_check import ClockCheck
from modelgates_server.service.file_checks import FileChecks
from modelgates_server.service.maintenance import Maintenance
from modelgates_server.service.part_states import Check, PartStates, database_state
from modelgates_server.service.ports import Clock, Provider, RandomBytes, Store
from modelgates_server.service.spool_ports import Disk, Spool
from modelgates_server.telemetry.log_check import LogCheck
from modelgates_server.telemetry.metrics import Metrics
from modelgates_server.telemetry.observer import CallObserver, log_part_state
from modelgates_server.telemetry.provider_advice import ProviderAdvice
from modelgates_server.telemetry.provider_failures import ProviderFailures
from modelgates_server.telemetry.rejected_requests import RejectedRequests
from modelgates_server.web.app import App, Lifespan
from modelgates_server.web.body_budget import BodyBudget
from modelgates_server.web.error_responses import ErrorResponses
from modelgates_server.web.pages.negotiation import KnownHosts
from modelgates_server.web.routes import routes
from modelgates_server.web.services import Services, WebOptions


def compose(
    store: Store,
    *,
    catalog: Catalog,
    providers: Mapping[str, Provider],
    spool: Spool,
    disk: Disk,
    clock: Clock,
    random_bytes: RandomBytes,
    timeouts: CallTimeouts,
    join_retries: bool = True,
    grace_s: float = 0,
    steady_ms: Clock = steady_ms,
    emergency: Spool | None = None,
    key_variables: Mapping[str, str] | None = None,
) -> Services:
    """Returns the services of a server process on top of an open store.

    `key_variables` are the environment variables of the providers' keys, for log lines.
    `emergency` takes the ends of calls that neither the store nor the spool takes.
    After an outage, maintenance gives other processes `grace_s` to extend the holds of their calls.
    """
    ledger = ledger_services(store, clock, random_bytes)
    metrics = Metrics(store, clock)
    advice = ProviderAdvice(key_variables or {})
    observer = CallObserver(metrics, ProviderFailures(advice, metrics.count_provider_failure))
    served = ServedCatalog(catalog, providers, RefusedParameters(observer.parameter_refused))
    calls = CallService(
        store,
        served,
        [spool] if emergency is None else [spool, emergency],
        disk,
        observer,
        clock,
        random_bytes,
        timeouts,
        join_retries=join_retries,
    )
    parts = PartStates(log_part_state)
    clock_check = ClockCheck(store, clock, steady_ms)
    metrics.read_at_scrape(partial(read_gauges, store, disk, calls, clock_check, parts, clock))
    return Services(
        store=store,
        accounts=ledger.accounts,
        credits=ledger.credits,
        keys=ledger.keys,
        key_repair=ledger.key_repair,
        clock=clock,
        catalog=catalog,
        providers=providers,
        spool=spool,
        metrics=metrics,
        calls=calls,
        token_counts=TokenCounts(served, clock),
        maintenance=Maintenance(store, calls, observer, clock, ledger.key_repair, grace_s),
        parts=parts,
        checks=_checks(store, disk, calls, metrics, clock_check, FileChecks(store, clock)),
    )


def _checks(
    store: Store,
    disk: Disk,
    calls: CallService,
    metrics: Metrics,
    clock: Check,
    files: FileChecks,
) -> Mapping[str, Check]:
    return {
        "database": partial(database_state, store),
        "disk": disk.check,
        "spool": calls.settling.check,
        "log": LogCheck(metrics.count_log_lines_dropped),
        "clock": clock,
        "wal": files.wal,
        "backup": files.backup,
    }


def http_app(services: Services, options: WebOptions, lifespan: Lifespan) -> App:
    """Returns the HTTP application. `lifespan` is entered before the first request."""
    error_responses = ErrorResponses(options.limit_source_prefix)
    return App(
        routes(services, options, error_responses),
        services.keys,
        services.metrics.count_request,
        error_responses,
        lifespan,
        BodyBudget(options.bodies_max_bytes, options.body_max_bytes),
        KnownHosts(options.public_url, options.allowed_hosts),
        RejectedRequests(services.metrics.count_connection_rejected),
    )
