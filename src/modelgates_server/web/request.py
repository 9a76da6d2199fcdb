"""A request on its way to the route that answers it: head, body and who sent it."""

from collections.abc import Callable
from functools import cached_property

from starlette.requests import Request

from modelgates_server.core.errors import InvalidInput
from modelgates_server.dialects.openai_chat.dialect import OPENAI_CHAT
from modelgates_server.service.ports import AuthenticatedKey
from modelgates_server.web.errors import HttpError
from modelgates_server.web.head import Headers, RequestHead
from modelgates_server.web.response import Receive, Scope

CLIENT_HAS_LEFT = "modelgates.client_has_left"
"""The member of an ASGI scope with which our connections answer that; see `web.http.connection`."""


def _never() -> bool:
    return False


class BodyBudget:
    """The bytes of requests' bodies that this process holds at once, and their bound."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._held_bytes = 0

    def take(self, size: int) -> None:
        """Hold so many more; raises a 503 when there is none left."""
        if self._held_bytes + size > self._most_bytes:
            raise HttpError(
                503, "Too many large requests at once; try again shortly", [(b"retry-after", b"1")]
            )
        self._held_bytes += size

    def give_back(self, size: int) -> None:
        """Hold so many less."""
        self._held_bytes -= size


class RequestContext:
    """One request on its way to a route. `token` is a secret: never log or store it.

    `dialect` is that of its route, in whose form errors are written.
    """

    def __init__(
        self, scope: Scope, receive: Receive, head: RequestHead, budget: BodyBudget
    ) -> None:
        self.head = head
        self.token = ""
        self.known_caller: AuthenticatedKey | None = None
        self.dialect = OPENAI_CHAT
        self._scope = scope
        self._receive = receive
        self._budget = budget
        self._held_bytes = 0

    def close(self) -> None:
        """The answer is written: nobody needs the body any more."""
        self._budget.give_back(self._held_bytes)

    @property
    def caller(self) -> AuthenticatedKey:
        """Who is calling, in routes that admit only keys."""
        assert self.known_caller is not None, "a public route has no caller"
        return self.known_caller

    @cached_property
    def request(self) -> Request:
        """Query, path parameters and body; built only where a route asks for them."""
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
            self._budget.take(len(pieces[-1]))
            self._held_bytes = size
            more = message.get("more_body", False)
        return b"".join(pieces)

    @property
    def client_has_left(self) -> Callable[[], bool]:
        """Tells whether the connection is gone; a server that does not know says no."""
        has_left: Callable[[], bool] = self._scope.get(CLIENT_HAS_LEFT, _never)
        return has_left
