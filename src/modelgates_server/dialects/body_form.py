"""Tells a JSON body from server-sent events by its first bytes; headers are often wrong."""

_MARK_AND_SPACE = b"\xef\xbb\xbf \t\r\n"
_EVENT_FIELDS = (b"data", b":", b"event:", b"id:", b"retry:")


def begins_as_json(head: bytes) -> bool | None:
    """Whether a body starts as a JSON object or list; None while that is unknown."""
    first = without_start(head)[:1]
    return first in (b"{", b"[") if first else None


def begins_as_events(head: bytes) -> bool:
    """Whether a body starts as server-sent events."""
    return without_start(head).startswith(_EVENT_FIELDS)


def without_start(head: bytes) -> bytes:
    """The body without a byte order mark, and without white space before it."""
    return head.lstrip(_MARK_AND_SPACE)
