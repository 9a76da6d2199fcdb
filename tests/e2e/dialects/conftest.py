"""A server with one provider for each dialect; all of them are the same scripted model."""

from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

import pytest

from tests.e2e.dialects.speakers import SPEAKERS, Speaker
from tests.e2e.dialects.turns import Counts
from tests.server import RunningServer, running_server
from tests.upstream import Upstream, running_upstream

PROVIDER = """
[providers.{name}]
base_url = "{url}"
dialect = "{dialect}"

[models."{name}/large"]
provider = "{name}"
context_length = 100000
max_output_tokens = 1000

[[models."{name}/large".prices]]
input = "0.0001"
cache_read = "0.00001"
cache_write = "0.000125"
cache_write_1h = "0.0002"
output = "0.01"
reasoning = "0.011"
"""
RATES = {
    "input": Decimal("0.0001"),
    "cache_read": Decimal("0.00001"),
    "cache_write_5m": Decimal("0.000125"),
    "cache_write_1h": Decimal("0.0002"),
}


class Gateway(NamedTuple):
    """The server, and a provider for each dialect, under its name."""

    server: RunningServer
    speakers: dict[str, Speaker]
    upstreams: dict[str, Upstream]


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("pairs")
    with running_upstream() as chat, running_upstream() as messages, running_upstream() as items:
        upstreams = {"openai-chat": chat, "anthropic": messages, "openai-responses": items}
        speakers = {dialect: SPEAKERS[dialect]() for dialect in upstreams}
        for dialect, upstream in upstreams.items():
            upstream.say = speakers[dialect]
        tables = [
            PROVIDER.format(name=dialect, url=upstream.url, dialect=dialect)
            for dialect, upstream in upstreams.items()
        ]
        path = folder / "modelgates.toml"
        path.write_text("".join(tables))
        with running_server(folder, MODELGATES_CONFIG=str(path)) as server:
            yield Gateway(server, speakers, upstreams)


def cost_of(counts: Counts) -> Decimal:
    written = (counts.output - counts.thinking) * Decimal("0.01")
    thought = counts.thinking * Decimal("0.011")
    read = sum((rate * getattr(counts, at) for at, rate in RATES.items()), Decimal(0))
    return written + thought + read
