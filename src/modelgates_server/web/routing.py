"""A route: method, path, the keys that may call it, and the function that responds.

The table finds exact paths by one look-up and paths with parameters by Starlette's patterns. A
trailing slash makes no difference and never redirects: a client would turn POST into GET.
"""

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from starlette.routing import compile_path

from modelgates_server.core.keys import KeyKind
from modelgates_server.dialects.dialect import Dialect
from modelgates_server.dialects.openai_chat.dialect import OPENAI_CHAT
from modelgates_server.web.errors import HttpError
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
    """

    id: str
    method: str
    path: str
    kinds: frozenset[KeyKind]
    answer: Callable[[RequestContext], Awaitable[HttpResponse | StreamedResponse]]
    dialect: Dialect = OPENAI_CHAT


Methods = dict[str, Route]


class RouteTable:
    """Finds the routes of a path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._exact: dict[str, Methods] = {}
        self._patterns: list[tuple[re.Pattern[str], Methods]] = []
        by_path: dict[str, Methods] = {}
        for route in routes:
            by_path.setdefault(route.path, {})[route.method] = route
        for path, methods in by_path.items():
            if "{" in path:
                self._patterns.append((compile_path(path)[0], methods))
            else:
                self._exact[path] = methods

    def find(self, path: str) -> tuple[Methods, dict[str, str]]:
        """The routes of a path by method, and the parameters in the path; raises a 404."""
        methods = self._exact.get(path)
        if methods is not None:
            return methods, {}
        bare = path.removesuffix("/")
        if bare in self._exact:
            return self._exact[bare], {}
        for pattern, methods_of_pattern in self._patterns:
            if match := pattern.match(bare):
                return methods_of_pattern, match.groupdict()
        raise HttpError(404, "Resource not found")
