"""Repeats that join a running call over HTTP: slow, dead and leaving readers, and the server's end.

The sessions check that no hold stays open, that costs add up, and that the ledger verifies.
"""

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deadlines import DEADLINE_S
from tests.e2e.calls import (
    Client,
    ResponseReader,
    Session,
    acme_server,
    chat_body,
    configured,
    mortal_server,
    read,
)
from tests.e2e.load import wait_until
from tests.e2e.wire import Wire, request, wire
from tests.server import RunningServer, open_customer_now, running_server
from tests.upstream import (
    Gate,
    Upstream,
    UpstreamReply,
    answer,
    chunk,
    plain,
    running_upstream,
    story,
    usage,
)

Acme = tuple[RunningServer, Upstream]
ONCE = {"Idempotency-Key": "6f1c9a8e-joined"}
RETRY = {"x-stainless-retry-count": "1"}
REPORTED_COST = Decimal("0.0503")
GIVES_UP_AFTER_S = 1
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Acme]:
    settings = {"MODELGATES_REQUEST_TIMEOUT_S": str(GIVES_UP_AFTER_S)}
    with acme_server(tmp_path_factory.mktemp("acme"), **settings) as running:
        yield running
    assert "Traceback" not in running[0].log_path.read_text()


@pytest.fixture
def upstream(acme: Acme) -> Upstream:
    _, running = acme
    running.asked.clear()
    return running


@pytest.fixture
def session(acme: Acme) -> Iterator[Session]:
    server, _ = acme
    with Session(server, open_customer_now(server.database_path)) as opened:
        yield opened


def gated(upstream: Upstream) -> Gate:
    gate = Gate(story()[:2], story()[2:])
    upstream.say = lambda _: UpstreamReply(gate)
    return gate


def check_stream(reader: ResponseReader, first_id: str) -> None:
    assert reader.id == first_id
    assert reader.response.headers["idempotent-replayed"] == "true"
    texts = [each["choices"][0]["delta"].get("content", "") for each in reader.chunks[:-1]]
    assert "".join(texts) == "word0 word1 word2 word3 word4 "
    assert reader.cost == REPORTED_COST


def check_one_charge(session: Session, upstream: Upstream) -> None:
    assert len(upstream.asked) == 1
    assert len(session.check_ledger()) == 1
    assert session.viewer.get("/credits")["total_usage"] == REPORTED_COST


def test_keyed_repeat_reads_the_stream_with_the_first_request_and_after_it(
    session: Session, upstream: Upstream
) -> None:
    gate = gated(upstream)
    with session.inference.stream(headers=ONCE) as first:
        first.read_until("word1")
        with session.inference.stream(headers=ONCE) as second:
            second.read_until("word1")
            refused = session.inference.chat("other", stream=True, headers=ONCE)
            assert refused.status_code == 422
            gate.go.set()
            second.read_rest()
        first.read_rest()
    check_stream(second, first.id)
    assert "idempotent-replayed" not in first.response.headers
    check_stream(session.inference.read_stream(headers=ONCE), first.id)
    check_one_charge(session, upstream)


@pytest.mark.parametrize("stream", [False, True])
def test_fifty_equal_keyed_requests_at_once_are_one_call(
    session: Session, upstream: Upstream, *, stream: bool
) -> None:
    upstream.say = lambda _: UpstreamReply(story()) if stream else plain(answer("hi", usage(3, 5)))
    responses = storm(session, stream=stream, headers=ONCE)
    assert {response.status_code for response in responses} == {200}
    assert len({response.content for response in responses}) == 1
    check_one_charge(session, upstream)


@pytest.mark.parametrize("stream", [False, True])
def test_fifty_equal_requests_at_once_are_fifty_calls(
    session: Session, upstream: Upstream, *, stream: bool
) -> None:
    upstream.say = lambda _: UpstreamReply(story()) if stream else plain(answer("hi", usage(3, 5)))
    responses = storm(session, stream=stream, headers=RETRY)
    assert len({response.headers["x-generation-id"] for response in responses}) == 50
    assert len(upstream.asked) == 50
    session.check_ledger()


