"""JSON-RPC 2.0 as MCP uses it: rejects invalid messages with the errors of that protocol."""

import json
from collections import Counter
from typing import Any

import msgspec

from modelgates_server.core.keys import without_keys
from modelgates_server.web.members import quoted
from modelgates_server.web.request import UNENCODED, unread_encoding
from modelgates_server.web.response import JSON, HttpResponse

BODY_MAX_BYTES = 64 * 1024
BATCH_MAX = 16
METHOD_MAX_CHARS = 128

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
INVALID_PARAMS = -32602
OVERLOADED = -32000
"""One of the codes that JSON-RPC leaves to servers; the HTTP status identifies the case."""

_BATCHES = (b"", b"2025-03-26")
"""Versions of the protocol with batches; a request without a version has the only such one."""

Id = str | int | None

_INVALID_ID = "`id` must be a string or an integer."


class JsonRpcError(Exception):
    """A request that gets a JSON-RPC error; `id_` is the id of the message, if known."""

    def __init__(self, status: int, code: int, message: str, id_: Id = None) -> None:
        super().__init__(message)
        self.response = _error(status, code, message, id_)


class Overloaded(JsonRpcError):
    """The same for a valid request that may be sent again after `retry_after_s` seconds."""

    def __init__(self, status: int, message: str, retry_after_s: int) -> None:
        super().__init__(status, OVERLOADED, message)
        self.response.headers.append((b"retry-after", b"%d" % retry_after_s))


def _error(status: int, code: int, message: str, id_: Id) -> HttpResponse:
    body = {"jsonrpc": "2.0", "id": id_, "error": {"code": code, "message": without_keys(message)}}
    return HttpResponse(status, msgspec.json.encode(body), [JSON])


def check_headers(headers: dict[bytes, bytes]) -> None:
    """Check that a request has and accepts JSON (2025-11-25, transports: sending messages).

    The library would decompress nothing either.
    """
    media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if media_type != JSON[1]:
        actual = f", not {quoted(media_type.decode('latin-1'))}" if media_type else ""
        message = f"`Content-Type` must be `application/json`{actual}."
        raise JsonRpcError(415, INVALID_REQUEST, message)
    if unread := unread_encoding(headers.items()):
        error = JsonRpcError(415, INVALID_REQUEST, unread)
        error.response.headers.append(UNENCODED)
        raise error
    accepted = headers.get(b"accept", b"*/*").lower().split(b",")
    types = {each.partition(b";")[0].strip() for each in accepted}
    if types.isdisjoint({JSON[1], b"application/*", b"*/*"}):
        message = "`Accept` must allow `application/json`, the type of every response."
        raise JsonRpcError(406, INVALID_REQUEST, message)


def check_size(body: bytes | None) -> bytes:
    """The body; raises a 413 if it is None, which means too large."""
    if body is None:
        message = f"Request payload too large. Send at most {BODY_MAX_BYTES // 1024} KiB."
        raise JsonRpcError(413, INVALID_REQUEST, message)
    return body


def split(body: bytes, version: bytes) -> tuple[list[bytes], bool]:
    """The messages of a body, each as JSON, and whether they are a batch.

    `version` is the value of the `MCP-Protocol-Version` header, empty without one.
    """
    try:
        decoded = msgspec.json.decode(body)
        json.loads(body, object_pairs_hook=_check_names, parse_int=str, parse_float=str)
    except RecursionError:
        message = "Parse error: the body is nested too deeply."
        raise JsonRpcError(400, PARSE_ERROR, message) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise JsonRpcError(400, PARSE_ERROR, f"Parse error: {error}.") from None
    if not isinstance(decoded, list):
        _check_message(decoded)
        return [body], False
    if version not in _BATCHES:
        text = "This version of the protocol has no batches. Send one message per request."
        raise JsonRpcError(400, INVALID_REQUEST, text)
    if not 1 <= len(decoded) <= BATCH_MAX:
        text = f"A batch must have 1 to {BATCH_MAX} messages, not {len(decoded)}."
        raise JsonRpcError(400, INVALID_REQUEST, text)
    for message in decoded:
        _check_message(message)
        if message.get("method") == "initialize":
            text = "`initialize` cannot be part of a batch. Send it by itself."
            raise JsonRpcError(400, INVALID_REQUEST, text)
    return [bytes(raw) for raw in msgspec.json.decode(body, type=list[msgspec.Raw])], True


def left_out(message: bytes) -> HttpResponse:
    """The response to a message of a batch whose earlier responses reach the size limit."""
    decoded = msgspec.json.decode(message)
    if "id" not in decoded or "method" not in decoded:
        return HttpResponse(202, b"", [])
    text = "The responses to this batch are too large together. Send fewer messages at once."
    return _error(200, OVERLOADED, text, decoded["id"])


def _check_names(fields: list[tuple[str, Any]]) -> None:
    # Parsers differ in the value that they use, and a client that sends a limit twice must not get
    # a key without one.
    if len({name for name, _ in fields}) < len(fields):
        ((name, _),) = Counter(name for name, _ in fields).most_common(1)
        text = f"Duplicate field {quoted(name)} in an object. Send it once."
        raise JsonRpcError(400, INVALID_REQUEST, text)


def _check_message(message: Any) -> None:
    if not isinstance(message, dict):
        raise JsonRpcError(400, INVALID_REQUEST, "A message must be a JSON object.")
    id_ = message.get("id")
    if isinstance(id_, bool) or not isinstance(id_, Id):
        raise JsonRpcError(400, INVALID_REQUEST, _INVALID_ID)
    if message.get("jsonrpc") != "2.0":
        raise JsonRpcError(400, INVALID_REQUEST, '`jsonrpc` must be `"2.0"`.', id_)
    if "method" not in message and ("result" in message or "error" in message):
        return  # a response; the server sends no requests, and the library ignores it
    method = message.get("method")
    if not isinstance(method, str) or len(method) > METHOD_MAX_CHARS:
        text = f"`method` must be a string of at most {METHOD_MAX_CHARS} characters."
        raise JsonRpcError(400, INVALID_REQUEST, text, id_)
    if "id" in message and id_ is None:
        raise JsonRpcError(400, INVALID_REQUEST, _INVALID_ID)
    if not isinstance(message.get("params"), dict | None):
        raise JsonRpcError(400, INVALID_PARAMS, "`params` must be an object.", id_)
