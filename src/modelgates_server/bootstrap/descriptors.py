"""The file descriptors of a server process: how many it may open, and for which purposes."""

import os
import resource
from contextlib import suppress

import structlog

from modelgates_server.core.errors import InvalidInput

_ENOUGH = 1_048_576
"""A hard limit may be infinite. Connections for more descriptors would not fit into memory."""
_MACOS_MAX = 10_240
"""`OPEN_MAX`: macOS reports an infinite hard limit, and rejects a soft limit above its own."""
_LEAST = 128
_OPEN_ANYWAY = 32
"""Modules, event loop, database and log of an idle process."""
KEPT_FREE = 64
"""Kept free for transactions, the spool, logs and look-ups of running calls."""
_REFUSED_SHARE = 8
REFUSED_MAX = 256
"""Connections above the limit that are open at once while they receive a 503."""

log = structlog.get_logger()


def raise_limit() -> int:
    """Raises the soft limit of open files to the hard limit; returns the limit from now on.

    Processes that this process starts inherit the limit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    for limit in (most, _MACOS_MAX):
        if soft != resource.RLIM_INFINITY and soft < limit <= most:
            with suppress(ValueError, OSError):  # above a limit of the system
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
                return limit
    return most if soft == resource.RLIM_INFINITY else soft


def refused_max(limit: int) -> int:
    """Returns how many connections above the maximum may be open while they are rejected."""
    return min(REFUSED_MAX, limit // _REFUSED_SHARE)


def connections_max(wanted: int, limit: int) -> int:
    """Returns the most connections that fit into a limit of open files, at most `wanted`.

    Each connection may have a running call, which has a connection to a provider. Logs a warning
    if fewer than `wanted` fit. Raises `InvalidInput` if the limit is too low to work with.
    """
    if limit < _LEAST:
        raise InvalidInput(
            f"A process may open only {limit} files. Allow at least {_LEAST}: raise the hard limit "
            "(`ulimit -Hn`, or `LimitNOFILE` in a systemd unit)."
        )
    aside = _OPEN_ANYWAY + KEPT_FREE + refused_max(limit)
    most = max((limit - aside) // 2, 1)
    if most < wanted:
        log.warning(
            "fewer connections than MODELGATES_MAX_CONNECTIONS",
            connections=most,
            wanted=wanted,
            open_files=limit,
            remedy=f"raise the hard limit of open files (ulimit -Hn) to {_needed(wanted)}, "
            "or lower the setting",
        )
    return min(wanted, most)


def _needed(wanted: int) -> int:
    """Returns the smallest limit of open files at which `wanted` connections fit."""
    return 2 * wanted + _OPEN_ANYWAY + KEPT_FREE + REFUSED_MAX


def has_room(also: int = 0) -> bool:
    """Whether a connection may be opened, so that `KEPT_FREE` descriptors stay free.

    `also` is the number of those that are about to be opened. A new descriptor has the lowest free
    number: all below it are in use, whoever uses them.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        lowest_free = os.open("/", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    os.close(lowest_free)
    return limit == resource.RLIM_INFINITY or lowest_free + also < limit - KEPT_FREE
