"""Puts the HTTP server together and runs it."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from tempfile import TemporaryDirectory

import structlog

from modelgates_server.bootstrap import build_gateway, database, now_ms
from modelgates_server.core.errors import InvalidInput, StoreUnavailable
from modelgates_server.settings import Settings
from modelgates_server.store.sqlite.store import open_store, prepare_file
from modelgates_server.web import logs, server
from modelgates_server.web.app import App
from modelgates_server.web.metrics import MULTIPROCESS_DIR, Metrics
from modelgates_server.web.openapi import OpenApi
from modelgates_server.web.table import operations

_UPKEEP_EVERY_S = 30

log = structlog.get_logger()


def create_app(settings: Settings) -> App:
    """The HTTP application of one server process; it opens the database."""
    logs.configure(settings.log_level)
    store = open_store(database(settings).path)
    gateway = build_gateway(store)
    token = settings.metrics_token
    metrics = Metrics(None if token is None else token.get_secret_value())
    table = operations(
        store=store,
        keys=gateway.keys,
        clock=now_ms,
        metrics=metrics,
        openapi=OpenApi(settings.public_url),
    )

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        upkeep = asyncio.create_task(gateway.upkeep.run_forever(_UPKEEP_EVERY_S, _report))
        try:
            yield
        finally:
            upkeep.cancel()
            await asyncio.gather(upkeep, return_exceptions=True)
            await store.close()

    return App(table, gateway.keys, metrics, lifespan)


def serve(settings: Settings, *, on_started: Callable[[str], None]) -> None:
    """Run the server until it is told to stop; `on_started` gets its address.

    Raises `InvalidInput` and `StoreUnavailable` before anything listens.
    """
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise InvalidInput("TLS needs both a certificate and its key")
    prepare_file(database(settings).path)
    logs.configure(settings.log_level)
    config = server.configuration(
        partial(create_app, settings),
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        tls_cert=settings.tls_cert,
        tls_key=settings.tls_key,
        shutdown_grace_s=settings.shutdown_grace_s,
        request_timeout_s=settings.request_timeout_s,
        max_connections=settings.max_connections,
    )
    with _shared_metrics(settings.workers):
        server.run(config, on_started)


@contextmanager
def _shared_metrics(workers: int) -> Iterator[None]:
    """A folder in which several processes add up their figures; one process needs none."""
    if workers == 1:
        yield
        return
    with TemporaryDirectory(prefix="modelgates-metrics-") as folder:
        os.environ[MULTIPROCESS_DIR] = folder
        yield


def _report(error: Exception) -> None:
    if isinstance(error, StoreUnavailable):
        log.warning("upkeep waits for the database", reason=str(error))
    else:
        log.error("upkeep failed", exc_info=error)
