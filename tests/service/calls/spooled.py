"""A call that ended while the database was away."""

import asyncio
from pathlib import Path

from modelgates_server.service.calls.call import Call
from tests.deadlines import DEADLINE_S
from tests.gateway import CallHarness, FakeClient, asking, moved_away, relay
from tests.upstream import Gate, Upstream, UpstreamReply, story


async def spooled(
    harness: CallHarness, upstream: Upstream, path: Path, client: FakeClient | None = None
) -> Call:
    """A stream whose end could not be committed."""
    gate = Gate(story()[:2], story()[2:])
    upstream.say = lambda _: UpstreamReply(gate)
    call, client = await harness.begin(asking(stream=True)), client or FakeClient()
    work = asyncio.ensure_future(relay(call, client))
    await client.until("word1")
    with moved_away(path):
        gate.go.set()
        ended, _ = await asyncio.wait([work], timeout=DEADLINE_S)
        assert ended
    return call
