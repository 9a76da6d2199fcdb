"""Official clients that give up and retry: one response, one charge, one call of the provider."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from modelgates_server.core.ledger.records import HoldState
from tests.deadlines import DEADLINE_S
from tests.e2e.calls import Session, acme_server
from tests.e2e.guides import lacks_node, lacks_packages
from tests.server import RunningServer, open_customer_now
from tests.upstream import UpstreamReply, answer, plain, story, usage

SLOW_S = 3
"""Longer than the one second that the clients wait."""

CLIENTS = Path(__file__).parent / "clients"
SDKS = Path(sys.prefix) / "sdks"
PYTHON = [sys.executable, str(CLIENTS / "retrying.py")]
NODE = ["node", str(CLIENTS / "node" / "openai_retrying.mjs")]
EXPECTED = {"plain": "hi", "stream": "word0 word1 word2 word3 word4 "}


def answer_slowly(body: Any) -> UpstreamReply:
    """Sends nothing, not even a head, for `SLOW_S` seconds."""
    time.sleep(SLOW_S)
    return UpstreamReply(story()) if body.get("stream") else plain(answer("hi", usage(3, 5)))


def check_client(server: RunningServer, command: list[str], path: str, idempotency_key: str) -> str:
    """Two calls of one client, which has its own account; returns the client's version."""
    customer = open_customer_now(server.database_path)
    done = subprocess.run(
        [*command, server.api, customer.inference, "acme/large", idempotency_key],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr + server.log_path.read_text()[-4000:]
    printed = json.loads(done.stdout)
    client_version: str = printed.pop("version")
    assert printed == EXPECTED
    with Session(server, customer) as session:
        generations = session.check_ledger()
        assert session.viewer.get("/credits/holds") == []
    ends = [(each.state, each.error, each.streamed) for each in generations]
    assert sorted(ends, key=str) == [
        (HoldState.CAPTURED, None, False),
        (HoldState.CAPTURED, None, True),
    ]
    return client_version


@pytest.mark.parametrize("idempotency_key", ["", "once"], ids=["without a key", "with a key"])
def test_impatient_openai_clients_get_one_response_for_one_charge(
    tmp_path: Path, idempotency_key: str
) -> None:
    with acme_server(tmp_path) as (server, upstream), ThreadPoolExecutor(2) as pool:
        upstream.say = answer_slowly
        checks = [
            pool.submit(check_client, server, PYTHON, path, idempotency_key)
            for path in ("", str(SDKS / "openai-1.109.1"))
        ]
        assert [check.result() for check in checks] == [version("openai"), "1.109.1"]
        assert len(upstream.asked) == 2 * len(checks)
        assert "Traceback" not in server.log_path.read_text()


@pytest.mark.parametrize("idempotency_key", ["", "once"], ids=["without a key", "with a key"])
def test_impatient_javascript_client_gets_one_response_for_one_charge(
    tmp_path: Path, idempotency_key: str
) -> None:
    if lacks_node() or lacks_packages():
        pytest.skip("this machine has no Node 20 or newer, or not its packages; CI demands both")
    with acme_server(tmp_path) as (server, upstream):
        upstream.say = answer_slowly
        check_client(server, NODE, "", idempotency_key)
        assert len(upstream.asked) == 2
        assert "Traceback" not in server.log_path.read_text()


def test_retries_are_calls_of_their_own_when_the_setting_is_off(tmp_path: Path) -> None:
    with acme_server(tmp_path, MODELGATES_JOIN_RETRIES="false") as (server, upstream):
        upstream.say = answer_slowly
        customer = open_customer_now(server.database_path)
        client = [sys.executable, "-c", _TWICE, server.api, customer.inference]
        subprocess.run(client, timeout=DEADLINE_S, check=True)
        with Session(server, customer) as session:
            assert session.inference.chat().status_code == 200
        assert len(upstream.asked) == 3


_TWICE = """
import sys, openai
client = openai.OpenAI(base_url=sys.argv[1], api_key=sys.argv[2], timeout=1, max_retries=1)
try:
    client.chat.completions.create(model="acme/large", messages=[{"role": "user", "content": "x"}])
except openai.APITimeoutError:
    pass
"""
