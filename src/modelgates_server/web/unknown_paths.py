"""Explains a 404 for a path: which base URL is right, and what the server offers in its place.

Nearly always the client's base URL is wrong (no `/api/v1`, or two), or its library uses an API that
the server does not offer. The text depends only on the path and on what is public: whether a caller
has a key, and which paths need one, makes no difference.
"""

from collections.abc import Iterable
from difflib import get_close_matches

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.keys import without_keys
from modelgates_server.docsite.model import DOCS
from modelgates_server.docsite.openapi import BASE_PATH
from modelgates_server.web.errors import UnknownPath
from modelgates_server.web.members import quoted
from modelgates_server.web.pages.negotiation import KnownHosts
from modelgates_server.web.request import RequestContext
from modelgates_server.web.routing import Route, RouteTable

_READ_MAX_CHARS = 200
_ALIKE = 0.75
_CALLS = ("chat/completions", "completions", "embeddings", "models")

_BASES = frozenset(
    {"api", "v1", "v2", "v1beta", "openai", "openrouter", "compatible-mode", "proxy"}
)
"""Segments of base URLs, of this server and of others. No operation begins with one."""

_BASES_WITH_NAME = frozenset({"deployments", "engines"})
"""The same, followed by a name: Azure has `/openai/deployments/{deployment}/chat/completions`."""

_INSTEAD = {
    "generate": "Use `/completions`.",
    # Ollama's, and OpenAI's older balance, which some proxies read.
    "tags": "Use `/models` with a client for OpenAI's API.",
    "embed": "Use `/embeddings` with a client for OpenAI's API.",
    "dashboard": "Use `/credits` with a management key.",
    **dict.fromkeys(
        (
            *("images", "audio", "videos", "files", "batches", "moderations", "fine_tuning"),
            *("assistants", "threads", "vector_stores", "realtime", "rerank", "conversations"),
        ),
        "This server does not offer this API.",
    ),
}
"""APIs of other servers, by the first segment of their paths. An API that has a route here is not
looked up."""


class UnknownPaths:
    """The messages of 404s for a table of routes."""

    def __init__(self, routes: Iterable[Route], hosts: KnownHosts) -> None:
        self._hosts = hosts
        start = f"{BASE_PATH}/"
        api = [route for route in routes if route.path.startswith(start)]
        self._table = RouteTable(api)
        self._offered = frozenset(
            route.path.removeprefix(start) for route in api if "{" not in route.path
        )
        self._first_segments = {path.partition("/")[0] for path in self._offered}

    def message(self, context: RequestContext) -> str:
        """The message for a request whose path no route has."""
        sent: str = context.request.scope["path"]
        path, base_url = without_keys(sent).removesuffix("/") or "/", self._base_url(context)
        return (
            f"Resource not found: {quoted(path)}. {self._hint(path[:_READ_MAX_CHARS])}The base URL "
            f"of the API is `{base_url}{BASE_PATH}`. It has {_listed(_CALLS)} and others; "
            f"`{base_url}/{DOCS}` describes them."
        )

    def _base_url(self, context: RequestContext) -> str:
        try:
            return self._hosts.base_of(context)
        except InvalidInput:  # the Host header must not get into a message
            return ""

    def _hint(self, path: str) -> str:
        rest = _without_bases(path)
        if not rest:
            return ""
        if self._is_served(rest):
            return f"Did you mean {quoted(f'{BASE_PATH}/{rest}')}? "
        first, _, others = rest.partition("/")
        if doubled := self._doubled(rest):
            return f"Did you mean `{BASE_PATH}/{doubled}`? End the base URL before the operation. "
        if first == "models" and others:
            return "The id of a model has an author: `/models/{author}/{slug}`. "
        if first in _INSTEAD and rest not in self._first_segments:
            return f"{_INSTEAD[first]} "
        near = get_close_matches(rest, self._offered, n=1, cutoff=_ALIKE)
        return f"Did you mean `{BASE_PATH}/{near[0]}`? " if near else ""

    def _is_served(self, rest: str) -> bool:
        try:
            self._table.find(f"{BASE_PATH}/{rest}")
        except UnknownPath:
            return False
        return True

    def _doubled(self, rest: str) -> str | None:
        """The operation that a client added to a base URL that ends with one; None without."""
        begun = any(rest.startswith(f"{path}/") for path in _CALLS)
        ends = [path for path in _CALLS if begun and rest.endswith(f"/{path}")]
        return max(ends, key=len, default=None)


def _without_bases(path: str) -> str:
    """The part of a path below the base URL, as far as base URLs are known."""
    segments = [each for each in path.split("/") if each]
    while segments and segments[0] in _BASES | _BASES_WITH_NAME:
        del segments[: 2 if segments[0] in _BASES_WITH_NAME else 1]
    return "/".join(segments)


def _listed(paths: Iterable[str]) -> str:
    return ", ".join(f"`/{path}`" for path in paths)
