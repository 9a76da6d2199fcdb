"""docs/reference/cli.md says what `--help` says, and its examples print what it shows."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperCommand

from tests.cli.console import Console
from tests.cli.test_program import commands

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"
# What differs from one run or machine to the next; the rest of an answer is as it is written.
OF_THIS_RUN = re.compile(
    r"id|account_id|key|hash|key_hash|label|at|\w+_at|path|files|bytes|sqlite|schema\w*"
)
# They never end, or show what no command can make.
NO_EXAMPLE = {"serve", "demo", "sandbox serve", "generation show"}
LEARNED = re.compile(r"id|hash")


def sections() -> dict[str, str]:
    """The text below each heading that names a command."""
    _, *parts = re.split(r"^#+ (.+)$", REFERENCE.read_text("utf-8"), flags=re.MULTILINE)
    named = zip(parts[0::2], parts[1::2], strict=True)
    prefix = "`modelgates "
    return {h.removeprefix(prefix).rstrip("`"): t for h, t in named if h.startswith(prefix)}


def expected(words: str, command: TyperCommand) -> str:
    """How a section starts: the help's first paragraph, then its arguments and options."""
    assert command.help is not None
    sentence = " ".join(command.help.split("\n\n")[0].split())
    context = typer.Context(command, info_name=words)
    records = [parameter.get_help_record(context) for parameter in command.params]
    lines = [f"- `{name}` {meaning}" for name, meaning in filter(None, records)]
    return "\n".join(["", "", sentence, *([""] if lines else []), *lines, ""])


def example(text: str) -> list[tuple[str, list[str]]]:
    """The commands of a section's console blocks, each with the lines that it prints."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ modelgates "):
                found.append((line.removeprefix("$ modelgates "), []))
            else:
                found[-1][1].append(line)
    return found


def read(line: str) -> Any:
    return json.loads(line) if line[0] in "{[" else line


def compare(shown: Any, printed: Any, learned: dict[str, str]) -> None:
    """Members and their order are the same, and so are the values that do not differ by run."""
    if isinstance(shown, list):
        assert len(shown) == len(printed)
        for one, other in zip(shown, printed, strict=True):
            compare(one, other, learned)
    elif isinstance(shown, dict):
        assert list(shown) == list(printed)
        for name, value in shown.items():
            if not OF_THIS_RUN.fullmatch(name):
                compare(value, printed[name], learned)
                continue
            assert type(value) is type(printed[name]), name
            if LEARNED.fullmatch(name):
                learned[value] = printed[name]
    else:
        assert shown == printed


def test_reference_has_exactly_the_commands_of_the_program() -> None:
    assert list(sections()) == list(commands())


def test_sections_of_the_reference_start_like_help(subtests: pytest.Subtests) -> None:
    for words, command in commands().items():
        with subtests.test(words):
            start = expected(words, command)
            assert sections()[words].startswith(start), f"it should start with\n{start}"


def test_examples_print_the_output_in_the_reference(console: Console) -> None:
    learned: dict[str, str] = {}
    for words, text in sections().items():
        lines = example(text)
        assert words in NO_EXAMPLE or lines[-1][0].startswith(words), words
        for line, shown in lines:
            ended = console.call(*(learned.get(word, word) for word in shlex.split(line)))
            printed = ended.out.splitlines()
            assert ended.code == 0, ended.err
            assert len(printed) == len(shown), line
            compare([read(one) for one in shown], [read(one) for one in printed], learned)
