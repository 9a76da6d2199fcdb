"""Reads from a request the address of the server and the formats that its client accepts."""

import re
from collections.abc import Iterable

from modelgates_server.core.errors import InvalidInput
from modelgates_server.web.request import RequestContext

INVALID_HOST = "Invalid Host header. Send exactly one, with the name of a host."

_HOST_NAME = r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])"
_HOST = rf"{_HOST_NAME}(?::[0-9]{{1,5}})?"
_NAME = re.compile(_HOST_NAME)
_PORT = re.compile(r"(?<=[^:]):[0-9]+$")
_LOOPBACK = re.compile(r"localhost|127(?:\.[0-9]{1,3}){3}|::1")
_HOST_HEADER = re.compile(_HOST.encode())
_SEGMENT = r"(?!\.\.?(?:/|$))[A-Za-z0-9._~-]+"
_BASE = re.compile(rf"https?://{_HOST}(?:/{_SEGMENT})*/?")
_QUALITY = re.compile(rb";\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*$", re.IGNORECASE)
_SCHEMES = {b"http": "http", b"https": "https"}


def checked_base(url: str, name: str) -> str:
    """An address without its trailing slash; raises `InvalidInput`, which calls it `name`.

    Every page of the documentation contains it, so it must be an address and nothing more.
    """
    if not _BASE.fullmatch(url):
        raise InvalidInput(
            f"{name} must look like https://gateway.example, "
            "or https://example.com/gateway below a path."
        )
    return url.rstrip("/")


class KnownHosts:
    """The names of this server, which pages may repeat: readers send their keys to that address.

    A page for any other name would send them to whoever made it up: with a name in their own DNS
    that leads to this server, or through a cache in front of it. `public_url` is empty or a result
    of `checked_base`, and then the only address. `names` are those of the operator, with any port.
    """

    def __init__(self, public_url: str = "", names: Iterable[str] = ()) -> None:
        self._public_url = public_url
        self._names = frozenset(names)

    def base_of(self, context: RequestContext) -> str:
        """The address for the reader, such as `https://gateway.example`.

        It is the one that the request came to if that is known, otherwise a loopback address.
        Raises `InvalidInput` for an invalid host.
        """
        if self._public_url:
            return self._public_url
        scope = context.request.scope
        host, *others = [value for name, value in scope["headers"] if name == b"host"] or [b""]
        # With two, a proxy may have read the other one.
        if others or not _HOST_HEADER.fullmatch(host):
            raise InvalidInput(INVALID_HOST)
        shown = host.decode("ascii").lower()
        address, port = scope.get("server") or ("", None)
        name = _PORT.sub("", shown).strip("[]")
        if not (name in self._names or name == address or _LOOPBACK.fullmatch(name)):
            return f"{scope['scheme']}://127.0.0.1{'' if port is None else f':{port}'}"
        # A client that lies gets a page with the wrong scheme, and no other client does. Each proxy
        # may add a scheme; the first is the reader's.
        forwarded = context.headers.get(b"x-forwarded-proto", b"").partition(b",")[0]
        scheme = _SCHEMES.get(forwarded.strip().lower()) or scope["scheme"]
        return f"{scheme}://{shown}"


def checked_names(text: str, name: str) -> tuple[str, ...]:
    """The names of hosts between commas; raises `InvalidInput`, which calls the text `name`."""
    names = [each.strip().lower() for each in text.split(",") if each.strip()]
    for each in names:
        if not _NAME.fullmatch(each):
            raise InvalidInput(
                f"{name} must be names of hosts between commas, without a scheme or port, such as "
                f"gateway.lan,10.0.0.5. {each!r} is not one."
            )
    return tuple(each.strip("[]") for each in names)


def wants_markdown(context: RequestContext) -> bool:
    """Whether `Accept` names Markdown with at least the quality of HTML.

    Browsers never name it. Coding assistants do, next to HTML and with the same quality.
    """
    qualities = _qualities(context.headers.get(b"accept", b""))
    markdown = qualities.get(b"text/markdown", 0)
    return markdown > 0 and markdown >= qualities.get(b"text/html", 0)


def wants_html(context: RequestContext) -> bool:
    """Whether the client is a browser."""
    return _qualities(context.headers.get(b"accept", b"")).get(b"text/html", 0) > 0


def takes_gzip(context: RequestContext) -> bool:
    """Whether the response may be compressed."""
    encodings = _qualities(context.headers.get(b"accept-encoding", b""))
    return encodings.get(b"gzip", encodings.get(b"*", 0)) > 0


def has(context: RequestContext, etag: bytes) -> bool:
    """Whether the client has this version (RFC 9110, 13.1.2: `W/` is ignored)."""
    known = context.headers.get(b"if-none-match")
    if known is None:
        return False
    tags = (tag.strip().removeprefix(b"W/") for tag in known.split(b","))
    return any(tag in {etag, b"*"} for tag in tags)


def _qualities(header: bytes) -> dict[bytes, int]:
    """The values of a header such as `Accept`, with their qualities in thousandths."""
    qualities = dict[bytes, int]()
    for member in header.split(b","):
        name = member.partition(b";")[0].strip().lower()
        quality = _QUALITY.search(member)
        qualities[name] = _thousandths(quality[1]) if quality else 1000
    return qualities


def _thousandths(quality: bytes) -> int:
    whole, _, places = quality.partition(b".")
    return min(int(whole) * 1000 + int(places.ljust(3, b"0")), 1000)
