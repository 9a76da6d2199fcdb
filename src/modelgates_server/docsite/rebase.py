"""Documents name the site's address by a placeholder, which becomes the reader's address here."""

import re
from urllib.parse import urlsplit

from modelgates_server.docsite.model import ORIGIN

_ORIGIN = ORIGIN.encode()
# In an attribute of HTML. Quotes in text and code are written as entities.
_LINK = re.compile(rb'="' + re.escape(_ORIGIN) + rb'(?=[/"])')


def rebased(body: bytes, base: str, *, is_html: bool) -> bytes:
    """Put the reader's address into a document.

    Links within HTML get its path alone: a page that is opened under another name of the server
    still finds its style sheet, which the Content-Security-Policy wants from the same place.
    """
    if is_html:
        body = _LINK.sub(b'="' + urlsplit(base).path.encode(), body)
    return body.replace(_ORIGIN, base.encode())
