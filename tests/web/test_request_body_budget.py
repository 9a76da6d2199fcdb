"""The limit for the bodies of all running requests together."""

import asyncio
from collections.abc import AsyncIterator

from tests.server import Customer
from tests.web.harness import BODIES_MAX_BYTES, BODY_MAX_BYTES, Api

CHAT = "/api/v1/chat/completions"
NOT_JSON = b" " * BODY_MAX_BYTES


async def test_body_is_refused_when_running_requests_use_the_whole_budget(
    api: Api, acme: Customer
) -> None:
    arrived, rest = asyncio.Semaphore(0), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield NOT_JSON
        arrived.release()
        await rest.wait()

    async def send(content: bytes | AsyncIterator[bytes]) -> int:
        answer = await api.call("POST", CHAT, acme.inference, content=content)
        assert answer.status_code != 503 or answer.headers["retry-after"] == "1"
        return answer.status_code

    count = BODIES_MAX_BYTES // BODY_MAX_BYTES
    waiting = [asyncio.ensure_future(send(slowly())) for _ in range(count)]
    for _ in waiting:
        await arrived.acquire()
    assert await send(b"{}") == 503
    rest.set()
    assert await asyncio.gather(*waiting) == [400] * count
    assert await send(NOT_JSON) == 400, "the whole budget is free again"
