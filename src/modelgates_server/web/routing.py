"""What an operation is: method, path, who may call it, and the function that answers.

Paths are found here too. Exact ones by one look-up, those with parameters by Starlette's patterns;
a trailing slash makes no difference and never redirects (a client would turn POST into GET).
"""

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

from starlette.requests import Request
from starlette.routing import compile_path

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.keys import KeyKind
from modelgates_server.dialects.dialect import Dialect
from modelgates_server.dialects.openai_chat.dialect import OPENAI_CHAT
from modelgates_server.service.ports import AuthenticatedKey
from modelgates_server.web.errors import HttpError
from modelgates_server.web.head import Headers, RequestHead
from modelgates_server.web.response import HttpResponse, Receive, Scope, StreamedResponse

CLIENT_HAS_LEFT = "modelgates.client_has_left"
"""The member of an ASGI scope with which our connections answer that; see `web.http.connection`."""

PUBLIC = frozenset[KeyKind]()
ANY_KEY = frozenset(KeyKind)
MANAGEMENT = frozenset({KeyKind.MANAGEMENT})
INFERENCE = frozenset({KeyKind.INFERENCE})
READERS = frozenset({KeyKind.MANAGEMENT, KeyKind.VIEWER})


def _never() -> bool:
    return False


class BodyBudget:
    """The bytes of requests' bodies that this process holds at once, and their bound."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._held_bytes = 0

    def take(self, size: int) -> None:
        """Hold so many more; raises a 503 when there is no room."""
        if self._held_bytes + size > self._most_bytes:
            raise HttpError(
                503, "Too many large requests at once; try again shortly", [(b"retry-after", b"1")]
            )
        self._held_bytes += size

    def give_back(self, size: int) -> None:
        """Hold so many less."""
        self._held_bytes -= size


class RequestContext:
    """One request on its way to an operation. `token` is a secret: never log or store it.

    `dialect` is that of its route, in whose form errors are written.
    """

    def __init__(self, scope: Scope, receive: Receive, head: RequestHead, room: BodyBudget) -> None:
        self.head = head
        self.token = ""
        self.known_caller: AuthenticatedKey | None = None
        self.dialect = OPENAI_CHAT
        self._scope = scope
        self._receive = receive
        self._room = room
        self._held_bytes = 0

    def close(self) -> None:
        """The answer is written: nobody needs the body any more."""
        self._room.give_back(self._held_bytes)

    @property
    def caller(self) -> AuthenticatedKey:
        """Who is calling, in operations that admit only keys."""
        assert self.known_caller is not None, "a public operation has no caller"
        return self.known_caller

    @cached_property
    def request(self) -> Request:
        """Query, path parameters and body; built only where an operation asks for them."""
        return Request(self._scope, self._receive)

    @cached_property
    def headers(self) -> dict[bytes, bytes]:
        """The request's headers by lower-case name; of one that came twice the last."""
        return dict(self._scope["headers"])

    def single_header(self, shown_name: str) -> str | None:
        """A header that must not come twice, byte for byte as Latin-1; raises `InvalidInput`.

        Of two, a proxy may obey the one and we the other, and neither is what the sender meant.
        """
        name = shown_name.lower().encode()
        value = self.headers.get(name)
        if value is None:
            return None
        headers: Headers = self._scope["headers"]
        if sum(name == each for each, _ in headers) > 1:
            raise InvalidInput(f"The header {shown_name} came more than once; send it once")
        return value.decode("latin-1")

    @property
    def http_version(self) -> str:
        """`1.0` or `1.1`."""
        version: str = self._scope["http_version"]
        return version

    async def body(self, most_bytes: int) -> bytes | None:
        """The whole body; None when it is larger, or is said to be.

        Raises `InvalidInput`, and a 503 when too much is held already.
        """
        declared = self.headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > most_bytes:
            return None
        pieces, size, more = list[bytes](), 0, True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise InvalidInput("the body did not arrive whole")
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > most_bytes:
                return None
            self._room.take(len(pieces[-1]))
            self._held_bytes = size
            more = message.get("more_body", False)
        return b"".join(pieces)

    @property
    def client_has_left(self) -> Callable[[], bool]:
        """Tells whether the connection is gone; a server that does not know says no."""
        asked: Callable[[], bool] = self._scope.get(CLIENT_HAS_LEFT, _never)
        return asked


@dataclass(frozen=True, slots=True)
class Route:
    """A row of the table of operations. `kinds` empty: anybody may call it, without a key.

    `dialect` is the wire format of its requests and of its errors.
    """

    id: str
    method: str
    path: str
    kinds: frozenset[KeyKind]
    answer: Callable[[RequestContext], Awaitable[HttpResponse | StreamedResponse]]
    dialect: Dialect = OPENAI_CHAT


Methods = dict[str, Route]


class RouteTable:
    """Finds the operations of a path."""

    def __init__(self, operations: Iterable[Route]) -> None:
        self._exact: dict[str, Methods] = {}
        self._patterns: list[tuple[re.Pattern[str], Methods]] = []
        by_path: dict[str, Methods] = {}
        for operation in operations:
            by_path.setdefault(operation.path, {})[operation.method] = operation
        for path, methods in by_path.items():
            if "{" in path:
                self._patterns.append((compile_path(path)[0], methods))
            else:
                self._exact[path] = methods

    def find(self, path: str) -> tuple[Methods, dict[str, str]]:
        """The operations by method, and the path's parameters; raises a 404."""
        methods = self._exact.get(path)
        if methods is not None:
            return methods, {}
        bare = path.removesuffix("/")
        if bare in self._exact:
            return self._exact[bare], {}
        for pattern, found in self._patterns:
            if match := pattern.match(bare):
                return found, match.groupdict()
        raise HttpError(404, "Resource not found")
