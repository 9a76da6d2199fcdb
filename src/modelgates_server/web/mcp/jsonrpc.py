"""JSON-RPC 2.0 as MCP uses it: what is no message is refused here, in that protocol's words."""

import json
from typing import Any

import msgspec

from modelgates_server.web.response import JSON, HttpResponse

BODY_MAX_BYTES = 64 * 1024
BATCH_MAX = 16
METHOD_MAX_CHARS = 128

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
INVALID_PARAMS = -32602
OVERLOADED = -32000
"""Of the codes that JSON-RPC leaves to servers; the HTTP status says which case it is."""

_BATCHES = (b"", b"2025-03-26")
"""Versions of the protocol with batches; a request that names none is of the only such version."""

Id = str | int | None


class JsonRpcError(Exception):
    """A request that is answered with a JSON-RPC error; `id` is that of the message, if known."""

    def __init__(self, status: int, code: int, message: str, id_: Id = None) -> None:
        super().__init__(message)
        self.response = _error(status, code, message, id_)


class Overloaded(JsonRpcError):
    """The same for what is no fault of the request, and may come again after so many seconds."""

    def __init__(self, status: int, message: str, retry_after_s: int) -> None:
        super().__init__(status, OVERLOADED, message)
        self.response.headers.append((b"retry-after", b"%d" % retry_after_s))


def _error(status: int, code: int, message: str, id_: Id) -> HttpResponse:
    body = {"jsonrpc": "2.0", "id": id_, "error": {"code": code, "message": message}}
    return HttpResponse(status, msgspec.json.encode(body), [JSON])


def check_headers(headers: dict[bytes, bytes]) -> None:
    """A request brings JSON and takes JSON (2025-11-25, transports: sending messages)."""
    media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if media_type != JSON[1]:
        raise JsonRpcError(415, INVALID_REQUEST, "Content-Type must be application/json")
    accepted = headers.get(b"accept", b"*/*").lower().split(b",")
    types = {each.partition(b";")[0].strip() for each in accepted}
    if types.isdisjoint({JSON[1], b"application/*", b"*/*"}):
        raise JsonRpcError(
            406, INVALID_REQUEST, "The answer is application/json; Accept must allow it"
        )


def check_size(body: bytes | None) -> bytes:
    """The body; None stands for one that is too large."""
    if body is None:
        message = f"Request payload too large, {BODY_MAX_BYTES // 1024} KiB are the most"
        raise JsonRpcError(413, INVALID_REQUEST, message)
    return body


def split(body: bytes, version: bytes) -> tuple[list[bytes], bool]:
    """The messages of a body, each as JSON, and whether they came as a batch.

    `version` is that of the header, empty without one.
    """
    try:
        decoded = msgspec.json.decode(body)
        json.loads(body, object_pairs_hook=_check_names, parse_int=str, parse_float=str)
    except RecursionError:
        raise JsonRpcError(400, PARSE_ERROR, "Parse error: nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise JsonRpcError(400, PARSE_ERROR, f"Parse error: {error}") from None
    if not isinstance(decoded, list):
        _check_message(decoded)
        return [body], False
    if version not in _BATCHES:
        raise JsonRpcError(400, INVALID_REQUEST, "This version of the protocol has no batches")
    if not 1 <= len(decoded) <= BATCH_MAX:
        raise JsonRpcError(400, INVALID_REQUEST, f"A batch has 1 to {BATCH_MAX} messages")
    for message in decoded:
        _check_message(message)
        if message.get("method") == "initialize":
            raise JsonRpcError(400, INVALID_REQUEST, "initialize cannot be part of a batch")
    return [bytes(raw) for raw in msgspec.json.decode(body, type=list[msgspec.Raw])], True


def left_out(message: bytes) -> HttpResponse:
    """The answer to a message of a batch whose other answers are long enough together."""
    decoded = msgspec.json.decode(message)
    if "id" not in decoded or "method" not in decoded:
        return HttpResponse(202, b"", [])
    text = "The answers of this batch are too large together; ask for less at once"
    return _error(200, OVERLOADED, text, decoded["id"])


def _check_names(members: list[tuple[str, Any]]) -> None:
    # Readers differ in which of them counts, and whoever writes a limit twice must not get a key
    # without one.
    if len({name for name, _ in members}) < len(members):
        raise JsonRpcError(400, INVALID_REQUEST, "An object has two members of the same name")


def _check_message(message: Any) -> None:
    if not isinstance(message, dict):
        raise JsonRpcError(400, INVALID_REQUEST, "A message is a JSON object")
    id_ = message.get("id")
    if isinstance(id_, bool) or not isinstance(id_, Id):
        raise JsonRpcError(400, INVALID_REQUEST, "id must be a string or a whole number")
    if message.get("jsonrpc") != "2.0":
        raise JsonRpcError(400, INVALID_REQUEST, 'jsonrpc must be "2.0"', id_)
    if "method" not in message and ("result" in message or "error" in message):
        return  # an answer; nobody here has asked, and the library drops it
    method = message.get("method")
    if not isinstance(method, str) or len(method) > METHOD_MAX_CHARS:
        text = f"method must be a string of at most {METHOD_MAX_CHARS} characters"
        raise JsonRpcError(400, INVALID_REQUEST, text, id_)
    if "id" in message and id_ is None:
        raise JsonRpcError(400, INVALID_REQUEST, "id must be a string or a whole number")
    if not isinstance(message.get("params"), dict | None):
        raise JsonRpcError(400, INVALID_PARAMS, "params must be an object", id_)
