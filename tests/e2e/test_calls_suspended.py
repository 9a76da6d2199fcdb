"""A server process that is stopped past the life of a call's hold, and then continues."""

import signal
import sqlite3
from contextlib import ExitStack, closing
from decimal import Decimal
from pathlib import Path

import pytest

from modelgates_server.core.ledger.records import EntryKind, HoldState
from tests.e2e.calls import Session, mortal_server, records
from tests.e2e.load import wait_until
from tests.e2e.test_calls_lifecycle import (
    REPORTED_COST_PICO,
    ended,
    is_past_expiry,
    kinds,
    saved,
    two_words,
    upstream_and_settings,
)
from tests.server import RunningServer, open_customer_now
from tests.support import DOLLAR
from tests.upstream import UpstreamReply


def suspend(server: RunningServer) -> None:
    """Stops a process, though not in a commit: it would keep the lock of the database."""
    while True:
        server.process.send_signal(signal.SIGSTOP)
        with closing(sqlite3.connect(server.database_path, timeout=0)) as connection:
            try:
                connection.execute("begin immediate")
            except sqlite3.OperationalError:
                server.process.send_signal(signal.SIGCONT)
            else:
                return


@pytest.mark.parametrize("checkpoint", [False, True])
def test_stream_of_a_suspended_process_is_charged_late(tmp_path: Path, checkpoint: bool) -> None:
    gate = two_words()
    with upstream_and_settings(tmp_path) as (upstream, settings), ExitStack() as servers:
        upstream.say = lambda _: UpstreamReply(gate)
        sleeper = servers.enter_context(mortal_server(tmp_path, **settings))
        customer = open_customer_now(sleeper.database_path)
        with Session(sleeper, customer) as session, session.inference.stream() as running:
            running.read_until("word1")
            if checkpoint:
                wait_until(lambda: saved(sleeper, customer)[0].cost_pico > 0, sleeper.process)
            suspend(sleeper)
            while not is_past_expiry(sleeper, customer):
                pass  # the only process that could extend the hold is stopped
            other = servers.enter_context(mortal_server(tmp_path, **settings))
            expired = ended(other, customer)
            assert expired.state is HoldState.EXPIRED
            assert (expired.cost_pico > 0) is checkpoint
            gate.go.set()
            sleeper.process.send_signal(signal.SIGCONT)
            running.read_rest()
            assert running.cost == Decimal(REPORTED_COST_PICO) / DOLLAR
        with Session(other, customer) as session:
            shown = session.inference.get(f"/generation?id={expired.id}")
            used = session.viewer.get("/credits")["total_usage"]
            activity = session.viewer.get("/activity")
    lines = {line["what"]: Decimal(line["amount"]) for line in shown["lines"]}
    assert lines["late_usage"] == Decimal(REPORTED_COST_PICO - expired.cost_pico) / DOLLAR
    assert sum(lines.values()) == shown["total_cost"] == used == running.cost
    assert (shown["state"], sum(row["requests"] for row in activity)) == ("expired", 1)
    assert sum(row["usage"] for row in activity) == used
    account, [generation] = records(other.database_path, customer.account_id)
    assert (account.usage_pico, account.held_pico) == (REPORTED_COST_PICO, 0)
    assert generation == expired
    entry_kinds = [kind for kind in kinds(other, customer) if kind != "extend"]
    assert entry_kinds == ["open", "grant", "hold", "expire", EntryKind.LATE_USAGE]
    log = other.log_path.read_text()
    assert "capture after its hold was resolved: charged as late usage" in log
    assert "Traceback" not in log
