"""The cursor of `GET /activity`: the position of the last row of a page, as opaque text.

An offset would count rows twice, because new rows of the current day come first.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.metering.generations import DailyActivity
from modelgates_server.service.ports import ActivityPosition
from modelgates_server.web.members import quoted

_DAY_MAX = 2**40

_decoder = msgspec.json.Decoder(ActivityPosition)


def cursor_after(row: DailyActivity) -> str:
    """Returns the cursor of the page that follows a row."""
    position = ActivityPosition(row.day, row.key_hash, row.endpoint_id, row.model)
    return urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def read_cursor(text: str) -> ActivityPosition:
    """Returns the position that a cursor is for; raises `InvalidInput` for any other text."""
    try:
        position = _decoder.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if abs(position.day) < _DAY_MAX:
            return position
    except (ValueError, msgspec.DecodeError):
        pass
    raise InvalidInput(
        f"Unknown `cursor`: {quoted(text)}. Send the one in `links.next` of the page before."
    )