def storm(session: Session, **parameters: Any) -> list[httpx.Response]:
    def call(_: int) -> httpx.Response:
        return session.inference.chat(**parameters)

    with ThreadPoolExecutor(50) as pool:
        return list(pool.map(call, range(50)))


def test_retries_read_a_stream_that_their_clients_left_one_after_another(
    session: Session, upstream: Upstream
) -> None:
    gate = gated(upstream)
    with session.inference.stream() as first:
        first.read_until("word1")
        first.reset()
    with session.inference.stream(headers=RETRY) as second:
        second.read_until("word1")
        second.reset()
    with session.inference.stream(headers=RETRY) as third:
        third.read_until("word1")
        gate.go.set()
        third.read_rest()
    assert second.id == first.id
    check_stream(third, first.id)
    [generation] = session.check_ledger()
    assert not generation.cancelled
    check_one_charge(session, upstream)


def test_retry_is_a_call_of_its_own_after_a_stream_that_closed_its_connection(
    session: Session, upstream: Upstream
) -> None:
    """Proxies send `Connection: close` by default: the server's close is not the client's."""
    upstream.say = lambda _: UpstreamReply(story())
    first = session.inference.read_stream(headers={"Connection": "close"})
    assert first.is_complete
    second = session.inference.read_stream(headers=RETRY)
    assert second.id != first.id
    assert len(upstream.asked) == 2
    assert len(session.check_ledger()) == 2


def picture_chunks(count: int) -> list[bytes]:
    """Chunks of 64 KiB, each with its number."""
    return [
        chunk(choices=[{"index": 0, "delta": {"images": [picture(number)]}}])
        for number in range(count)
    ]


def picture(number: int) -> dict[str, Any]:
    return {"image_url": {"url": f"data:{number:06d}{'x' * 65536}"}}


def open_stream(key: str, opened: Wire) -> None:
    """Sends a keyed request for a stream."""
    body = json.dumps(chat_body("hello", stream=True)).encode()
    headers = [f"{name}: {value}" for name, value in ONCE.items()]
    opened.send(request("POST /api/v1/chat/completions", key, *headers, body=body))


@pytest.mark.parametrize("total_mib", [0.8, 12], ids=["kept", "not kept"])
def test_dead_first_reader_holds_up_neither_the_call_nor_a_slow_second_one(
    acme: Acme, session: Session, upstream: Upstream, total_mib: float
) -> None:
    """A longer output goes at the pace of its slowest reader, until the dead one is dropped."""
    server, _ = acme
    count = int(total_mib * 16)
    gate = Gate(story()[:1], [*picture_chunks(count), *story()[1:]])
    upstream.say = lambda _: UpstreamReply(gate)
    with wire(server.url) as dead, wire(server.url) as slow:
        dead.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        open_stream(session.customer.inference, dead)
        wait_until(lambda: len(upstream.asked) == 1, server.process)
        open_stream(session.customer.inference, slow)
        received = slow.socket.recv(4096)
        assert b"idempotent-replayed: true" in received
        gate.go.set()
        pieces = [received]
        while b"data: [DONE]" not in b"".join(pieces[-3:]):
            pieces.append(slow.socket.recv(4096))
            assert pieces[-1], "the stream ended before its end"
    text = b"".join(pieces)
    starts = [text.index(b"data:%06dx" % number) for number in range(count)]
    assert starts == sorted(starts)
    assert len(upstream.asked) == 1
    session.check_ledger()


def test_call_beyond_the_limit_is_rejected_with_retry_after_while_it_runs(
    session: Session, upstream: Upstream
) -> None:
    gate = Gate([*picture_chunks(17), story()[0]], story()[1:])
    upstream.say = lambda _: UpstreamReply(gate)
    with session.inference.stream(headers=ONCE) as keyed:
        keyed.read_until("word0")
        with session.inference.stream() as left:
            left.read_until("word0")
            left.reset()
        for headers in (ONCE, RETRY):
            refused = session.inference.chat(stream=True, headers=headers)
            assert refused.status_code == 409
            assert refused.headers["retry-after"] == "1"
            assert read(refused.text)["error"]["code"] == 409
        gate.go.set()
        keyed.read_rest()
    assert len(upstream.asked) == 2


