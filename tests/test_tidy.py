"""House rules as tests. A message has the file and line, the rule, and the rule's source."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import modelgates_server

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "modelgates_server"
SOURCE = "CONTRIBUTING.md, House rules"
FUNCTION_LINES = 60
FILE_LINES = 400
# Folders of tests that run the whole program and so do not mirror a module.
WHOLE_PROGRAM = {
    "contract",
    "crash",
    "e2e",
    "full_disk",
    "generators",
    "power_loss",
    "recorded",
}
ABOUT_THE_PROJECT = {
    "tests/test_tidy.py",
    "tests/test_deadlines.py",
    "tests/test_docs.py",
    "tests/test_words.py",
}
# Other names for things that have one name here. They are found within snake_case as well. OpenAI's
# error code `insufficient_quota` is not a name of ours.
BANNED = re.compile(
    r"(?<![A-Za-z])(?i:reserv(?:e[sd]?|ing|ations?)|(?<!insufficient_)quotas?|pre-?charge[sd]?|wallets?)(?![a-z])"
)
PIN = re.compile(r"^([a-z0-9-]+)==(\S+)", re.MULTILINE)


def files(*folders: str, ending: str = "py") -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob(f"*.{ending}"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines()


def message(location: str, rule: str) -> str:
    return f"{location}: {rule} ({SOURCE})"


def long_functions(path: Path) -> list[str]:
    rule = f"a function has fewer than {FUNCTION_LINES} lines"
    return [
        message(f"{name(path)}:{node.lineno}", f"{node.name}: {rule}")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 >= FUNCTION_LINES
    ]


def float_calls(path: Path) -> list[str]:
    return [
        message(f"{name(path)}:{node.lineno}", "money is never a float")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "float"
    ]


def banned_words(path: Path) -> list[str]:
    return [
        message(f"{name(path)}:{number}", f"say hold, limit or credits, not {word.group()!r}")
        for number, line in enumerate(lines(path), start=1)
        for word in BANNED.finditer(line)
    ]


def has_a_module(test: Path) -> bool:
    """Whether the folder in src has the module of `test_<module>[_<aspect>].py`."""
    relative = test.relative_to(ROOT / "tests")
    room = PACKAGE / relative.parent
    about = test.stem.removeprefix("test_")
    modules = {p.stem for p in room.glob("*") if p.suffix in {".py", ""}} - {"__init__"}
    return any(about == module or about.startswith(f"{module}_") for module in modules)


def starts_a_server(path: Path) -> bool:
    """Whether a test module calls a helper that starts a server in a separate process."""
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"running_server", "running_sandbox", "limited_server"}
        for node in ast.walk(ast.parse(path.read_bytes()))
    )


def pins(lock: Path) -> dict[str, str]:
    return dict(PIN.findall(lock.read_text("utf-8")))


def test_functions_are_short(subtests: pytest.Subtests) -> None:
    for path in files("src", "tests", "benchmarks", "tools"):
        with subtests.test(name(path)):
            assert not (problems := long_functions(path)), "\n".join(problems)


def test_files_are_short(subtests: pytest.Subtests) -> None:
    for path in files("src", "tests", "benchmarks", "tools"):
        with subtests.test(name(path)):
            count = len(lines(path))
            rule = f"a file has fewer than {FILE_LINES} lines"
            assert count < FILE_LINES, message(f"{name(path)}:{count}", rule)


def test_banned_words_do_not_occur(subtests: pytest.Subtests) -> None:
    texts = [
        path
        for ending in ("py", "sql", "yaml", "md")
        for path in files("src", "docs", ending=ending)
    ]
    for path in [*texts, *ROOT.glob("*.md")]:
        with subtests.test(name(path)):
            assert not (problems := banned_words(path)), "\n".join(problems)


def test_money_is_never_a_float(subtests: pytest.Subtests) -> None:
    for path in files(*(f"src/modelgates_server/{room}" for room in ("core", "service", "store"))):
        with subtests.test(name(path)):
            assert not (problems := float_calls(path)), "\n".join(problems)


def test_tests_are_in_the_folder_of_their_module(subtests: pytest.Subtests) -> None:
    for path in files("tests"):
        if not path.name.startswith("test_") or name(path) in ABOUT_THE_PROJECT:
            continue
        with subtests.test(name(path)):
            folder = path.relative_to(ROOT / "tests").parts[0]
            rule = f"tests mirror src, or are in one of {', '.join(sorted(WHOLE_PROGRAM))}"
            assert folder in WHOLE_PROGRAM or has_a_module(path), message(f"{name(path)}:1", rule)


def test_module_is_marked_slow_when_it_starts_a_server(subtests: pytest.Subtests) -> None:
    fast = re.search(r"^FAST := (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert fast
    for path in files(*fast.group(1).split()):
        if path.name.startswith("test_") and starts_a_server(path):
            with subtests.test(name(path)):
                rule = "a module that starts a server has `pytestmark = pytest.mark.slow`"
                assert "pytestmark = pytest.mark.slow" in lines(path), message(name(path), rule)


def test_lock_file_has_no_address(subtests: pytest.Subtests) -> None:
    locks = list(files("requirements", ending="txt"))
    assert locks
    for path in locks:
        with subtests.test(name(path)):
            for number, line in enumerate(lines(path), start=1):
                location = f"{name(path)}:{number}"
                rule = "a lock file has versions and hashes, and no address to fetch them from"
                assert not re.search(r"://|--(?!hash=)|\s@\s", line), message(location, rule)


def test_development_lock_has_the_versions_of_the_run_lock() -> None:
    run, dev = pins(ROOT / "requirements/run.txt"), pins(ROOT / "requirements/dev.txt")
    assert run
    different = sorted(package for package in run if run[package] != dev.get(package))
    rule = f"the locks disagree on {', '.join(different)}: run make lock"
    assert not different, message("requirements/run.txt:1", rule)


def test_newest_entry_of_the_changelog_is_for_this_version() -> None:
    headings = lines(ROOT / "CHANGELOG.md")
    versions = (re.match(r"## \[?(\d\S*?)\]?(?:\s|$)", line) for line in headings)
    newest = next((match.group(1) for match in versions if match), None)
    rule = f"the newest version is {newest}, and the package is {modelgates_server.__version__}"
    assert newest == modelgates_server.__version__, message("CHANGELOG.md:1", rule)
