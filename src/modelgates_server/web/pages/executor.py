"""Work of the documentation, on a thread and in nobody's way."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, TypeVarTuple

from modelgates_server.web.errors import HttpError

WAITING_MAX = 16
"""Of pieces of work. Each takes milliseconds, so nobody waits for long."""

_Result = TypeVar("_Result")
_Args = TypeVarTuple("_Args")

# Not the loop's own threads: settlements wait for those. One, as Python runs one at a time.
_THREAD = ThreadPoolExecutor(1, "modelgates-docs")
_waiting = set[asyncio.Future[Any]]()


async def run_in_docs_thread(work: Callable[[*_Args], _Result], *args: *_Args) -> _Result:
    """What `work` returns or raises, once the work that was asked for before is done.

    Raises a 503 when as much is waiting as may.
    """
    if len(_waiting) > WAITING_MAX:
        raise HttpError(
            503, "Too many readers at once; try again shortly", [(b"retry-after", b"1")]
        )
    answer = asyncio.get_running_loop().run_in_executor(_THREAD, work, *args)
    _waiting.add(answer)
    answer.add_done_callback(_waiting.discard)
    return await answer
