"""A request on its way to its route: head, body and caller."""

from collections.abc import Callable, Iterable
from functools import cached_property

from starlette.requests import Request

from modelgates_server.core.errors import InsufficientCredits, InvalidInput
from modelgates_server.dialects.openai_chat.dialect import OPENAI_CHAT
from modelgates_server.service.ports import AuthenticatedKey
from modelgates_server.web.body_budget import BodyBudget
from modelgates_server.web.errors import HttpError
from modelgates_server.web.head import Headers, RequestHead
from modelgates_server.web.members import quoted
from modelgates_server.web.response import Receive, Scope

CLIENT_HAS_LEFT = "modelgates.client_has_left"
"""The key of an ASGI scope that holds a function with this result; see `web.http.connection`."""

ON_CONNECTION_REJECTED = "modelgates.on_connection_rejected"
"""The key of the state of an ASGI lifespan that holds a function: it receives the status of a
response to something that did not become a request, its text, and the address of the client."""

UNPAID_MAX_BYTES = 256 * 1024
"""The largest body of an account whose balance is at its floor."""

UNENCODED = (b"accept-encoding", b"identity")
"""The header of a 415 that names the encodings that are read (RFC 9110, 15.5.16)."""

_UNENCODED = (b"identity", b"")


def _never() -> bool:
    return False


def unread_encoding(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The message about a request's `Content-Encoding`, unless it says that there is none."""
    for name, value in headers:
        if name == b"content-encoding":
            for encoding in value.split(b","):
                if encoding.strip().lower() not in _UNENCODED:
                    shown = quoted(encoding.strip().decode("latin-1"))
                    return (
                        f"`Content-Encoding` {shown} is not supported. Send the body uncompressed."
                    )
    return None


class RequestContext:
    """One request on its way to a route. `token` is a secret: never log or store it.

    `dialect` is that of the route; errors are written in its form. `path` is the route's path, with
    the names of its parameters; `error` is the one that the response reports.
    """

    def __init__(
        self, scope: Scope, receive: Receive, head: RequestHead, budget: BodyBudget
    ) -> None:
        self.head = head
        self.token = ""
        self.known_caller: AuthenticatedKey | None = None
        self.dialect = OPENAI_CHAT
        self.path = ""
        self.error: Exception | None = None
        self._scope = scope
        self._receive = receive
        self._budget = budget
        self._held_bytes = 0

    def close(self) -> None:
        """Release the body, once the response is written."""
        held, self._held_bytes = self._held_bytes, 0
        if held:
            self._budget.give_back(self._account_id, held)

    @property
    def caller(self) -> AuthenticatedKey:
        """The calling key, in routes that require one."""
        assert self.known_caller is not None, "a public route has no caller"
        return self.known_caller

    @cached_property
    def request(self) -> Request:
        """Query, path parameters and body; built only if a route reads them."""
        return Request(self._scope, self._receive)

    @cached_property
    def headers(self) -> dict[bytes, bytes]:
        """The headers by lower-case name; the last value of a duplicate header."""
        return dict(self._scope["headers"])

    @property
    def joined_headers(self) -> dict[bytes, bytes]:
        """The headers by lower-case name; several values of a header are joined by commas.

        RFC 9110, 5.2: that is what lists such as `anthropic-beta` mean.
        """
        headers: Headers = self._scope["headers"]
        if len(headers) == len(self.headers):
            return self.headers
        joined = dict[bytes, bytes]()
        for name, value in headers:
            joined[name] = b"%b,%b" % (joined[name], value) if name in joined else value
        return joined

    def single_header(self, shown_name: str) -> str | None:
        """A header that must not be repeated, byte for byte as Latin-1; raises `InvalidInput`.

        A proxy may obey one of two values and the gateway the other.
        """
        name = shown_name.lower().encode()
        value = self.headers.get(name)
        if value is None:
            return None
        headers: Headers = self._scope["headers"]
        if sum(name == each for each, _ in headers) > 1:
            raise InvalidInput(f"Duplicate `{shown_name}` header. Send it once.")
        return value.decode("latin-1")

    @property
    def http_version(self) -> str:
        """`1.0` or `1.1`."""
        version: str = self._scope["http_version"]
        return version

    async def body(self, most_bytes: int) -> bytes | None:
        """The whole body; None if it is larger than `most_bytes`, or declared to be.

        Raises `InvalidInput`, a 415 if it is compressed, a 503 if the process holds too much
        already, and `InsufficientCredits` for a large body of an account that cannot pay for it:
        all of them before it is read, if it says how large it is.
        """
        self._check_encoding()
        declared = self.headers.get(b"content-length", b"").strip()
        if declared.isdigit():
            if int(declared) > most_bytes:
                return None
            self._check_credits(int(declared))
            self._budget.check(self._account_id, 0, int(declared))
        pieces, size, more = list[bytes](), 0, True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise InvalidInput("The connection ended before the whole request body arrived.")
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > most_bytes:
                return None
            self._check_credits(size)
            self._budget.take(self._account_id, self._held_bytes, len(pieces[-1]))
            self._held_bytes = size
            more = message.get("more_body", False)
        return b"".join(pieces)

    @property
    def _account_id(self) -> str | None:
        caller = self.known_caller
        return None if caller is None else caller.account_id

    def _check_credits(self, size: int) -> None:
        """Free models cost nothing, so an account without credits may send a body for them."""
        caller = self.known_caller
        if size <= UNPAID_MAX_BYTES or caller is None:
            return
        if caller.credits_pico - caller.usage_pico <= caller.min_balance_pico:
            raise InsufficientCredits(
                "Insufficient credits. Without credits, a request may have at most "
                f"{UNPAID_MAX_BYTES // 1024} KiB. Add credits, or send less.",
                reason="insufficient_credits" if caller.credits_pico else "never_purchased",
            )

    def _check_encoding(self) -> None:
        # Of two headers, the dictionary has one.
        if b"content-encoding" in self.headers and (
            message := unread_encoding(self._scope["headers"])
        ):
            raise HttpError(415, message, [UNENCODED])

    @property
    def client_has_left(self) -> Callable[[], bool]:
        """A function that returns whether the client is gone; False if the server cannot know."""
        has_left: Callable[[], bool] = self._scope.get(CLIENT_HAS_LEFT, _never)
        return has_left
