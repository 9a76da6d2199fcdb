"""The page on the log's format lists every event that the source can write, with its fields."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from modelgates_server.core.provider_causes import ProviderCause

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "modelgates_server"
PAGE = ROOT / "docs" / "reference" / "logs.md"
LEVELS = {"debug", "info", "warning", "error", "critical"}
USUAL = {"event", "level", "timestamp"}


class LogLine(NamedTuple):
    level: str
    fields: frozenset[str]


def keys_of(table: ast.AST) -> set[str]:
    assert isinstance(table, ast.Dict), ast.unparse(table)
    return {str(key.value) for key in table.keys if isinstance(key, ast.Constant)}


class Module:
    """The log calls of a module."""

    def __init__(self, path: Path) -> None:
        self.tree = ast.parse(path.read_text(encoding="utf-8"))

    def lines(self) -> Iterator[tuple[str, LogLine]]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                yield from self._written(node)
            elif isinstance(node, ast.Dict) and keys_of(node) >= USUAL - {"timestamp"}:
                values = {
                    key.value: value.value
                    for key, value in zip(node.keys, node.values, strict=True)
                    if isinstance(key, ast.Constant) and isinstance(value, ast.Constant)
                }
                if "event" in values:
                    fields = frozenset(keys_of(node) - USUAL)
                    yield str(values["event"]), LogLine(str(values["level"]), fields)

    def _written(self, call: ast.Call) -> Iterator[tuple[str, LogLine]]:
        name = ast.unparse(call.func)
        if name == "write_line":
            event, table, *level = call.args
            assert isinstance(event, ast.Constant)
            for each in self._levels(level[0] if level else ast.Constant("info")):
                yield str(event.value), LogLine(each, frozenset(self._fields(table)))
        elif name.startswith("log.") and name != "log.exception":
            yield from self._logged(call, name.removeprefix("log."))
        elif name == "log.exception":
            yield from self._logged(call, "error")

    def _logged(self, call: ast.Call, level: str) -> Iterator[tuple[str, LogLine]]:
        assert level in LEVELS, level
        [event] = call.args
        assert isinstance(event, ast.Constant), f"an event is a constant: {ast.unparse(call)}"
        fields = set()
        for keyword in call.keywords:
            if keyword.arg is None:
                fields |= self._fields(keyword.value)
            elif keyword.arg != "exc_info":
                fields.add(keyword.arg)
        yield str(event.value), LogLine(level, frozenset(fields))

    def _levels(self, level: ast.expr) -> list[str]:
        found = [each.value for each in ast.walk(level) if isinstance(each, ast.Constant)]
        return [each for each in found if isinstance(each, str)]

    def _fields(self, table: ast.expr) -> set[str]:
        """The keys of a table: a literal, a variable, or what a function returns."""
        if isinstance(table, ast.Dict):
            return keys_of(table)
        if isinstance(table, ast.Name):
            [value] = {
                node.value
                for node in ast.walk(self.tree)
                if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == table.id
            }
            return keys_of(value)
        assert isinstance(table, ast.Call)
        [made] = [
            node
            for node in ast.walk(self.tree)
            if isinstance(node, ast.FunctionDef) and node.name == ast.unparse(table.func)
        ]
        [returned] = [node.value for node in ast.walk(made) if isinstance(node, ast.Return)]
        assert returned is not None
        return keys_of(returned)


def written() -> dict[str, tuple[set[str], set[str]]]:
    """The levels and fields of each event."""
    events: dict[str, tuple[set[str], set[str]]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        for event, line in Module(path).lines():
            levels, fields = events.setdefault(event, (set(), set()))
            levels.add(line.level)
            fields |= line.fields
    return events


def section(title: str) -> str:
    page = PAGE.read_text(encoding="utf-8")
    return page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def documented() -> dict[str, tuple[set[str], set[str]]]:
    rows = re.findall(r"^\| `(.+?)` \| (.+?) \| (.*?) ?\| .+\|$", section("Events"), re.MULTILINE)
    return {
        event: (set(levels.split(", ")), set(re.findall(r"`(\w+)`", fields)))
        for event, levels, fields in rows
    }


def test_page_lists_every_event_with_its_level_and_fields() -> None:
    assert documented() == written()


def test_page_lists_every_cause() -> None:
    causes = re.findall(r"^\| `(\w+)` \|", section("Failed attempts"), re.MULTILINE)
    assert sorted(causes) == sorted(ProviderCause)
