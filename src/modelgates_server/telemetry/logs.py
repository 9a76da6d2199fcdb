"""Writes logs as lines of JSON on standard error. No line contains a secret, whatever wrote it."""

import logging
import re
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec
import structlog

from modelgates_server.core.redaction import Redactor

_SECRETS = (
    (re.compile(r"sk-mg-v1-[0-9A-Za-z]+"), "sk-mg-v1-[redacted]"),
    (re.compile(r"\b(bearer )[^\s\"'\\,]+", re.IGNORECASE), r"\1[redacted]"),
)

_LEVELS = {name.lower(): number for name, number in logging.getLevelNamesMapping().items()}

_redactors: tuple[Redactor, ...] = ()


def hide(redactors: Iterable[Redactor]) -> None:
    """Redact these secrets in every line: those of providers, and of the operator."""
    global _redactors  # noqa: PLW0603 - logging is set up once for the process, too
    _redactors = tuple(redactors)


def configure(level: str) -> None:
    """Set up structlog, and send the log records of libraries through the same processors."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        structlog.stdlib.PositionalArgumentsFormatter(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = _StderrHandler(sys.stderr)
    handler.setFormatter(
        _SecretsRedacted(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())


def timestamp() -> str:
    """The current time as structlog writes it."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")  # noqa: TID251 - as structlog does


def write_line(event: str, fields: Mapping[str, object], level: str = "info") -> None:
    """Write a line, for events as frequent as calls.

    The line has the usual form and costs a tenth of one through structlog and logging.
    """
    root = logging.getLogger()
    if root.isEnabledFor(_LEVELS[level]):
        line = {**fields, "event": event, "level": level, "timestamp": timestamp()}
        sys.stderr.write(_redacted(msgspec.json.encode(line).decode()) + "\n")


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Says which logger wrote a line with a bug; the default would print all values of the line."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """See `logging.Handler`."""
        write_line("log line not written", {"logger": record.name}, "error")


class _SecretsRedacted(structlog.stdlib.ProcessorFormatter):
    """Redacts the finished line: a secret may be in a list, in bytes or in a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        return _redacted(super().format(record))


def _redacted(line: str) -> str:
    # These checks save nearly all lines the regular expressions, which cost ten times as much.
    lower = line.lower()
    if "sk-mg-v1-" in lower or "bearer " in lower:
        for secret, instead in _SECRETS:
            line = secret.sub(instead, line)
    for redactor in _redactors:
        line = redactor.clean(line.encode()).decode()
    return line
