"""Builds the HTTP server and runs it."""

import asyncio
import gc
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from io import BytesIO
from tempfile import TemporaryDirectory

import structlog

from modelgates_server.bootstrap import (
    database,
    now_ms,
    old_settings,
    open_gateway,
)
from modelgates_server.bootstrap.composition import compose, http_app
from modelgates_server.bootstrap.configuration import Configuration, load_configuration
from modelgates_server.bootstrap.descriptors import (
    connections_max,
    has_room,
    raise_limit,
    refused_max,
)
from modelgates_server.bootstrap.price_book import open_catalog
from modelgates_server.bootstrap.spools import spool_folders
from modelgates_server.core.errors import InvalidInput, StoreUnavailable
from modelgates_server.core.pricing.catalog import Catalog
from modelgates_server.core.redaction import Redactor
from modelgates_server.providers.sandbox.provider import SandboxProvider
from modelgates_server.service.calls.admission import CallTimeouts
from modelgates_server.service.part_states import check_forever
from modelgates_server.service.ports import Provider, RandomBytes
from modelgates_server.settings import Settings
from modelgates_server.store.emergency import write_to_stderr
from modelgates_server.store.spool import FolderSpool
from modelgates_server.store.sqlite.opening import open_store
from modelgates_server.store.sqlite.reading import held_open
from modelgates_server.telemetry import logs, process_output
from modelgates_server.telemetry.metrics import MULTIPROCESS_DIR
from modelgates_server.web.app import App
from modelgates_server.web.http import server
from modelgates_server.web.http.listening import UNIX
from modelgates_server.web.keep_alive import KeepAliveRules
from modelgates_server.web.pages.negotiation import checked_base, checked_names
from modelgates_server.web.services import Services, WebOptions

_MAINTENANCE_EVERY_S = 30
_HEARTBEAT_EVERY_S = 0.5
_CHECK_EVERY_S = 1
_CLOSE_MAX_S = 2
_RANDOM_POOL_BYTES = 4096
_MIB = 1024 * 1024
_BODIES_MAX_BYTES = 256 * _MIB
_YOUNG_OBJECTS = 5_000
"""A call creates a few hundred objects and no reference cycle. With Python's threshold of 700, each
call would start the garbage collector once or twice, to no effect."""

log = structlog.get_logger()


def create_app(settings: Settings, configuration: Configuration, catalog: Catalog) -> App:
    """Returns the HTTP application of one server process, and opens the database."""
    process_output.start(settings.log_level)
    folders = spool_folders(settings)
    providers = _providers(configuration)
    token = settings.metrics_token
    own = Redactor([] if token is None else [token.get_secret_value()])
    logs.hide([own, *(provider.redactor for provider in providers.values())])
    services = compose(
        open_store(database(settings).path, guarded=True),
        catalog=catalog,
        providers=providers,
        spool=folders.spool,
        disk=folders.disk,
        emergency=folders.emergency,
        clock=now_ms,
        random_bytes=_pooled_randomness(),
        timeouts=CallTimeouts(hold_ttl_s=settings.hold_ttl_s, drain_s=settings.drain_s),
        join_retries=settings.join_retries,
        grace_s=4 * _HEARTBEAT_EVERY_S,
        key_variables=configuration.key_variables,
    )
    return http_app(services, _web_options(settings), partial(_lifespan, services))


@asynccontextmanager
async def _lifespan(services: Services) -> AsyncIterator[None]:
    gc.freeze()  # objects that exist at this point live as long as the process
    gc.set_threshold(_YOUNG_OBJECTS, *gc.get_threshold()[1:])
    running = [
        asyncio.create_task(services.maintenance.run_forever(_MAINTENANCE_EVERY_S, _report)),
        asyncio.create_task(services.calls.registry.run_forever(_HEARTBEAT_EVERY_S)),
        asyncio.create_task(check_forever(services.parts, services.checks, _CHECK_EVERY_S)),
    ]
    try:
        yield
    finally:
        try:
            await services.calls.registry.stop()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await _end(services)


async def _end(services: Services) -> None:
    """Close the services. If ends of calls are unsaved, this process ends here.

    A disk that hangs must not keep the process from ending.
    """
    unsaved = services.calls.settling.unsaved()
    if not unsaved:
        await services.close()
        return
    write_to_stderr(unsaved)
    with suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE_MAX_S):
            await services.close()
    process_output.finish()
    os._exit(server.UNSAVED)


