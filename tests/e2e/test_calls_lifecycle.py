"""Calls that run while the server stops, is killed, or loses its database."""

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import Generation
from tests.cli.console import Console
from tests.deadlines import DEADLINE_S
from tests.e2e.calls import Session, acme_server, configured, mortal_server, read, records
from tests.e2e.load import is_listening, wait_until
from tests.gateway import moved_away
from tests.server import Customer, RunningServer, open_customer_now
from tests.support import DOLLAR
from tests.upstream import (
    Gate,
    Upstream,
    UpstreamReply,
    answer,
    plain,
    running_upstream,
    story,
    usage,
)

REPORTED_COST_PICO = 503 * DOLLAR // 10_000
HOLD_TTL_S = "3"


def two_words() -> Gate:
    return Gate(story()[:2], story()[2:])


def half_a_response() -> Gate:
    [body] = plain(answer("hi", usage(3, 5))).pieces
    return Gate([body[:20]], [body[20:]])


def both(stream: Gate, whole: Gate) -> Callable[[Any], UpstreamReply]:
    """Streams pause at one gate, plain responses at the other."""

    def say(body: Any) -> UpstreamReply:
        return (
            UpstreamReply(stream)
            if body.get("stream")
            else UpstreamReply(whole, 200, "application/json")
        )

    return say


def saved(server: RunningServer, customer: Customer) -> list[Generation]:
    """All generations, from a ledger that verifies."""
    return records(server.database_path, customer.account_id)[1]


def kinds(server: RunningServer, customer: Customer) -> list[str]:
    """The kinds of the entries in the journal of an account, in order."""
    console = Console(server.database_path.parent)
    entries = console.do(
        lambda gateway: gateway.store.entries(customer.account_id, after_seq=0, limit=99)
    )
    return [entry.kind.value for entry in entries]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_running_calls_finish_and_are_captured_when_the_server_stops(
    tmp_path: Path, workers: str
) -> None:
    stream, whole = two_words(), half_a_response()
    with acme_server(tmp_path, MODELGATES_WORKERS=workers) as (server, upstream):
        upstream.say = both(stream, whole)
        customer = open_customer_now(server.database_path)
        with Session(server, customer) as session, ThreadPoolExecutor(1) as pool:
            call = pool.submit(session.inference.chat)
            with session.inference.stream() as running, session.inference.stream() as left:
                running.read_until("word1")
                left.read_until("word1")
                left.reset()
                left.response.close()
                wait_until(lambda: len(upstream.asked) == 3, server.process)
                server.process.terminate()
                wait_until(lambda: not is_listening(server.url), server.process)
                stream.go.set()
                whole.go.set()
                running.read_rest()
            costs = [running.cost, read(call.result().text)["usage"]["cost"]]
        assert server.process.wait(DEADLINE_S) == 0
    assert costs == [Decimal("0.0503")] * 2
    generations = saved(server, customer)
    assert [(generation.state, generation.cost_pico) for generation in generations] == [
        (HoldState.CAPTURED, REPORTED_COST_PICO)
    ] * 3
    assert "Traceback" not in server.log_path.read_text()


def test_running_calls_are_cut_off_and_charged_when_the_grace_period_ends(
    tmp_path: Path,
) -> None:
    stream, whole = two_words(), half_a_response()
    with acme_server(tmp_path, MODELGATES_SHUTDOWN_GRACE_S="1") as (server, upstream):
        upstream.say = both(stream, whole)
        customer = open_customer_now(server.database_path)
        with Session(server, customer) as session, ThreadPoolExecutor(1) as pool:
            call = pool.submit(session.inference.chat)
            with session.inference.stream() as running:
                running.read_until("word1")
                wait_until(lambda: len(upstream.asked) == 2, server.process)
                server.process.terminate()
                running.read_rest()
            refused = call.result()
        assert server.process.wait(DEADLINE_S) == 0
        stream.go.set()
        whole.go.set()
    last = running.chunks[-1]
    stopping = {"message": "The server is stopping.", "code": 503}
    assert last["error"] == {
        **stopping,
        "metadata": {"error_type": "server", "retry_after_seconds": 1},
    }
    assert last["choices"][0]["finish_reason"] == "error"
    assert refused.status_code == 503
    assert "retry-after" in refused.headers
    by_streamed = {generation.streamed: generation for generation in saved(server, customer)}
    assert by_streamed[False].state is HoldState.VOIDED
    cut = by_streamed[True]
    assert cut.usage is not None
    assert (cut.state, cut.usage.estimated, cut.usage.output) == (HoldState.CAPTURED, True, 3)
    assert Decimal(cut.cost_pico) / DOLLAR == running.cost
    assert "Traceback" not in server.log_path.read_text()


@contextmanager
def upstream_and_settings(folder: Path) -> Iterator[tuple[Upstream, dict[str, str]]]:
    with running_upstream() as upstream:
        settings = configured(folder, upstream.url)
        yield upstream, {**settings, "MODELGATES_HOLD_TTL_S": HOLD_TTL_S}


def is_past_expiry(server: RunningServer, customer: Customer) -> bool:
    """Whether the one open hold is past its expiry time."""
    now_ms = time.time_ns() // 1_000_000
    console = Console(server.database_path.parent)
    due = console.do(lambda gateway: gateway.store.expired_holds(now_ms, 9))
    return [hold.account_id for hold in due] == [customer.account_id]


