"""Reads request bodies and query strings within limits, and rejects invalid ones in one place."""

from json import JSONDecodeError
from typing import TypeVar

import msgspec
from starlette.datastructures import QueryParams

from modelgates_server.core.errors import InvalidInput
from modelgates_server.dialects.json_object import misfit
from modelgates_server.web.errors import HttpError
from modelgates_server.web.members import Words, check_members, quoted
from modelgates_server.web.request import RequestContext

T = TypeVar("T", bound=msgspec.Struct)

BODY_MAX_BYTES = 64 * 1024
_JSON = b"application/json"


async def read_json(context: RequestContext, most_bytes: int) -> bytes:
    """The bytes of a body declared as JSON; raises `InvalidInput`, and `HttpError` 413 or 415."""
    body = await context.body(most_bytes)
    if body is None:
        raise _too_large()
    if not body:
        raise InvalidInput("The request body is empty. Send a JSON object.")
    media_type = context.headers.get(b"content-type", _JSON)
    if media_type != _JSON and media_type.partition(b";")[0].strip().lower() != _JSON:
        shown = quoted(media_type.decode("latin-1"))
        raise HttpError(415, f"`Content-Type` must be `application/json`, not {shown}.")
    return body


async def decode_body(
    context: RequestContext, shape: type[T], words: Words, *, allow_unknown: bool
) -> T:
    """The JSON object in a request body; raises what `read_json` raises.

    Fields that `shape` does not have are rejected; `check_members` documents the details.
    """
    body = await read_json(context, BODY_MAX_BYTES)
    try:
        check_members(body, shape, words, allow_unknown=allow_unknown)
        return msgspec.json.decode(body, type=shape)
    except UnicodeDecodeError:
        raise InvalidInput("The request body is not valid UTF-8.") from None
    except RecursionError:
        raise InvalidInput("The request body is nested too deeply.") from None
    except JSONDecodeError as error:
        raise InvalidInput(
            f"The request body is not valid JSON: {error.msg} at character {error.pos}."
        ) from None
    except msgspec.DecodeError as error:
        raise misfit(error, body=body, shape=shape) from None


def _too_large() -> HttpError:
    # Without "connection: close": the connection discards the rest of the body, up to a limit, so
    # that a client which sends everything before it reads gets this response and not a reset.
    return HttpError(413, "Request payload too large")


def query_flag(query: QueryParams, name: str, *, default: bool = False) -> bool:
    """A boolean query parameter; `default` if it is missing."""
    text = query.get(name, "true" if default else "false")
    if text not in ("true", "false"):
        raise InvalidInput(f"`{name}` must be `true` or `false`, not {quoted(text)}.")
    return text == "true"


def query_integer(query: QueryParams, name: str, *, default: int, least: int = 0, most: int) -> int:
    """An integer query parameter from `least` to `most`, inclusive; `default` if it is missing."""
    text = query.get(name)
    if text is None:
        return default
    is_short = text.isascii() and text.isdigit() and len(text) <= len(str(most))
    if not is_short or not least <= int(text) <= most:
        raise InvalidInput(
            f"`{name}` must be an integer from {least} to {most}, not {quoted(text)}."
        )
    return int(text)
