"""docs/reference/cli.md matches `--help`, and its examples print the output that it shows."""

import json
import re
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperCommand

from tests.cli.console import EXECUTABLE, Console
from tests.cli.test_demo import tour
from tests.cli.test_program import commands
from tests.deadlines import DEADLINE_S

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"
# Fields that differ from one run or machine to the next. All others are compared.
OF_THIS_RUN = re.compile(
    r"id|account_id|key|hash|key_hash|label|at|\w+_at|path|files|bytes|sqlite|schema\w*"
)
LEARNED = re.compile(r"id|hash")
# The same in output for people, where `…` stands for any text.
ANY = "…"
ACCOUNT, HASH, TIME = r"user_\w{22}", r"[0-9a-f]{64}", r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z"
LABEL = r"sk-mg-v1-\w{3}\.\.\.\w{3}"
TOKEN = re.compile(f"({ACCOUNT}|{HASH}|{TIME}|{LABEL}|{ANY})")
LEARNED_TOKEN = re.compile(f"{ACCOUNT}|{HASH}")
ROW_OF_THIS_RUN = re.compile(r"((?:path|files|bytes|sqlite|schema|schema needed) {2,})\S+")
# They run until they are stopped. No command makes a generation: test_generation.py compares it.
RUNNING = {
    "serve": "http://127.0.0.1:8000",
    "sandbox serve": "http://127.0.0.1:8001",
    "demo": "http://127.0.0.1:8000",
}
# `healthcheck` needs a server that runs: test_healthcheck.py compares it.
NO_EXAMPLE = {*RUNNING, "generation show", "healthcheck"}


def sections() -> dict[str, str]:
    """The text below each heading that names a command."""
    _, *parts = re.split(r"^#+ (.+)$", REFERENCE.read_text("utf-8"), flags=re.MULTILINE)
    named = zip(parts[0::2], parts[1::2], strict=True)
    prefix = "`modelgates "
    return {h.removeprefix(prefix).rstrip("`"): t for h, t in named if h.startswith(prefix)}


def expected(words: str, command: TyperCommand) -> str:
    """The start of a section: the first paragraph of the help, then its arguments and options."""
    assert command.help is not None
    sentence = " ".join(command.help.split("\n\n")[0].split())
    context = typer.Context(command, info_name=words)
    records = [parameter.get_help_record(context) for parameter in command.params]
    lines = [f"- `{name}` {meaning}" for name, meaning in filter(None, records)]
    return "\n".join(["", "", sentence, *([""] if lines else []), *lines, ""])


def examples(text: str) -> list[tuple[str, list[str]]]:
    """The commands in the console blocks of a section, each with the lines that it prints."""
    commands_and_lines: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ modelgates "):
                commands_and_lines.append((line.removeprefix("$ modelgates "), []))
            else:
                commands_and_lines[-1][1].append(line)
    return commands_and_lines


def compare_json(shown: Any, printed: Any, learned: dict[str, str]) -> None:
    """Fields and their order are the same, and so are all values that do not differ by run."""
    if isinstance(shown, list):
        assert len(shown) == len(printed)
        for shown_item, printed_item in zip(shown, printed, strict=True):
            compare_json(shown_item, printed_item, learned)
    elif isinstance(shown, dict):
        assert list(shown) == list(printed)
        for name, value in shown.items():
            if not OF_THIS_RUN.fullmatch(name):
                compare_json(value, printed[name], learned)
                continue
            assert type(value) is type(printed[name]), name
            if LEARNED.fullmatch(name):
                learned[value] = printed[name]
    else:
        assert shown == printed


def compare_text(shown: list[str], printed: str, learned: dict[str, str]) -> None:
    """The text is the same, except for ids, times and what `…` stands for."""
    pattern, tokens = "", []
    for line in shown:
        row = ROW_OF_THIS_RUN.fullmatch(line)
        if line == ANY:
            pattern += "(?:.*\n)+"
        elif row:
            pattern += re.escape(row[1]) + r"\S+\n"
        else:
            for number, part in enumerate(TOKEN.split(line)):
                pattern += f"({_pattern_of(part)})" if number % 2 else re.escape(part)
                tokens += [part] if number % 2 else []
            pattern += "\n"
    match = re.fullmatch(pattern, printed)
    assert match, "\n".join(["not", *shown, "but", printed])
    values = zip(tokens, match.groups(), strict=True)
    learned |= {token: value for token, value in values if LEARNED_TOKEN.fullmatch(token)}


def _pattern_of(token: str) -> str:
    return next((each for each in (ACCOUNT, HASH, TIME, LABEL) if re.fullmatch(each, token)), ".+")


def compare(shown: list[str], printed: str, learned: dict[str, str]) -> None:
    """Lines of JSON first, if there are any; text for people after them."""
    count = sum(line[:1] in {"{", "["} for line in shown)
    lines = printed.splitlines(keepends=True)
    for shown_line, printed_line in zip(shown[:count], lines[:count], strict=True):
        compare_json(json.loads(shown_line), json.loads(printed_line), learned)
    compare_text(shown[count:], "".join(lines[count:]), learned)


def test_reference_has_exactly_the_commands_of_the_program() -> None:
    assert list(sections()) == list(commands())


def test_sections_of_the_reference_start_like_help(subtests: pytest.Subtests) -> None:
    for words, command in commands().items():
        with subtests.test(words):
            start = expected(words, command)
            assert sections()[words].startswith(start), f"it should start with\n{start}"


def test_every_command_has_an_example_with_output_for_people() -> None:
    for words, text in sections().items():
        if words == "generation show":
            continue
        shown = [each for each in examples(text) if each[0].startswith(words)]
        human = [output for line, output in shown if "--json" not in line]
        assert human, words
        assert all(human), words


def test_examples_print_the_output_in_the_reference(console: Console) -> None:
    learned: dict[str, str] = {}
    for words, text in sections().items():
        if words in NO_EXAMPLE:
            continue
        lines = examples(text)
        assert lines[-1][0].startswith(words), words
        for line, shown in lines:
            ended = console.call(*(learned.get(word, word) for word in shlex.split(line)))
            assert ended.code == 0, ended.err
            compare(shown, ended.out + ended.err, learned)


@pytest.mark.parametrize("words", RUNNING)
def test_running_command_prints_the_output_in_the_reference(console: Console, words: str) -> None:
    [(line, shown)] = examples(sections()[words])
    with console.start(*line.split(), "--port", "0") as process:
        assert process.stdout is not None
        printed = tour(process) if words == "demo" else process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=DEADLINE_S)
    [url] = set(re.findall(r"http://127\.0\.0\.1:\d+", printed))
    printed = printed.replace(url, RUNNING[words]).replace(str(EXECUTABLE), "modelgates")
    compare_text(shown, printed, {})
