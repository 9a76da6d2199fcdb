"""Deviations in providers' responses that the gateway repaired or passed over."""

from collections import Counter
from enum import StrEnum


class Repair(StrEnum):
    """A kind of deviation. The words are the labels of a metric, so released ones never change."""

    DATA_SKIPPED = "data_skipped"
    """Data of a stream that is not JSON, such as a keep-alive; passed over."""

    CHUNK_DROPPED = "chunk_dropped"
    """JSON in a stream that is not a chunk of this API; dropped."""

    TEXT_REPLACED = "text_replaced"
    """Bytes or characters that are not valid Unicode; replaced with U+FFFD."""

    VALUE_REPLACED = "value_replaced"
    """A value that JSON does not have, or that is nested too deeply; replaced with null."""

    LINES_SPLIT = "lines_split"
    """Several events without blank lines between them; read as separate events."""

    FORM_CHANGED = "form_changed"
    """JSON instead of a stream, or a stream instead of JSON; converted to the requested form."""

    CONTENT_TYPE_IGNORED = "content_type_ignored"
    """A content type that contradicts the body; ignored."""

    STATUS_IGNORED = "status_ignored"
    """A status such as 201 or 202 with a valid response; treated as 200."""

    DECOMPRESSED = "decompressed"
    """A compressed response, although none was requested; decompressed."""

    END_MISSING = "end_missing"
    """A connection that broke after a complete response; the response counts as complete."""

    MESSAGE_ADDED = "message_added"
    """A choice without `message` or `delta`; an empty one was added."""

    TOOL_CALL_INDEXED = "tool_call_indexed"
    """A tool call without a valid `index` of its own; numbered."""

    FIELD_REPAIRED = "field_repaired"
    """A required field without a valid value, such as `object` or a tool call's `id`; replaced."""

    FINISH_REASON_CORRECTED = "finish_reason_corrected"
    """A response with tool calls that ended with another word; `tool_calls`."""

    REQUEST_REPEATED = "request_repeated"
    """A request that was rejected for a parameter that the gateway had added; sent without it."""


Repairs = Counter[Repair]
