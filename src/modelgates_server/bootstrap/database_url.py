"""`MODELGATES_DATABASE_URL`: the path of a SQLite file, written as a URL.

No message repeats the URL: that of another database may contain a password.
"""

import os
import re
from pathlib import Path
from urllib.parse import parse_qsl, unquote_to_bytes

from modelgates_server.core.errors import InvalidInput

_URL = re.compile(
    r"sqlite://(?P<host>[^/?#]*)/(?P<path>[^?#]*)(\?(?P<query>[^#]*))?(?P<fragment>#.*)?",
    re.IGNORECASE | re.DOTALL,
)
_SHAPE = (
    "`MODELGATES_DATABASE_URL` must look like `sqlite:///modelgates.db`, "
    "or `sqlite:////var/lib/modelgates/modelgates.db` for an absolute path."
)
_PROBLEMS = {
    r"%(?![0-9a-fA-F]{2})|%00": "Write `%25` for a percent sign in a file name.",
    r"^/?[A-Za-z]:[\\/]": "Paths with a Windows drive are not supported.",
    r"^file:": "Write the path without `file:`.",
    r"^:memory:$": "A database in memory would lose the ledger when the program ends.",
    r"/$": "The path names a folder, not a file.",
}
"""The problem of a path that matches a pattern."""


def database_path(url: str) -> Path:
    """Returns the path in a URL, with `%20` and the like decoded.

    Raises `InvalidInput` for anything else that a URL may have: it would not take effect.
    """
    parts = _URL.fullmatch(url)
    if parts is None or not parts["path"]:
        raise InvalidInput(_SHAPE)
    problem = _problem(parts)
    if problem:
        raise InvalidInput(f"{_SHAPE} {problem}")
    return Path(os.fsdecode(unquote_to_bytes(parts["path"])))


def _problem(parts: re.Match[str]) -> str | None:
    if parts["host"]:
        return "Its host is not supported: the path starts after three slashes."
    if parts["query"] is not None:
        named = parse_qsl(parts["query"], keep_blank_values=True)
        names = ", ".join(f"`{name}`" for name, _ in named if name.isidentifier())
        return (
            f"Its query parameters are not supported: {names or '`?`'}. Remove everything from the "
            "question mark, or write `%3F` for a question mark in a file name."
        )
    if parts["fragment"] is not None:
        return "Write `%23` for a number sign in a file name."
    found = (text for pattern, text in _PROBLEMS.items() if re.search(pattern, parts["path"]))
    return next(found, None)
