"""Reading bodies and query strings, within limits; what does not fit is refused here, once."""

from typing import TypeVar

import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect, Request

from modelgates_server.core.errors import InvalidInput
from modelgates_server.web.errors import HttpRefusal

T = TypeVar("T")

BODY_MAX_BYTES = 64 * 1024


async def read_json(request: Request, most_bytes: int) -> bytes:
    """The bytes of a body that is said to be JSON; raises `InvalidInput`, and 413 and 415."""
    body = await _read(request, most_bytes)
    if not body:
        raise InvalidInput("the request needs a JSON body")
    media_type = request.headers.get("content-type", "application/json").partition(";")[0]
    if media_type.strip().lower() != "application/json":
        raise HttpRefusal(415, "Content-Type must be application/json")
    return body


async def decode_body(request: Request, shape: type[T]) -> T:
    """The JSON object a request carries; raises what `read_json` raises."""
    body = await read_json(request, BODY_MAX_BYTES)
    try:
        return msgspec.json.decode(body, type=shape)
    except UnicodeDecodeError:
        raise InvalidInput("the body is not valid UTF-8") from None
    except RecursionError:
        raise InvalidInput("the body is nested too deeply") from None
    except msgspec.DecodeError as error:
        raise InvalidInput(f"the body does not fit: {error}") from None


async def _read(request: Request, most_bytes: int) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > most_bytes:
        raise _too_large()
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > most_bytes:
                raise _too_large()
    except ClientDisconnect:
        raise InvalidInput("the body did not arrive whole") from None
    return bytes(body)


def _too_large() -> HttpRefusal:
    # Without "connection: close": the connection drops what else arrives, up to a point, so that a
    # client which sends everything before it reads sees this answer and not a reset.
    return HttpRefusal(413, "Request payload too large")


def query_flag(query: QueryParams, name: str) -> bool:
    """`true` or `false`; false when it is not there."""
    text = query.get(name, "false")
    if text not in ("true", "false"):
        raise InvalidInput(f"{name} must be true or false")
    return text == "true"


def query_integer(query: QueryParams, name: str, *, most: int) -> int:
    """A whole number from 0 to `most`; 0 when it is not there."""
    text = query.get(name, "0")
    if not (text.isascii() and text.isdigit() and len(text) < len(str(most)) and int(text) <= most):
        raise InvalidInput(f"{name} must be a whole number from 0 to {most - 1}")
    return int(text)
