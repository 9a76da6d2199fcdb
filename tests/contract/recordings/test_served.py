"""Every recording, sent over HTTP through a running gateway, and read by OpenAI's client."""

import asyncio
from decimal import Decimal
from typing import Any, Self

import msgspec
import pytest
from openai import APIError, AsyncOpenAI, AsyncStream
from openai.types import Completion
from openai.types.chat import ChatCompletion

from modelgates_server.core.metering.repairs import Repairs
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.core.pricing.prices import dollars
from modelgates_server.store.sqlite.opening import open_store
from tests.contract.recordings.checks import check_generation, check_repairs, check_response
from tests.contract.recordings.gateway import Outcome, configured, repairs_in
from tests.contract.recordings.generated import generated_recordings
from tests.contract.recordings.received import exact_json
from tests.contract.recordings.recording import Recording, all_recordings
from tests.contract.recordings.upstream import RecordedUpstream, recorded_upstream
from tests.deadlines import DEADLINE_S, async_http_client
from tests.ledger_checks import check_ledger
from tests.server import Customer, RunningServer, open_customer, running_server
from tests.support import DOLLAR

pytestmark = pytest.mark.slow

RECORDINGS = [*all_recordings(), *generated_recordings()]
AT_ONCE = 4
METRICS_TOKEN = "0123456789abcdef"
_PATHS = {
    Api.CHAT: "chat/completions",
    Api.COMPLETIONS: "completions",
    Api.EMBEDDINGS: "embeddings",
}


class Served(msgspec.Struct):
    """The results of two calls of each recording: one for its bytes, one with OpenAI's client.

    `texts` are what the client makes of the first choice, or the error that it raises.
    """

    outcomes: dict[str, Outcome] = {}
    texts: dict[str, str | Exception] = {}
    repairs: dict[str, Repairs] = {}
    costs_pico: dict[str, list[int]] = {}
    total_usage: Decimal = Decimal(0)


class RecordingClient:
    """Calls a running gateway with the keys of a customer."""

    def __init__(
        self, server: RunningServer, customer: Customer, upstream: RecordedUpstream
    ) -> None:
        self.http = async_http_client(
            base_url=server.api, headers={"Authorization": f"Bearer {customer.inference}"}
        )
        self.openai = AsyncOpenAI(
            base_url=server.api,
            api_key=customer.inference,
            max_retries=0,
            timeout=DEADLINE_S,
        )
        self._upstream = upstream

    async def call(self, recording: Recording) -> tuple[int, dict[str, str], bytes]:
        """Makes one call; returns what arrives."""
        pieces: list[bytes] = []
        async with self.http.stream(
            "POST",
            f"/{_PATHS[recording.api]}",
            content=recording.request_body(),
            headers={"Content-Type": "application/json"},
        ) as response:
            async for piece in response.aiter_bytes():
                if not pieces:
                    self._upstream.begun(recording.name)
                pieces.append(piece)
        return response.status_code, dict(response.headers), b"".join(pieces)

    async def text(self, recording: Recording) -> str | Exception:
        """Makes one call with OpenAI's client; returns the text of the first choice."""
        request = msgspec.json.decode(recording.request_body())
        create: Any = {
            Api.CHAT: self.openai.chat.completions.create,
            Api.COMPLETIONS: self.openai.completions.create,
            Api.EMBEDDINGS: self.openai.embeddings.create,
        }[recording.api]
        try:
            made = await create(**request)
            return await self._stream(recording, made) if recording.streams else _text(made)
        except Exception as error:  # noqa: BLE001 - a test of this recording shows it
            return error

    async def _stream(self, recording: Recording, chunks: AsyncStream[Any]) -> str:
        text = ""
        async with chunks:
            async for chunk in chunks:
                self._upstream.begun(recording.name)
                for choice in chunk.choices:
                    if choice.index == 0:
                        is_text = recording.api is Api.COMPLETIONS
                        text += (choice.text if is_text else choice.delta.content) or ""
        return text

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()
        await self.openai.close()


def _text(made: Any) -> str:
    if isinstance(made, ChatCompletion):
        return made.choices[0].message.content or ""
    return made.choices[0].text if isinstance(made, Completion) else ""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """Calls all recordings through one gateway, and checks its ledger at the end."""
    folder = tmp_path_factory.mktemp("served")
    with recorded_upstream(RECORDINGS) as upstream:
        path = configured(folder, upstream.url, RECORDINGS)
        settings = {"MODELGATES_CONFIG": str(path), "MODELGATES_METRICS_TOKEN": METRICS_TOKEN}
        with running_server(folder, **settings) as server:
            return asyncio.run(_call_all(server, upstream))


async def _call_all(server: RunningServer, upstream: RecordedUpstream) -> Served:
    customer = await open_customer(server.database_path, 10_000 * DOLLAR)
    store = open_store(server.database_path)
    served = Served()
    places = asyncio.Semaphore(AT_ONCE)
    async with RecordingClient(server, customer, upstream) as client:

        async def call_twice(recording: Recording) -> None:
            async with places:
                status, headers, body = await client.call(recording)
                generation_id = headers["x-generation-id"]
                generation = await store.generation(customer.account_id, generation_id)
                assert generation is not None
                served.outcomes[recording.name] = Outcome(status, headers, body, generation)
                served.texts[recording.name] = await client.text(recording)

        try:
            await asyncio.gather(*map(call_twice, RECORDINGS))
            await check_ledger(store)
            async with store.account_snapshot(customer.account_id) as snapshot:
                async for page in snapshot.generations():
                    for row in page:
                        costs = served.costs_pico.setdefault(row.record.provider, [])
                        costs.append(row.record.cost_pico)
            await _read_totals(client, server, customer, served)
        finally:
            await store.close()
    return served


async def _read_totals(
    client: RecordingClient, server: RunningServer, customer: Customer, served: Served
) -> None:
    viewer = {"Authorization": f"Bearer {customer.viewer}"}
    credits_ = await client.http.get("/credits", headers=viewer)
    served.total_usage = exact_json(credits_.text)["data"]["total_usage"]
    token = {"Authorization": f"Bearer {METRICS_TOKEN}"}
    metrics = await client.http.get(f"{server.url}/metrics", headers=token)
    served.repairs = repairs_in(metrics.text)


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.name)
def test_recording_is_served_as_its_file_expects(recording: Recording, served: Served) -> None:
    outcome = served.outcomes[recording.name]
    check_response(recording, outcome.status, outcome.headers, outcome.body)
    check_generation(recording, outcome.generation)
    check_repairs(recording, set(served.repairs.get(recording.name, ())))


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.name)
def test_recording_is_read_by_the_client_of_openai(recording: Recording, served: Served) -> None:
    text = served.texts[recording.name]
    if recording.expected.error is None:
        assert text == recording.expected.texts[0]
    else:
        assert isinstance(text, APIError)
        assert recording.expected.error.says in str(text.body)


def test_both_clients_pay_the_same_and_usage_is_the_sum(served: Served) -> None:
    # The fixture has checked the ledger.
    costs = {recording.name: served.costs_pico[recording.name] for recording in RECORDINGS}
    assert [name for name, (first, second) in costs.items() if first != second] == []
    assert Decimal(served.total_usage) == dollars(sum(map(sum, costs.values())))
