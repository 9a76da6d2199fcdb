"""Draws mutants: `python draw.py ROOT PACKAGE… --seed N --count N` prints one JSON object per line.

Runs in the environment of Cosmic Ray. A place in the source is drawn first and then one of its
mutations; otherwise a `+`, which has eleven replacements, would be drawn more often than a `not`.

Not drawn are mutations that no fault looks like: in type annotations, in the head of a class such
as `frozen=True`, and between `==` and `is`.
"""

import argparse
import ast
import json
import random
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

Position = tuple[int, int]
Place = tuple[Position, Position]

_BY_IDENTITY = re.compile(
    r"ReplaceComparisonOperator_(?!Is_IsNot|IsNot_Is)(\w+_Is(Not)?|Is(Not)?_\w+)$"
)


def operators() -> dict[str, Any]:
    """The operators that need no arguments, by name."""
    classes = {name: get_operator(name) for name in operator_names()}
    return {
        name: operator()
        for name, operator in classes.items()
        if not operator.arguments() and not _BY_IDENTITY.search(name)
    }


def declarations(source: str) -> list[Place]:
    """The places of all type annotations and of the keywords of classes."""
    parts: list[Any] = []
    for node in ast.walk(ast.parse(source)):
        parts += [getattr(node, "annotation", None), getattr(node, "returns", None)]
        parts += node.keywords if isinstance(node, ast.ClassDef) else []
    return [
        ((part.lineno, part.col_offset), (part.end_lineno, part.end_col_offset))
        for part in parts
        if part is not None
    ]


def mutations(source: str, every: dict[str, Any]) -> dict[Place, list[tuple[str, int]]]:
    """For each place its mutations: the name of an operator, and which of its occurrences."""
    nodes = list(ast_nodes(get_ast(source)))
    hidden = declarations(source)
    found = defaultdict(list)
    for name, operator in every.items():
        places = (place for node in nodes for place in operator.mutation_positions(node))
        for occurrence, (start, end) in enumerate(places):
            if not any(first <= start and end <= last for first, last in hidden):
                found[start, end].append((name, occurrence))
    return found


def draw(root: Path, packages: list[str], seed: int, count: int) -> Iterator[dict[str, Any]]:
    """Draw mutants: file, line, the operator, and the source of the file with the fault."""
    every = operators()
    files = sorted(path for package in packages for path in (root / package).rglob("*.py"))
    sources = {path: path.read_text("utf-8") for path in files}
    found = {path: mutations(source, every) for path, source in sources.items()}
    places = sorted((path, place) for path, by_place in found.items() for place in by_place)
    chance = random.Random(seed)
    for path, place in chance.sample(places, min(count, len(places))):
        name, occurrence = chance.choice(found[path][place])
        code = _mutated(sources[path], every[name], occurrence)
        if code is not None:
            yield {
                "path": str(path.relative_to(root)),
                "line": place[0][0],
                "operator": name.removeprefix("core/"),
                "code": code,
            }


def _mutated(source: str, operator: Any, occurrence: int) -> str | None:
    """The source with one fault; None if it is not Python, which any test would notice."""
    try:
        code: str | None = mutate_code(source, operator, occurrence)
        ast.parse(code or "")
    except (AttributeError, SyntaxError):  # the former for `except module.Error`, a bug of the tool
        return None
    return code


def main() -> None:
    """Print the mutants of the command line's arguments."""
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("packages", nargs="+")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    given = parser.parse_args()
    for mutant in draw(given.root, given.packages, given.seed, given.count):
        print(json.dumps(mutant), flush=True)


if __name__ == "__main__":
    main()
