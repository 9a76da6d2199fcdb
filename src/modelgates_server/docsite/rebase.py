"""Replaces the placeholder for the site's address by the reader's address."""

import re
from urllib.parse import urlsplit

from modelgates_server.docsite.model import ORIGIN

_ORIGIN = ORIGIN.encode()
# In an HTML attribute. Quotes in text and code are entities.
_LINK = re.compile(rb'="' + re.escape(_ORIGIN) + rb'(?=[/"])')


def rebased(body: bytes, base: str, *, is_html: bool) -> bytes:
    """Put the reader's address into a document.

    Links in HTML get only its path, so that a page opened under another name of the server still
    finds its style sheet. The Content-Security-Policy requires the same origin for it.
    """
    if is_html:
        body = _LINK.sub(b'="' + urlsplit(base).path.encode(), body)
    return body.replace(_ORIGIN, base.encode())
