"""Metered calls in this process: the real service over a real store, with the sandbox's models."""

import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from modelgates_server.providers.sandbox.offer import sandbox_models, sandbox_prices
from modelgates_server.providers.sandbox.provider import SandboxProvider

from modelgates_server.core.catalog import Catalog, Model
from modelgates_server.core.prices import Price
from modelgates_server.service.generations import Generations, Patience
from modelgates_server.service.ports import Provider, Store
from modelgates_server.service.upkeep import Upkeep
from modelgates_server.store.spool import FolderSpool
from modelgates_server.web.metrics import Metrics
from modelgates_server.web.observer import CallObserver
from tests.support import ManualClock

METRICS_TOKEN = "0123456789abcdef"


class Metered(NamedTuple):
    """The service, and what is around it."""

    generations: Generations
    upkeep: Upkeep
    catalog: Catalog
    metrics: Metrics
    spool: FolderSpool


def sandbox_catalog(
    models: Iterable[Model] = (),
    prices: Iterable[Price] = (),
    account_markup_bp: Mapping[str, int] | None = None,
) -> Catalog:
    """The sandbox's models and those of a test."""
    return Catalog([*sandbox_models(), *models], [*sandbox_prices(), *prices], account_markup_bp)


def metered(
    store: Store,
    clock: ManualClock,
    folder: Path,
    *,
    catalog: Catalog | None = None,
    providers: Mapping[str, Provider] | None = None,
    patience: Patience | None = None,
) -> Metered:
    """Build it; captures that wait for the database go to `folder`."""
    chosen = catalog or sandbox_catalog()
    metrics = Metrics(METRICS_TOKEN, store, clock)
    observer, spool = CallObserver(metrics), FolderSpool(folder)
    generations = Generations(
        store,
        chosen,
        {"sandbox": SandboxProvider(clock), **(providers or {})},
        spool,
        observer,
        clock,
        secrets.token_bytes,
        patience or Patience(),
    )
    upkeep = Upkeep(store, generations, observer, clock)
    return Metered(generations, upkeep, chosen, metrics, spool)