def ended(server: RunningServer, customer: Customer) -> Generation:
    """The one call, once the server has resolved its hold."""
    wait_until(
        lambda: saved(server, customer)[0].state is not HoldState.OPEN,
        server.process,
    )
    [generation] = saved(server, customer)
    return generation


@pytest.mark.parametrize("checkpoint", [False, True])
def test_killed_stream_is_charged_the_cost_of_its_last_checkpoint(
    tmp_path: Path, checkpoint: bool
) -> None:
    gate = two_words() if checkpoint else Gate([], [])
    with upstream_and_settings(tmp_path) as (upstream, settings):
        upstream.say = lambda _: UpstreamReply(gate)
        with mortal_server(tmp_path, **settings) as server:
            customer = open_customer_now(server.database_path)
            with (
                Session(server, customer, holds_open=True) as session,
                session.inference.stream() as running,
            ):
                if checkpoint:
                    running.read_until("word1")
                    wait_until(lambda: saved(server, customer)[0].cost_pico > 0, server.process)
                before = saved(server, customer)[0].cost_pico
                server.process.kill()
                server.process.wait(DEADLINE_S)
            gate.go.set()
        assert saved(server, customer)[0].state is HoldState.OPEN
        while not is_past_expiry(server, customer):
            pass  # no server runs that could resolve it
        for _ in range(2):  # it is charged once, however often the server starts
            with mortal_server(tmp_path, **settings) as server:
                lost = ended(server, customer)
                with Session(server, customer) as session:
                    [shown] = session.check_ledger()
    assert (lost.state, lost.cost_pico) == (HoldState.EXPIRED, before)
    assert (before > 0) is checkpoint
    assert shown == lost
    entry_kinds = kinds(server, customer)
    assert [kind for kind in entry_kinds if kind != "extend"] == ["open", "grant", "hold", "expire"]


def test_call_is_refused_before_it_is_sent_when_the_database_is_missing(tmp_path: Path) -> None:
    with acme_server(tmp_path) as (server, upstream):
        customer = open_customer_now(server.database_path)
        with Session(server, customer) as session:
            with moved_away(server.database_path):
                for stream in (False, True):
                    refused = session.inference.chat(stream=stream)
                    assert refused.status_code == 503
                    assert int(refused.headers["retry-after"]) > 0
            assert upstream.asked == []
            assert session.inference.chat().status_code == 200
            assert len(session.check_ledger()) == 1


def test_capture_is_committed_when_the_database_is_back(tmp_path: Path) -> None:
    gate = two_words()
    with acme_server(tmp_path) as (server, upstream):
        upstream.say = lambda _: UpstreamReply(gate)
        customer = open_customer_now(server.database_path)
        with Session(server, customer) as session:
            with session.inference.stream() as running:
                running.read_until("word1")
                with moved_away(server.database_path):
                    gate.go.set()
                    running.read_rest()
            assert running.cost == Decimal("0.0503")
            assert ended(server, customer).cost_pico == REPORTED_COST_PICO
            session.check_ledger()
    assert list((tmp_path / "modelgates.db-spool").glob("*.json")) == []


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_capture_survives_the_end_of_a_process_without_a_database(tmp_path: Path, end: int) -> None:
    gate = two_words()
    with upstream_and_settings(tmp_path) as (upstream, settings):
        upstream.say = lambda _: UpstreamReply(gate)
        with mortal_server(tmp_path, **settings) as server:
            customer = open_customer_now(server.database_path)
            with (
                Session(server, customer, holds_open=True) as session,
                session.inference.stream() as running,
            ):
                running.read_until("word1")
                with moved_away(server.database_path):
                    gate.go.set()
                    running.read_rest()
                    server.process.send_signal(end)
                    code = server.process.wait(DEADLINE_S)
        assert code == (0 if end == signal.SIGTERM else -end)
        assert len(list((tmp_path / "modelgates.db-spool").glob("*.json"))) == 1
        while not is_past_expiry(server, customer):
            pass  # the capture must be committed although its hold is past its expiry
        for _ in range(2):
            with mortal_server(tmp_path, **settings) as server:
                generation = ended(server, customer)
                with Session(server, customer) as session:
                    session.check_ledger()
    assert (generation.state, generation.cost_pico) == (HoldState.CAPTURED, REPORTED_COST_PICO)
    assert running.cost == Decimal("0.0503")


def test_figures_stay_the_same_after_restarts(tmp_path: Path) -> None:
    with running_upstream() as upstream:
        settings = configured(tmp_path, upstream.url)
        figures = set()
        with mortal_server(tmp_path, **settings) as server:
            customer = open_customer_now(server.database_path)
            with Session(server, customer) as session:
                session.inference.chat()
        for _ in range(3):
            with (
                mortal_server(tmp_path, **settings) as server,
                Session(server, customer) as session,
            ):
                shown = ["/credits", "/activity", "/key", "/credits/holds"]
                figures.add(tuple(session.viewer.http.get(path).text for path in shown))
                session.check_ledger()
        assert len(figures) == 1
