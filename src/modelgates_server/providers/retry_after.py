"""Reads the headers in which a provider says when to try again."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from math import ceil

from modelgates_server.core.errors import RETRY_AFTER_MAX_S

_NUMBER = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def retry_after_s(milliseconds: str, seconds_or_date: str, now_ms: int) -> int | None:
    """Read OpenAI's `retry-after-ms`, or `Retry-After` (RFC 9110, 10.2.3); either may be empty."""
    if _NUMBER.fullmatch(milliseconds):
        wait_s = ceil(Decimal(milliseconds) / 1000)
    elif _NUMBER.fullmatch(seconds_or_date):
        wait_s = ceil(Decimal(seconds_or_date))
    else:
        try:
            at = parsedate_to_datetime(seconds_or_date)
        except (ValueError, OverflowError):
            return None
        since = at.replace(tzinfo=at.tzinfo or UTC) - _EPOCH
        wait_s = ceil((since - timedelta(milliseconds=now_ms)) / timedelta(seconds=1))
    return min(max(wait_s, 0), RETRY_AFTER_MAX_S)
