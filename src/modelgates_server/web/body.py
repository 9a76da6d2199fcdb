"""Reading bodies and query strings, within limits; what does not fit is refused here, once."""

from json import JSONDecodeError
from typing import TypeVar

import msgspec
from starlette.datastructures import QueryParams

from modelgates_server.core.errors import InvalidInput
from modelgates_server.dialects.json_object import misfit
from modelgates_server.web.errors import HttpError
from modelgates_server.web.members import Words, check_members
from modelgates_server.web.request import RequestContext

T = TypeVar("T", bound=msgspec.Struct)

BODY_MAX_BYTES = 64 * 1024
_JSON = b"application/json"


async def read_json(context: RequestContext, most_bytes: int) -> bytes:
    """The bytes of a body that is said to be JSON; raises `InvalidInput`, and 413 and 415."""
    body = await context.body(most_bytes)
    if body is None:
        raise _too_large()
    if not body:
        raise InvalidInput("the request needs a JSON body")
    media_type = context.headers.get(b"content-type", _JSON)
    if media_type != _JSON and media_type.partition(b";")[0].strip().lower() != _JSON:
        raise HttpError(415, "Content-Type must be application/json")
    return body


async def decode_body(
    context: RequestContext, shape: type[T], words: Words, *, allow_unknown: bool
) -> T:
    """The JSON object a request carries; raises what `read_json` raises.

    Members that `shape` does not have are refused; see `check_members` for the rest.
    """
    body = await read_json(context, BODY_MAX_BYTES)
    try:
        check_members(body, shape, words, allow_unknown=allow_unknown)
        return msgspec.json.decode(body, type=shape)
    except UnicodeDecodeError:
        raise InvalidInput("the body is not valid UTF-8") from None
    except RecursionError:
        raise InvalidInput("the body is nested too deeply") from None
    except JSONDecodeError as error:
        raise InvalidInput(f"the body is not JSON: {error.msg} at character {error.pos}") from None
    except msgspec.DecodeError as error:
        raise misfit(error, body=body) from None


def _too_large() -> HttpError:
    # Without "connection: close": the connection drops what else arrives, up to a point, so that a
    # client which sends everything before it reads sees this answer and not a reset.
    return HttpError(413, "Request payload too large")


def query_flag(query: QueryParams, name: str, *, default: bool = False) -> bool:
    """`true` or `false`; the default when it is not there."""
    text = query.get(name, "true" if default else "false")
    if text not in ("true", "false"):
        raise InvalidInput(f"{name} must be true or false")
    return text == "true"


def query_integer(query: QueryParams, name: str, *, default: int, least: int = 0, most: int) -> int:
    """A whole number from `least` to `most`, both included; the default when it is not there."""
    text = query.get(name)
    if text is None:
        return default
    is_short = text.isascii() and text.isdigit() and len(text) <= len(str(most))
    if not is_short or not least <= int(text) <= most:
        raise InvalidInput(f"{name} must be a whole number from {least} to {most}")
    return int(text)
