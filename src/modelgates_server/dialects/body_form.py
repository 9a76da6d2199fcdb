"""Distinguishes a JSON body from server-sent events by its first bytes; headers are often wrong."""

from enum import Enum

_MARK_AND_SPACE = b"\xef\xbb\xbf \t\r\n"
_EVENT_FIELDS = (b"data:", b":", b"event:", b"id:", b"retry:")
_HEAD_BYTES = 64 * 1024
"""A body may begin with white space of this size: some servers send it while a client waits."""


class BodyForm(Enum):
    """The form of a body."""

    JSON = "json"
    EVENTS = "events"
    OTHER = "other"


def body_form(head: bytes) -> BodyForm | None:
    """The form of a body that begins so; None while that is unknown."""
    text = without_start(head[:_HEAD_BYTES])
    if text.startswith((b"{", b"[")):
        return BodyForm.JSON
    if text.startswith(_EVENT_FIELDS):
        return BodyForm.EVENTS
    if any(field.startswith(text) for field in _EVENT_FIELDS) and len(head) < _HEAD_BYTES:
        return None
    return BodyForm.OTHER


def without_start(body: bytes) -> bytes:
    """The body without a byte order mark, and without white space before it."""
    return body.lstrip(_MARK_AND_SPACE)
