import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperCommand

import modelgates_server
from modelgates_server.cli.program import app
from tests.cli.console import Console
from tests.deadlines import DEADLINE_S

FULL_DISK = Path("/dev/full")


def commands() -> dict[str, TyperCommand]:
    """All commands by their names, such as `account create`."""
    by_name = {}
    program = typer.main.get_group(app)
    for noun, child in program.commands.items():
        for verb, command in getattr(child, "commands", {"": child}).items():
            assert isinstance(command, TyperCommand)
            by_name[f"{noun} {verb}".rstrip()] = command
    return by_name


def examples(command: TyperCommand) -> list[str]:
    """The lines below `Examples:` in the help of a command."""
    assert command.epilog is not None
    _, title, *lines = command.epilog.splitlines()
    assert title == "Examples:"
    return [line.removeprefix("  ") for line in lines]


def test_every_command_has_help_with_examples(console: Console, subtests: pytest.Subtests) -> None:
    for words, command in commands().items():
        with subtests.test(words):
            ended = console.call(*words.split(), "--help")
            assert (ended.code, ended.err) == (0, "")
            assert command.help
            assert command.help.split("\n\n")[0].endswith(".")
            assert examples(command)
            for line in examples(command):
                assert f"    {line}\n" in ended.out, "an example is not wrapped"


def test_every_example_in_help_parses(subtests: pytest.Subtests) -> None:
    for words, command in commands().items():
        for line in examples(command):
            with subtests.test(line):
                assert line.startswith(f"modelgates {words}")
                arguments = shlex.split(line.removeprefix(f"modelgates {words}"))
                assert command.make_context(words, arguments)


def test_missing_command_or_verb_prints_help(console: Console) -> None:
    ended = console.run()
    assert (ended.code, ended.err) == (0, "")
    assert ended == console.call("--help")
    for noun in {words.split()[0] for words in commands()}:
        assert f"  {noun} " in ended.out
    for noun in ("account", "key", "credits", "ledger", "db", "docs"):
        ended = console.call(noun)
        assert (ended.code, ended.out) == (2, "")
        assert f"Usage: modelgates {noun} " in ended.err


def test_version_is_that_of_the_package(console: Console) -> None:
    assert console.run("--version").out == f"modelgates {modelgates_server.__version__}\n"


@pytest.mark.parametrize(
    "words",
    [
        ["acount"],
        ["account", "delete"],
        ["account", "create"],
        ["account", "create", "Acme", "Lab"],
        ["account", "create", "Acme", "--jsn"],
        ["key", "create", "--kind", "viewer"],
        ["key", "create", "--account", "user_x"],
        ["key", "create", "--account", "user_x", "--kind", "admin"],
        ["key", "create", "--account", "user_x", "--kind", "inference", "--limit-reset", "hourly"],
        ["key", "list"],
        ["credits", "grant", "user_x"],
        ["ledger", "export", "--format", "xml"],
        ["serve", "--port", "http"],
        ["demo", "--port", "70000"],
    ],
)
def test_usage_error_exits_with_code_2(console: Console, words: list[str]) -> None:
    ended = console.call(*words)
    assert (ended.code, ended.out) == (2, "")
    assert "\nError: " in ended.err
    assert list(console.folder.iterdir()) == [], "a usage error creates no files"


@pytest.mark.skipif(not FULL_DISK.exists(), reason="only Linux has a disk that is always full")
@pytest.mark.parametrize("words", ["--help", "account list", "account list --json"])
def test_unwritable_output_gives_a_one_line_error(console: Console, words: str) -> None:
    console.call("db", "migrate")
    with (
        FULL_DISK.open("w") as disk,
        console.start(*words.split(), stdout=disk) as process,
    ):
        _, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, err) == (1, "Error: No space left on device.\n")


def test_help_loads_no_slow_modules() -> None:
    heavy = "{'asyncio', 'http.client', 'pydantic', 'rich', 'sqlite3', 'starlette', 'uvicorn'}"
    script = (
        f"import sys; from modelgates_server.cli import main; print({heavy} & set(sys.modules))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE_S,
    )
    assert ended.stdout == "set()\n"
