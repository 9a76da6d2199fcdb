"""Builds the services and the HTTP application from their parts. Nothing else does.

The server uses this module, and so do tests, with a clock, randomness, providers and folders that
they choose. The command line needs only `bootstrap.ledger_services`, which loads faster.
"""

from collections.abc import Mapping
from functools import partial

from modelgates_server.bootstrap import ledger_services
from modelgates_server.core.pricing.catalog import Catalog
from modelgates_server.service.calls.admission import CallTimeouts, ServedCatalog
from modelgates_server.service.calls.call import CallService
from modelgates_server.service.calls.outgoing import RefusedParameters
from modelgates_server.service.maintenance import Maintenance
from modelgates_server.service.part_states import PartStates, database_state
from modelgates_server.service.ports import Clock, Provider, RandomBytes, Spool, Store
from modelgates_server.telemetry.metrics import Metrics
from modelgates_server.telemetry.observer import CallObserver, log_part_state
from modelgates_server.web.app import App, Lifespan
from modelgates_server.web.error_responses import ErrorResponses
from modelgates_server.web.routes import routes
from modelgates_server.web.services import Services, WebOptions


def compose(
    store: Store,
    *,
    catalog: Catalog,
    providers: Mapping[str, Provider],
    spool: Spool,
    clock: Clock,
    random_bytes: RandomBytes,
    timeouts: CallTimeouts,
    join_retries: bool = True,
    grace_s: float = 0,
) -> Services:
    """Returns the services of a server process on top of an open store.

    After an outage, maintenance gives other processes `grace_s` to extend the holds of their calls.
    """
    ledger = ledger_services(store, clock, random_bytes)
    metrics = Metrics(store, clock)
    observer = CallObserver(metrics)
    served = ServedCatalog(catalog, providers, RefusedParameters(observer.parameter_refused))
    calls = CallService(
        store,
        served,
        spool,
        observer,
        clock,
        random_bytes,
        timeouts,
        join_retries=join_retries,
    )
    return Services(
        store=store,
        accounts=ledger.accounts,
        credits=ledger.credits,
        keys=ledger.keys,
        clock=clock,
        catalog=catalog,
        providers=providers,
        spool=spool,
        metrics=metrics,
        calls=calls,
        maintenance=Maintenance(store, calls, observer, clock, grace_s),
        parts=PartStates(log_part_state),
        checks={"database": partial(database_state, store)},
    )


def http_app(services: Services, options: WebOptions, lifespan: Lifespan) -> App:
    """Returns the HTTP application. `lifespan` is entered before the first request."""
    error_responses = ErrorResponses(options.limit_source_prefix)
    return App(
        routes(services, options, error_responses),
        services.keys,
        services.metrics.count_request,
        error_responses,
        lifespan,
        options.bodies_max_bytes,
        options.public_url,
    )