def serve(settings: Settings, *, on_started: Callable[[str], None]) -> None:
    """Runs the server until SIGTERM or Ctrl-C. `on_started` receives its URL.

    Raises `InvalidInput` and `StoreUnavailable` before the server listens.
    """
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise InvalidInput(
            "TLS needs both a certificate and its key. "
            "Set `MODELGATES_TLS_CERT` and `MODELGATES_TLS_KEY`."
        )
    if settings.host.startswith(UNIX) and "port" in settings.model_fields_set:
        raise InvalidInput(
            f"A unix socket has no port, but `MODELGATES_PORT` or --port is {settings.port}. "
            "Remove the port, or set `MODELGATES_HOST` to an address."
        )
    _public_url(settings)
    _allowed_hosts(settings)
    configuration = load_configuration(settings.config, os.environ)
    catalog = asyncio.run(_catalog(settings, configuration))
    folders = spool_folders(settings)
    folders.spool.check()
    process_output.start(settings.log_level)
    _check_emergency_folder(folders.emergency)
    if old_names := {**old_settings(), **configuration.old_names}:
        log.warning("old names work in this release only", write_instead=old_names)
    open_files = raise_limit()
    config = server.configuration(
        partial(create_app, settings, configuration, catalog),
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        tls_cert=settings.tls_cert,
        tls_key=settings.tls_key,
        shutdown_grace_s=settings.shutdown_grace_s,
        request_timeout_s=settings.request_timeout_s,
        max_connections=connections_max(settings.max_connections, open_files),
        refused_max=refused_max(open_files),
        has_room=has_room,
    )
    with held_open(database(settings).path), _shared_metrics(settings.workers):
        server.run(config, on_started)


def _web_options(settings: Settings) -> WebOptions:
    body_max_bytes = settings.max_body_mib * _MIB
    token = settings.metrics_token
    return WebOptions(
        body_max_bytes=body_max_bytes,
        bodies_max_bytes=max(_BODIES_MAX_BYTES, body_max_bytes * 4 // 3),
        public_url=_public_url(settings),
        allowed_hosts=_allowed_hosts(settings),
        metrics_token=None if token is None else token.get_secret_value(),
        limit_source_prefix=settings.limit_source_prefix,
        allow_unknown_key_members=settings.allow_unknown_key_members,
        allowed_betas=frozenset(
            name.strip() for name in settings.allowed_betas.split(",") if name.strip()
        ),
        v1_alias=settings.v1_alias,
        keep_alive=KeepAliveRules(every_s=settings.keep_alive_s, plain=settings.plain_keep_alive),
    )


def _public_url(settings: Settings) -> str:
    """Returns the public URL, empty if none is set; raises `InvalidInput`."""
    url = settings.public_url
    return checked_base(url, "MODELGATES_PUBLIC_URL") if url else ""


def _allowed_hosts(settings: Settings) -> tuple[str, ...]:
    """Returns the names of the server, that of its address included; raises `InvalidInput`."""
    named = checked_names(settings.allowed_hosts, "MODELGATES_ALLOWED_HOSTS")
    return (*named, settings.host.lower())


async def _catalog(settings: Settings, configuration: Configuration) -> Catalog:
    """Reads models and prices once for all server processes; creates the database if necessary."""
    async with open_gateway(settings) as services:
        return await open_catalog(services.store, configuration, now_ms())


def _providers(configuration: Configuration) -> Mapping[str, Provider]:
    providers: dict[str, Provider] = {}
    if configuration.sandbox:
        providers["sandbox"] = SandboxProvider(now_ms)
    if configuration.providers:
        # The HTTP client takes longer to load than the rest of the server. The sandbox has no use
        # for it.
        from modelgates_server.providers.http import HttpProvider  # noqa: PLC0415

        providers.update(
            (each.name, HttpProvider(each, now_ms, has_room)) for each in configuration.providers
        )
    return providers


def _pooled_randomness() -> RandomBytes:
    """Returns a source of the system's randomness that reads for many ids at a time.

    One read takes longer than the rest of making an id.
    """
    pool = BytesIO()

    def random_bytes(count: int) -> bytes:
        nonlocal pool
        assert count <= _RANDOM_POOL_BYTES
        random = pool.read(count)
        if len(random) < count:
            pool = BytesIO(secrets.token_bytes(_RANDOM_POOL_BYTES))
            random = pool.read(count)
        return random

    return random_bytes


@contextmanager
def _shared_metrics(workers: int) -> Iterator[None]:
    """Provides the folder where several processes combine their metrics. One process needs none."""
    if workers == 1:
        yield
        return
    with TemporaryDirectory(prefix="modelgates-metrics-") as folder:
        os.environ[MULTIPROCESS_DIR] = folder
        yield


def _check_emergency_folder(folder: FolderSpool | None) -> None:
    """Find a wrong folder before it is needed; the server can work without it."""
    try:
        if folder is not None:
            folder.check()
    except StoreUnavailable as error:
        log.error("emergency folder cannot be used", reason=str(error))  # noqa: TRY400 - one line


def _report(error: Exception) -> None:
    if isinstance(error, StoreUnavailable):
        log.warning("maintenance waits for the database", reason=str(error))
    else:
        log.error("maintenance failed", exc_info=error)
