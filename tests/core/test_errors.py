import re
from collections.abc import Iterator

from modelgates_server.core import errors
from modelgates_server.core.errors import GatewayError


def tree(kind: type[GatewayError], depth: int = 0) -> Iterator[tuple[int, str]]:
    yield depth, kind.__name__
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child, depth + 1)


def test_the_drawn_tree_of_errors_is_the_real_one() -> None:
    drawn = [
        (len(match[1]) // 4, match[2])
        for match in re.finditer(r"^([│├└─ ]*)([A-Z]\w+)", errors.__doc__ or "", re.MULTILINE)
    ]
    assert drawn[1:] == list(tree(GatewayError))
