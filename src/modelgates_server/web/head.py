"""The headers that every operation reads, found in one pass."""

import re
import secrets
from itertools import count

from modelgates_server.web.credentials import NAMES, key_of

Headers = list[tuple[bytes, bytes]]

_SANE_REQUEST_ID = re.compile(rb"[0-9A-Za-z._:/+=-]{1,128}")
# A prefix per process and a counter: unique without asking the system for randomness each time.
_PREFIX = secrets.token_hex(6).encode()
_NUMBERS = count(1)


def new_request_id() -> bytes:
    """An id for a request that has none, or one that is not safe to repeat."""
    return b"req_%b_%x" % (_PREFIX, next(_NUMBERS))


class RequestHead:
    """The headers of interest. Plain slots, because one is built for every request."""

    __slots__ = ("credentials", "request_id", "wants_metadata")

    def __init__(self, headers: Headers) -> None:
        self.credentials: Headers = []
        self.wants_metadata = False
        request_id = b""
        for name, value in headers:
            if name in NAMES:
                self.credentials.append((name, value))
            elif name == b"x-request-id":
                request_id = value
            elif name == b"x-modelgates-metadata":
                self.wants_metadata = value.lower() == b"enabled"
        if not request_id or not _SANE_REQUEST_ID.fullmatch(request_id):
            request_id = new_request_id()
        self.request_id = request_id

    def key(self) -> str:
        """The key, a secret; see `key_of` for its errors."""
        return key_of(self.credentials)

    def bearer_token(self) -> bytes:
        """The token of the only `Authorization` header; empty without one, or with two."""
        values = [value for name, value in self.credentials if name == b"authorization"]
        return values[0].removeprefix(b"Bearer ") if len(values) == 1 else b""

    @property
    def text_id(self) -> str:
        """The request id for logs."""
        return self.request_id.decode()