def test_joined_streams_end_with_an_error_when_the_server_stops(tmp_path: Path) -> None:
    settings = {"MODELGATES_SHUTDOWN_GRACE_S": "0"}
    with running_upstream() as upstream:
        gate = gated(upstream)
        with (
            running_server(tmp_path, **configured(tmp_path, upstream.url), **settings) as server,
            Session(server, open_customer_now(server.database_path)) as session,
            session.inference.stream(headers=ONCE) as first,
        ):
            first.read_until("word1")
            with session.inference.stream(headers=ONCE) as second:
                second.read_until("word1")
                server.process.terminate()
                for reader in (first, second):
                    reader.read_rest()
                    last = reader.chunks[-1]
                    assert last["error"]["code"] == 503
                    assert last["usage"]["cost"] > 0
                assert first.chunks[-1] == second.chunks[-1]
            assert server.process.wait(DEADLINE_S) == 0
        gate.go.set()
        assert len(upstream.asked) == 1


def test_repeat_after_a_kill_is_one_more_call_and_the_only_charge(tmp_path: Path) -> None:
    with running_upstream() as upstream:
        gate = Gate([], [b"{}"])
        upstream.say = lambda _: UpstreamReply(gate, content_type="application/json")
        settings = {**configured(tmp_path, upstream.url), "MODELGATES_HOLD_TTL_S": "3"}
        with mortal_server(tmp_path, **settings) as server, ThreadPoolExecutor(2) as pool:
            customer = open_customer_now(server.database_path)
            client = Client(server.api, customer.inference)
            with client.http:
                calls = [pool.submit(client.chat, headers=ONCE) for _ in range(2)]
                wait_until(lambda: len(upstream.asked) == 1, server.process)
                server.process.kill()
                assert all(isinstance(call.exception(), httpx.TransportError) for call in calls)
        gate.go.set()
        upstream.say = lambda _: plain(answer("hi", usage(3, 5)))
        with (
            running_server(tmp_path, **settings) as server,
            Session(server, customer) as session,
        ):
            responses = [session.inference.chat(headers=ONCE)]
            while responses[-1].status_code == 409:
                assert responses[-1].headers["retry-after"] == "1"
                responses.append(session.inference.chat(headers=ONCE))
            assert responses[-1].status_code == 200
            assert session.inference.chat(headers=ONCE).content == responses[-1].content
            session.check_ledger()
            assert session.viewer.get("/credits")["total_usage"] == REPORTED_COST
        assert len(upstream.asked) == 2


def test_repeat_in_another_process_is_rejected_until_the_response_is_stored(
    acme: Acme, session: Session, upstream: Upstream, tmp_path: Path
) -> None:
    server, _ = acme
    [body] = plain(answer("hi", usage(3, 5))).pieces
    gate = Gate([], [body])
    upstream.say = lambda _: UpstreamReply(gate, content_type="application/json")
    settings = configured(tmp_path, upstream.url)
    settings["MODELGATES_DATABASE_URL"] = f"sqlite:///{server.database_path}"
    with running_server(tmp_path, **settings) as other, ThreadPoolExecutor(1) as pool:
        elsewhere = Client(other.api, session.customer.inference)
        with elsewhere.http:
            first = pool.submit(session.inference.chat, headers=ONCE)
            wait_until(lambda: len(upstream.asked) == 1, server.process)
            refused = elsewhere.chat(headers=ONCE)
            assert (refused.status_code, refused.headers["retry-after"]) == (409, "1")
            gate.go.set()
            assert first.result().status_code == 200
            again = elsewhere.chat(headers=ONCE)
            assert (again.status_code, again.content) == (200, first.result().content)
    check_one_charge(session, upstream)
