"""A client's request for a call, and what makes another request a repeat of it."""

import hashlib

import msgspec

from modelgates_server.core.metering.generations import Origin
from modelgates_server.core.metering.request import InferenceRequest
from modelgates_server.dialects.dialect import Dialect


class CallRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A client's request in its `dialect`. The original `body` identifies repeats.

    `is_retry`: the client says that it sends the request again. `shaping_headers` are the headers
    that may change the response, as names and values.
    """

    inference: InferenceRequest
    dialect: Dialect
    body: bytes
    origin: Origin
    idempotency_key: str | None = None
    max_cost_pico: int | None = None
    is_retry: bool = False
    shaping_headers: tuple[tuple[bytes, bytes], ...] = ()


def keyed_digest(request: CallRequest) -> str:
    """The digest that a request with an `Idempotency-Key` shares with its repeats; it is stored."""
    api = request.inference.api
    return hashlib.sha256(api.encode() + b"\n" + request.body).hexdigest()


def retry_digest(request: CallRequest) -> bytes:
    """The digest of everything that shapes a response or bounds its price.

    It is stored only while a call without a client runs: other processes must find the call.
    """
    parts = [request.inference.api.encode(), request.body, str(request.max_cost_pico).encode()]
    for header in sorted(request.shaping_headers):
        parts += header
    digest = hashlib.sha256()
    for part in parts:
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.digest()
