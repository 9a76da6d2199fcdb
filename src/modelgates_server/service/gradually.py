"""Runs much work on the event loop in groups, so that other work has its turn between them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE = 64
"""Half of the changes that one commit takes, which the loop does in a few milliseconds."""


async def gradually(work: Callable[[T], Awaitable[R]], items: Sequence[T]) -> list[R]:
    """Run `work` on all items, `AT_ONCE` of them at a time; returns the results in their order."""
    results = list[R]()
    for start in range(0, len(items), AT_ONCE):
        results += await asyncio.gather(*map(work, items[start : start + AT_ONCE]))
    return results
