"""Languages without a toolchain here, read by a parser of their grammar."""

from collections.abc import Callable, Iterator

from tree_sitter import Language, Node, Parser


def nodes(grammar: Callable[[], object], code: str) -> list[Node]:
    """All of a program's syntax in the order of its text; a program with a mistake fails."""
    root = Parser(Language(grammar())).parse(code.encode()).root_node
    found = list(_below(root))
    assert not [node for node in found if node.is_error or node.is_missing], code
    return found


def _below(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _below(child)


def texts(found: list[Node], kind: str) -> list[str]:
    """What stands in the nodes of a kind."""
    return [node.text.decode() for node in found if node.type == kind and node.text is not None]
