"""Calls the sandbox's models in this process, and runs them as a server."""

import json
import os
import selectors
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from modelgates_server.core.pricing.catalog import Api
from modelgates_server.dialects.sse import SseReader
from modelgates_server.providers.sandbox.models import respond
from modelgates_server.providers.sandbox.script import Script
from tests.deadlines import DEADLINE_S
from tests.server import MODELGATES
from tests.support import T0_MS

DONE = "[DONE]"
WITH_USAGE: Mapping[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}


def says(text: Any) -> list[dict[str, Any]]:
    """A conversation with one message."""
    return [{"role": "user", "content": text}]


def wish(**members: Any) -> list[dict[str, Any]]:
    """A conversation that instructs `chaos`; the instructions are one token."""
    return says(json.dumps(members, separators=(",", ":")))


def script_for(api: Api, **members: Any) -> Script:
    return respond(api, json.dumps(members).encode(), at_ms=T0_MS, number=7)


def plain(api: Api, **members: Any) -> Any:
    """The body of a successful response."""
    script = script_for(api, **members)
    body = b"".join(script.writes())
    assert (script.status, script.is_stream) == (200, False), body
    return json.loads(body)


def refusal(api: Api, **members: Any) -> tuple[int, Any]:
    """Status and error of an error response."""
    script = script_for(api, **members)
    error = json.loads(b"".join(script.writes()))["error"]
    assert list(error) == ["message", "type", "param", "code"]
    return script.status, error


def stream(api: Api, **members: Any) -> list[Any]:
    """The events of a streamed response."""
    script = script_for(api, stream=True, **members)
    assert (script.status, script.is_stream) == (200, True)
    return events_of(b"".join(script.writes()))


def events_of(body: bytes) -> list[Any]:
    """The events of a body, decoded; events that are not JSON stay text."""
    reader = SseReader()
    return [_read(event) for event in [*reader.feed(body), *reader.close()]]


def _read(event: bytes) -> Any:
    try:
        return json.loads(event)
    except ValueError:
        return event.decode()


@contextmanager
def running_sandbox() -> Iterator[str]:
    """The address of a server on a free port, which must exit cleanly on SIGTERM."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MODELGATES_")}
    with subprocess.Popen(
        [MODELGATES, "sandbox", "serve", "--port", "0"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            with selectors.DefaultSelector() as selector:
                selector.register(process.stdout, selectors.EVENT_READ)
                assert selector.select(DEADLINE_S), f"no address after {DEADLINE_S} s"
            line = process.stdout.readline()
            assert line.startswith("The sandbox listens on http://"), line
            yield line.split()[-1]
            process.terminate()
            assert process.wait(DEADLINE_S) == 0
        finally:
            process.kill()
