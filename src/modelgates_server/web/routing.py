"""A route: method, path, the keys that may call it, and the function that responds.

The table finds exact paths by one look-up and paths with parameters by Starlette's patterns. A
trailing slash makes no difference and never redirects: a client would turn POST into GET. A slash
that is percent-encoded belongs to a parameter: a proxy that does not decode it would otherwise see
another path than the table.
"""

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from starlette.routing import compile_path

from modelgates_server.core.keys import KeyKind
from modelgates_server.dialects.dialect import Dialect
from modelgates_server.dialects.openai_chat.dialect import OPENAI_CHAT
from modelgates_server.web.errors import UnknownPath
from modelgates_server.web.request import RequestContext
from modelgates_server.web.response import HttpResponse, StreamedResponse

PUBLIC = frozenset[KeyKind]()
ANY_KEY = frozenset(KeyKind)
MANAGEMENT = frozenset({KeyKind.MANAGEMENT})
INFERENCE = frozenset({KeyKind.INFERENCE})
READERS = frozenset({KeyKind.MANAGEMENT, KeyKind.VIEWER})


@dataclass(frozen=True, slots=True)
class Route:
    """A row of the table of routes. With no `kinds`, the route is public and needs no key.

    `id` is the operation id in openapi.yaml, `dialect` the wire format of requests and errors.
    `alias` is a second path that is served alike, and is not in openapi.yaml. Pages of other sites
    may call a route if it `is_cross_origin`.
    """

    id: str
    method: str
    path: str
    kinds: frozenset[KeyKind]
    answer: Callable[[RequestContext], Awaitable[HttpResponse | StreamedResponse]]
    dialect: Dialect = OPENAI_CHAT
    alias: str | None = None
    is_cross_origin: bool = True


Methods = dict[str, Route]

_ENCODED_SLASH = b"%2f"


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A path with parameters; `start` and `end` are its fixed parts."""

    matching: re.Pattern[str]
    start: bytes
    end: bytes
    methods: Methods

    @classmethod
    def of(cls, path: str, methods: Methods) -> "_Pattern":
        start, end = path.partition("{")[0], path.rpartition("}")[2]
        return cls(compile_path(path)[0], start.encode(), end.encode(), methods)

    def is_sent_as_written(self, raw_path: bytes) -> bool:
        """Whether encoded slashes are only in the parameters of a path as it was sent."""
        bare = raw_path.removesuffix(b"/")
        return bare.startswith(self.start) and bare.endswith(self.end)


class RouteTable:
    """Finds the routes of a path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._exact: dict[str, Methods] = {}
        self._patterns: list[_Pattern] = []
        by_path: dict[str, Methods] = {}
        for route in routes:
            for path in (route.path, route.alias):
                if path is not None:
                    by_path.setdefault(path, {})[route.method] = route
        for path, methods in by_path.items():
            if "{" in path:
                self._patterns.append(_Pattern.of(path, methods))
            else:
                self._exact[path] = methods

    def find(self, path: str, raw_path: bytes = b"") -> tuple[Methods, dict[str, str]]:
        """The routes of a path by method, and the parameters in the path; raises a 404.

        `raw_path` is the path as it was sent, still percent-encoded.
        """
        has_encoded_slash = b"%" in raw_path and _ENCODED_SLASH in raw_path.lower()
        bare = path.removesuffix("/")
        if not has_encoded_slash:
            methods = self._exact.get(path) or self._exact.get(bare)
            if methods is not None:
                return methods, {}
        for pattern in self._patterns:
            if (match := pattern.matching.match(bare)) and (
                not has_encoded_slash or pattern.is_sent_as_written(raw_path)
            ):
                return pattern.methods, match.groupdict()
        raise UnknownPath
