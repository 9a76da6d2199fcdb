"""Runs the work of the documentation on its own thread."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, TypeVarTuple

from modelgates_server.web.errors import HttpError

WAITING_MAX = 16
"""Pieces of work. Each takes milliseconds, so the wait is short."""

_Result = TypeVar("_Result")
_Args = TypeVarTuple("_Args")

# Not the threads of the event loop, which settlements need. One, as Python runs one at a time.
_THREAD = ThreadPoolExecutor(1, "modelgates-docs")
_waiting = set[asyncio.Future[Any]]()


async def run_in_docs_thread(work: Callable[[*_Args], _Result], *args: *_Args) -> _Result:
    """Run `work` after all earlier work, and return its result or raise its exception.

    Raises a 503 if `WAITING_MAX` pieces of work are waiting.
    """
    if len(_waiting) > WAITING_MAX:
        raise HttpError(
            503,
            "Too many requests for the documentation at once. Try again in a second.",
            [(b"retry-after", b"1")],
        )
    result = asyncio.get_running_loop().run_in_executor(_THREAD, work, *args)
    _waiting.add(result)
    result.add_done_callback(_waiting.discard)
    return await result
