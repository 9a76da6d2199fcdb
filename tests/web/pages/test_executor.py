import asyncio
import threading

import pytest

from modelgates_server.web.errors import HttpError
from modelgates_server.web.pages.executor import WAITING_MAX, run_in_docs_thread


async def test_work_runs_one_at_a_time_in_order() -> None:
    done = list[tuple[int, str]]()

    def work(number: int) -> None:
        done.append((number, threading.current_thread().name))

    await asyncio.gather(*(run_in_docs_thread(work, number) for number in range(3)))
    assert done == [(number, "modelgates-docs_0") for number in range(3)]


async def test_work_is_rejected_when_too_much_is_waiting() -> None:
    go = threading.Event()
    running = [asyncio.ensure_future(run_in_docs_thread(go.wait)) for _ in range(1 + WAITING_MAX)]
    await asyncio.sleep(0)
    late = asyncio.ensure_future(run_in_docs_thread(go.wait))
    await asyncio.sleep(0)
    go.set()
    with pytest.raises(HttpError) as refused:
        await late
    assert (refused.value.status, refused.value.headers) == (503, [(b"retry-after", b"1")])
    assert await asyncio.gather(*running) == [True] * len(running)
    assert await run_in_docs_thread(int, "1") == 1


async def test_cancelled_work_makes_room() -> None:
    go = threading.Event()
    running, *waiting = [
        asyncio.ensure_future(run_in_docs_thread(go.wait)) for _ in range(1 + WAITING_MAX)
    ]
    await asyncio.sleep(0)
    waiting[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]
    last = asyncio.ensure_future(run_in_docs_thread(go.wait))
    await asyncio.sleep(0)
    go.set()
    assert await asyncio.gather(running, *waiting[1:], last) == [True] * (1 + WAITING_MAX)
