"""Languages without a toolchain on this machine, read by a parser of their grammar."""

from collections.abc import Callable, Iterator

from tree_sitter import Language, Node, Parser


def nodes(grammar: Callable[[], object], code: str) -> list[Node]:
    """The syntax nodes of a program in the order of its text; fails for a syntax error."""
    root = Parser(Language(grammar())).parse(code.encode()).root_node
    below = list(_below(root))
    assert not [node for node in below if node.is_error or node.is_missing], code
    return below


def _below(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _below(child)


def texts(of: list[Node], kind: str) -> list[str]:
    """The texts of the nodes of a kind."""
    return [node.text.decode() for node in of if node.type == kind and node.text is not None]
