"""The gateway in the test's process, with a provider that sends a recording in given pieces."""

import re
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import msgspec

from modelgates_server.bootstrap.configuration import load_configuration
from modelgates_server.core.errors import GatewayError, ProviderUnavailable
from modelgates_server.core.metering.generations import Generation, Origin
from modelgates_server.core.metering.repairs import Repair, Repairs
from modelgates_server.core.pricing.catalog import Api, Catalog
from modelgates_server.core.pricing.prices import dollars
from modelgates_server.core.redaction import NO_SECRETS
from modelgates_server.dialects.known import DIALECTS
from modelgates_server.providers.retry_after import retry_after_s
from modelgates_server.service.calls.call import Call
from modelgates_server.service.calls.call_request import CallRequest
from modelgates_server.service.ports import NO_HEADERS, Provider, Store
from modelgates_server.web.error_responses import ErrorResponses
from tests.contract.recordings.recording import RATES_PICO, Recording
from tests.gateway import CallHarness, FakeClient, metered, new_caller, relay, take
from tests.support import DOLLAR, ManualClock

DIALECT = DIALECTS["openai-chat"]
REPAIRED = re.compile(r'modelgates_provider_repairs_total\{provider="(\w+)",repair="(\w+)"\} (\d+)')
_OUTPUTS = {"output", "reasoning", "output_image", "output_audio"}


class Outcome(msgspec.Struct):
    """The result of one call: the response as the client got it, and the record of the call."""

    status: int
    headers: dict[str, str]
    body: bytes
    generation: Generation


def configured(folder: Path, url: str, recordings: Iterable[Recording]) -> Path:
    """Writes a modelgates.toml with a provider and a model for each recording."""
    path = folder / "modelgates.toml"
    path.write_text("\n".join(_table(recording, url) for recording in recordings))
    return path


def _table(recording: Recording, url: str) -> str:
    embeds = recording.api is Api.EMBEDDINGS
    fields = {
        "provider": recording.name,
        "upstream_model": recording.name,
        "kind": "embeddings" if embeds else "chat",
        "context_length": 131072,
        **({} if embeds else {"max_output_tokens": 8192}),
        **recording.model,
    }
    rates = {
        meter.value: f"{dollars(rate_pico):f}"
        for meter, rate_pico in RATES_PICO.items()
        if not (embeds and meter in _OUTPUTS)
    }
    model = f'models."{recording.model_id}"'
    provider = {"base_url": url}
    return "\n".join(
        [
            f"[providers.{recording.name}]\n{_lines(provider)}",
            f"[{model}]\n{_lines(fields)}",
            f"[[{model}.prices]]\n{_lines(rates)}",
        ]
    )


def _lines(fields: Mapping[str, object]) -> str:
    return "".join(
        f"{name} = {msgspec.json.encode(value).decode()}\n" for name, value in fields.items()
    )


def repairs_in(metrics: str) -> dict[str, Repairs]:
    """The repairs that the metrics show, by provider."""
    found: dict[str, Repairs] = {}
    for provider, repair, count in REPAIRED.findall(metrics):
        found.setdefault(provider, Repairs())[Repair(repair)] = int(count)
    return found


class RecordedReply:
    """See `ProviderReply`. The body arrives cut at the given places."""

    def __init__(self, recording: Recording, cuts: list[int]) -> None:
        self._recording = recording
        self._cuts = cuts
        self.status = recording.status
        head = {name.lower(): value for name, value in recording.headers.items()}
        wait = head.get("retry-after-ms", ""), head.get("retry-after", "")
        self.retry_after_s = retry_after_s(*wait, 0)
        self.content_type = head.get("content-type", "").split(";")[0]
        self.is_stream = self.content_type == "text/event-stream"
        self.is_compressed = False

    async def read(self, limit_bytes: int) -> bytes:
        body = b"".join([piece async for piece in self.chunks()])
        assert len(body) <= limit_bytes
        return body

    async def chunks(self) -> AsyncIterator[bytes]:
        body = self._recording.body
        for start, end in pairwise([0, *self._cuts, len(body)]):
            if start < end:
                yield body[start:end]
        if self._recording.ends != "clean":
            raise ProviderUnavailable(
                "The provider ended its response before it was complete.",
                provider=self._recording.name,
            )

    def close(self) -> None:
        """Does nothing: there is no connection."""


class RecordedProvider:
    """See `Provider`. `cuts` are the places where the body is cut into pieces."""

    redactor = NO_SECRETS

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.cuts: list[int] = []

    async def send(
        self, path: str, body: bytes, headers: Mapping[str, str] = NO_HEADERS
    ) -> RecordedReply:
        del headers
        assert path == DIALECT.path(self.recording.api)
        assert msgspec.json.decode(body)["model"] == self.recording.name
        return RecordedReply(self.recording, self.cuts)

    async def close(self) -> None:
        """Does nothing: there is no connection."""


class RecordingGateway:
    """Makes calls whose provider sends a recording. `repairs` are those of the last call."""

    def __init__(self, harness: CallHarness, providers: dict[str, RecordedProvider]) -> None:
        self.harness = harness
        self.repairs = Repairs()
        self._providers = providers

    def count_repairs(self, provider: str, repairs: Repairs) -> None:
        """Stands in for the metrics, whose text becomes long with a provider for each recording."""
        assert provider in self._providers
        self.repairs += repairs

    async def call(self, recording: Recording, cuts: Iterable[int] = ()) -> Outcome:
        """Makes one call; the provider's body is cut at the given places."""
        self.repairs = Repairs()
        provider = self._providers[recording.name]
        provider.recording, provider.cuts = recording, [*cuts]
        body = recording.request_body()
        request = CallRequest(
            inference=DIALECT.parse_request(recording.api, body),
            dialect=DIALECT,
            body=body,
            origin=Origin(request_id="req_1"),
            idempotency_key=None,
            max_cost_pico=None,
        )
        client = FakeClient()
        call = await self.harness.begin(request, client)
        try:
            status, headers, answer = await _finish(call, client, streams=recording.streams)
        except GatewayError as error:
            status, _, pairs, _ = ErrorResponses().describe(error)
            headers = {name.decode(): value.decode() for name, value in pairs}
            headers["content-type"] = "application/json"
            answer = DIALECT.error_body(ErrorResponses().report(error))
        account_id = self.harness.caller.account_id
        generation = await self.harness.store.generation(account_id, call.generation.id)
        assert generation is not None
        return Outcome(status, headers, answer, generation)


async def _finish(
    call: Call, client: FakeClient, *, streams: bool
) -> tuple[int, dict[str, str], bytes]:
    if not streams:
        return 200, {"content-type": "application/json"}, await take(call)
    await relay(call, client)
    return 200, {"content-type": "text/event-stream"}, b"".join(client.pieces)


@asynccontextmanager
async def open_gateway(
    store: Store, folder: Path, recordings: list[Recording]
) -> AsyncIterator[RecordingGateway]:
    """Yields a gateway that offers a model for each recording."""
    clock = ManualClock()
    read = load_configuration(configured(folder, "http://127.0.0.1:9/v1", recordings), {})
    providers = {recording.name: RecordedProvider(recording) for recording in recordings}
    ports: dict[str, Provider] = {**providers}
    services = metered(
        store, clock, folder / "spool", catalog=Catalog(read.models, read.prices), providers=ports
    )
    caller = await new_caller(store, 10_000 * DOLLAR)
    gateway = RecordingGateway(CallHarness(store, clock, services, caller), providers)
    with patch.object(services.metrics, "count_repairs", gateway.count_repairs):
        yield gateway
