"""Official clients with their own timeouts wait for a slow model: one call, one charge."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

from modelgates_server.core.ledger.records import HoldState
from tests.deadlines import DEADLINE_S
from tests.e2e.calls import Session, acme_server
from tests.server import RunningServer, open_customer_now
from tests.upstream import UpstreamReply, answer, plain, story, usage

SLOW_S = 7
"""Longer than the 5 s that OpenRouter's Python clients wait for a byte."""

SCRIPT = Path(__file__).parent / "clients" / "waiting.py"
SDKS = Path(sys.prefix) / "sdks"
CLIENTS = {
    ("openai", version("openai")): None,
    ("openai", "1.109.1"): "openai-1.109.1",
    ("openrouter", version("openrouter")): None,
    ("openrouter", "0.11.46"): "openrouter-0.11.46",
    ("langchain-openrouter", "0.2.9"): "langchain-openrouter-0.2.9",
}
RESPONSES = {"plain": "hi", "stream": "word0 word1 word2 word3 word4 "}


def answer_slowly(body: Any) -> UpstreamReply:
    """Sends nothing, not even a head, for `SLOW_S` seconds."""
    time.sleep(SLOW_S)
    return UpstreamReply(story()) if body.get("stream") else plain(answer("hi", usage(3, 5)))


def check_client(server: RunningServer, client: tuple[str, str]) -> None:
    """Two calls of one client, which has its own account."""
    name, expected = client
    customer = open_customer_now(server.database_path)
    folder = CLIENTS[client]
    done = subprocess.run(
        [sys.executable, SCRIPT, name, server.api, customer.inference, "acme/large"],
        env={**os.environ, "PYTHONPATH": "" if folder is None else str(SDKS / folder)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr + server.log_path.read_text()[-4000:]
    assert json.loads(done.stdout) == {"version": expected, **RESPONSES}
    with Session(server, customer) as session:
        generations = session.check_ledger()
        assert session.viewer.get("/credits/holds") == []
    ends = [
        (generation.state, generation.cancelled, generation.error, generation.streamed)
        for generation in generations
    ]
    assert sorted(ends) == [
        (HoldState.CAPTURED, False, None, False),
        (HoldState.CAPTURED, False, None, True),
    ]


def test_clients_get_the_response_of_a_slow_model_for_one_charge(
    tmp_path: Path,
) -> None:
    with acme_server(tmp_path) as (server, upstream), ThreadPoolExecutor(len(CLIENTS)) as pool:
        upstream.say = answer_slowly
        for check in [pool.submit(check_client, server, client) for client in CLIENTS]:
            check.result()
        assert len(upstream.asked) == 2 * len(CLIENTS)
        assert "Traceback" not in server.log_path.read_text()
