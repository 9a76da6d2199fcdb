"""Queues everything that a server process prints: log lines, warnings, tracebacks, its URL."""

import atexit
import logging
import os
import sys
import threading
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, TextIO

import msgspec
import structlog

from modelgates_server.telemetry import logs
from modelgates_server.telemetry.queued_output import QueuedOutput, QueuedStream

FLUSH_MAX_S = 5
"""How long the end of a process waits for a reader that has stopped."""

log = structlog.get_logger()

_outputs: dict[str, QueuedOutput] = {}


def start(level: str) -> None:
    """Replace standard output and error by queues and set up logging; once in each process.

    A program that has replaced them itself, such as a test, keeps them.
    """
    if not _outputs and all(map(_has_descriptor, (sys.stdout, sys.stderr))):
        for name in ("stdout", "stderr"):
            _replace(name)
        atexit.register(finish)
        logging.captureWarnings(capture=True)
        sys.excepthook = _log_uncaught
        sys.unraisablehook = _log_unraisable
        threading.excepthook = _log_thread_failure
    logs.configure(level)


def dropped_lines() -> int:
    """The lines that this process has dropped so far."""
    return sum(output.dropped_lines for output in _outputs.values())


def is_dropping() -> bool:
    """Whether lines are being dropped now."""
    return any(output.is_dropping for output in _outputs.values())


def _has_descriptor(stream: TextIO | None) -> bool:
    try:
        return stream is None or stream.fileno() >= 0
    except OSError:
        return False


def _replace(name: str) -> None:
    stream: Any = getattr(sys, name)
    if stream is None:
        # Closed when the process started: any file may have its number by now.
        setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        return
    stream.flush()
    _outputs[name] = output = QueuedOutput(stream.fileno(), _report)
    setattr(sys, name, QueuedStream(output, stream))


def _report(count: int) -> bytes:
    """The line in the place of dropped lines. It is an error, so that no level hides it."""
    line = {
        "count": count,
        "event": "log lines dropped",
        "level": "error",
        "timestamp": logs.timestamp(),
    }
    return msgspec.json.encode(line) + b"\n"


def finish() -> None:
    """Write what is queued, within `FLUSH_MAX_S`.

    Python must not flush streams that would block at the very end.
    """
    deadline_s = monotonic() + FLUSH_MAX_S
    for name, output in _outputs.items():
        is_written = output.close(max(0.0, deadline_s - monotonic()))
        setattr(sys, name, getattr(sys, f"__{name}__") if is_written else None)


def _log_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    log.critical("process failed", exc_info=(kind, error, trace))


def _log_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    log.error("error ignored by Python", exc_info=unraisable.exc_value)


def _log_thread_failure(failed: threading.ExceptHookArgs) -> None:
    log.error("thread failed", exc_info=failed.exc_value)
