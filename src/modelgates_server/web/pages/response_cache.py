"""Documents as they are sent, with the reader's address. Each is made once and then cached."""

import asyncio
import gzip
from base64 import urlsafe_b64encode
from collections import OrderedDict
from functools import partial
from hashlib import sha256
from typing import NamedTuple

from modelgates_server.docsite.model import ASSETS, CATALOG, DOCS, POLICY, Document
from modelgates_server.docsite.rebase import rebased
from modelgates_server.web.head import Headers
from modelgates_server.web.pages.executor import run_in_docs_thread

CACHE_MAX_BYTES = 16 * 1024 * 1024
"""The limit for all cached responses of a process. Invented host names can only evict others."""

ENTRY_BYTES = 2048
"""The memory of a response in addition to its body: its key, with the address, and headers."""

SECURITY: Headers = [
    (b"content-security-policy", f"{POLICY}; frame-ancestors 'none'".encode()),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
"""The headers of all documents and pages."""

_IMMUTABLE = (b"cache-control", b"public, max-age=31536000, immutable")
_ASK_AGAIN = (b"cache-control", b"no-cache")
_VARY = (b"vary", b"accept, accept-encoding, x-forwarded-proto")
_LEAST_GZIP_BYTES = 256
# From here on gzip's first level: 4 ms instead of 31 for the largest document.
_LARGE_BYTES = 256 * 1024


class CachedResponse(NamedTuple):
    """A response that is ready to be sent."""

    body: bytes
    etag: bytes
    headers: Headers


_Key = tuple[str, str, bool]


class ResponseCache:
    """Keeps responses by a key, up to `CACHE_MAX_BYTES`; the least recently used go first."""

    def __init__(self) -> None:
        self._responses = OrderedDict[_Key, CachedResponse]()
        self._bytes = 0
        self._making = dict[_Key, asyncio.Future[CachedResponse]]()

    async def get(
        self, name: str, document: Document, base: str, *, gzipped: bool
    ) -> CachedResponse:
        """The document called `name` for readers at `base`; raises as `run_in_docs_thread` does."""
        # Style sheets and scripts contain no address.
        key = name, "" if name.startswith(ASSETS) else base, gzipped
        if key in self._responses:
            self._responses.move_to_end(key)
            return self._responses[key]
        making = self._making.get(key)
        if making is None:
            making = asyncio.ensure_future(run_in_docs_thread(_make, name, document, base, gzipped))
            making.add_done_callback(partial(self._keep, key))
            self._making[key] = making
        # A client that disconnects ends its own wait, not that of the others.
        return await asyncio.shield(making)

    def _keep(self, key: _Key, made: "asyncio.Future[CachedResponse]") -> None:
        del self._making[key]
        if made.cancelled() or made.exception() is not None:
            return
        self._responses[key] = made.result()
        self._bytes += _weight(made.result())
        while self._bytes > CACHE_MAX_BYTES:
            _, dropped = self._responses.popitem(last=False)
            self._bytes -= _weight(dropped)


def _weight(response: CachedResponse) -> int:
    return ENTRY_BYTES + len(response.body)


def _make(name: str, document: Document, base: str, gzipped: bool) -> CachedResponse:
    body = rebased(document.body, base, is_html=document.is_page)
    digest = urlsafe_b64encode(sha256(body).digest()[:12])
    headers = _headers(name, document, base)
    if gzipped and len(body) >= _LEAST_GZIP_BYTES:
        body = gzip.compress(body, 1 if len(body) >= _LARGE_BYTES else 6, mtime=0)
        digest += b"-gz"
        headers.append((b"content-encoding", b"gzip"))
    etag = b'"%b"' % digest
    return CachedResponse(body, etag, [*headers, (b"etag", etag)])


def _headers(name: str, document: Document, base: str) -> Headers:
    headers = [(b"content-type", document.media_type.encode()), *SECURITY]
    if name.startswith(ASSETS):
        return [*headers, _IMMUTABLE, (b"vary", b"accept-encoding")]
    links = []
    if document.is_page:
        links.append(f'<{base}/{name}.md>; rel="alternate"; type="text/markdown"')
    if name in {DOCS, CATALOG}:
        links.append(f'<{base}/{CATALOG}>; rel="api-catalog"')
    if links:
        headers.append((b"link", ", ".join(links).encode()))
    return [*headers, _ASK_AGAIN, _VARY]
