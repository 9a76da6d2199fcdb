"""The headers that every operation reads, found in one pass."""

import re
import secrets
from itertools import count

from modelgates_server.core.errors import MissingKey

Headers = list[tuple[bytes, bytes]]

_SANE_REQUEST_ID = re.compile(rb"[0-9A-Za-z._:/+=-]{1,128}")
_BEARER = b"bearer "
# A prefix per process and a counter: unique without asking the system for randomness each time.
_PREFIX = secrets.token_hex(6).encode()
_NUMBERS = count(1)


def new_request_id() -> bytes:
    """An id for a request that has none, or one that is not safe to repeat."""
    return b"req_%b_%x" % (_PREFIX, next(_NUMBERS))


class RequestHead:
    """The headers of interest. Plain slots, because one is built for every request."""

    __slots__ = ("authorization", "request_id", "wants_metadata")

    def __init__(self, headers: Headers) -> None:
        self.authorization: bytes | None = None
        self.wants_metadata = False
        request_id = b""
        for name, value in headers:
            if name == b"authorization":
                # With two of them, a proxy and the gateway could disagree about the caller.
                self.authorization = value if self.authorization is None else b""
            elif name == b"x-request-id":
                request_id = value
            elif name == b"x-modelgates-metadata":
                self.wants_metadata = value.lower() == b"enabled"
        if not request_id or not _SANE_REQUEST_ID.fullmatch(request_id):
            request_id = new_request_id()
        self.request_id = request_id

    def bearer_token(self) -> str:
        """The token of `Authorization: Bearer …`; raises `MissingKey`."""
        value = self.authorization
        if value is None or value[:7].lower() != _BEARER:
            raise MissingKey
        return value[7:].strip(b" ").decode("latin-1")

    @property
    def text_id(self) -> str:
        """The request id for logs."""
        return self.request_id.decode()
