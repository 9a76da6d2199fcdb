"""The parts of the HTTP API: the services of a server process, and the operator's options."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelgates_server.core.pricing.catalog import Catalog
from modelgates_server.service.calls.call import CallService
from modelgates_server.service.calls.token_counts import TokenCounts
from modelgates_server.service.maintenance import Maintenance
from modelgates_server.service.part_states import Check, PartStates
from modelgates_server.service.ports import Clock, Provider
from modelgates_server.service.services import LedgerServices
from modelgates_server.service.spool_ports import Spool
from modelgates_server.telemetry.metrics import Metrics
from modelgates_server.web.keep_alive import KeepAliveRules


@dataclass(frozen=True, slots=True, kw_only=True)
class Services(LedgerServices):
    """All services of a server process; `bootstrap.composition.compose` builds them."""

    clock: Clock
    catalog: Catalog
    providers: Mapping[str, Provider]
    spool: Spool
    metrics: Metrics
    calls: CallService
    token_counts: TokenCounts
    maintenance: Maintenance
    parts: PartStates
    checks: Mapping[str, Check]

    async def close(self) -> None:
        """Close providers and store, after `calls.stop()`."""
        for provider in self.providers.values():
            await provider.close()
        await self.store.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class WebOptions:
    """The operator's options for the HTTP API; docs/settings.md explains each.

    `body_max_bytes` limits one inference request, `bodies_max_bytes` all running requests together.
    Both count bytes as received: a call takes up to three times its body in memory.
    """

    body_max_bytes: int
    bodies_max_bytes: int
    public_url: str = ""
    allowed_hosts: tuple[str, ...] = ()
    metrics_token: str | None = None
    limit_source_prefix: str = "modelgates"
    allow_unknown_key_members: bool = False
    allowed_betas: frozenset[str] = frozenset()
    v1_alias: bool = True
    keep_alive: KeepAliveRules = field(default_factory=KeepAliveRules)
