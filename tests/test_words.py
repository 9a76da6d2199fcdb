"""One word has one meaning in the whole tree, and prose is plain; see `tests/words.py`."""

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.prose import prose_in
from tests.words import DEFINED_IN, FILES, ONLY_IN, PHRASES, SAY, TEST_NAME_STARTS

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "modelgates_server"
DIALECTS = PACKAGE / "dialects"
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def names(source: str) -> Iterator[tuple[int, str]]:
    """All names in a module with their lines, without words in texts and comments."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME:
            yield token.start[0], token.string


def old_names(source: str) -> list[tuple[int, str]]:
    return [(line, f"say {SAY[name]}, not {name}") for line, name in names(source) if name in SAY]


def words_of(name: str) -> set[str]:
    """The words of a name in lower case, and their stems: also `replay` for `ReplayedLines`."""
    words = {word.lower() for word in WORD.findall(name)}
    return words | {re.sub("(ed|s)$", "", word) for word in words}


def misplaced_words(source: str, path: Path) -> list[tuple[int, str]]:
    """The words in names of a module that have another meaning in the package."""
    here = {path, *path.parents}
    forbidden = {
        word: meaning
        for word, (meaning, *places) in ONLY_IN.items()
        if not any(PACKAGE / place in here for place in places)
    }
    return [
        (line, f"{name}: {word} means {forbidden[word]}")
        for line, name in names(source)
        for word in sorted(words_of(name) & forbidden.keys())
    ]


def classes() -> dict[str, list[Path]]:
    """The classes of the package, and the files that define them."""
    files = defaultdict(list)
    for path in sources("src"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ClassDef):
                files[node.name].append(path)
    return files


def phrases_in(line: str) -> list[str]:
    """The phrases to avoid in a line of prose, each with what to say instead."""
    return [
        f"say {advice}, not {match.group().strip()!r}"
        for pattern, advice in PHRASES.items()
        for match in re.finditer(pattern, line, re.IGNORECASE)
    ]


def read_by_people() -> Iterator[tuple[Path, bool]]:
    """Files with prose, and whether their strings are messages. Migrations never change."""
    endings = {".py", ".md", ".yaml", ".sql", ".html", ".js", ".css"}
    for path in sorted((ROOT / "src").rglob("*")):
        if path.suffix in endings and path.parent.name != "migrations":
            yield path, True
    for path in [*sorted((ROOT / "docs").rglob("*.md")), *ROOT.glob("*.md")]:
        yield path, True
    for path in sources("tests", "benchmarks", "tools"):
        yield path, False


def names_of_tests(source: str) -> Iterator[tuple[int, str]]:
    """The test functions of a module, with their lines."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                if name.startswith("test_"):
                    yield node.lineno, name


def listed(path: Path, problems: list[tuple[int, str]]) -> str:
    return "\n".join(f"{path.relative_to(ROOT)}:{line}: {problem}" for line, problem in problems)


def test_names_are_not_old_ones(subtests: pytest.Subtests) -> None:
    for path in sources("src", "tests", "benchmarks", "tools"):
        with subtests.test(path.relative_to(ROOT).as_posix()):
            problems = old_names(path.read_text("utf-8"))
            assert not problems, listed(path, problems)


def test_files_of_the_package_have_no_old_names() -> None:
    old = [path for path in sources("src") if path.stem in FILES]
    assert not old, "\n".join(f"{path}: say {FILES[path.stem]}" for path in old)


def test_words_in_names_are_used_only_with_their_meaning(subtests: pytest.Subtests) -> None:
    for path in sources("src"):
        with subtests.test(path.relative_to(ROOT).as_posix()):
            problems = misplaced_words(path.read_text("utf-8"), path)
            assert not problems, listed(path, problems)


def test_classes_with_one_meaning_are_defined_in_their_folder() -> None:
    defined = classes()
    for name, folder in DEFINED_IN.items():
        for path in defined[name]:
            assert PACKAGE / folder in path.parents, f"{path}: {name} belongs to {folder}"


def test_class_names_are_unique_outside_the_dialects() -> None:
    twice = {
        name: [path.relative_to(PACKAGE).as_posix() for path in paths]
        for name, paths in classes().items()
        if len(paths) > 1 and not _one_a_dialect(paths)
    }
    assert twice == {}


def _one_a_dialect(paths: list[Path]) -> bool:
    """Whether all files are in dialects, each in a different one."""
    folders = [path.relative_to(DIALECTS).parts[0] for path in paths if DIALECTS in path.parents]
    return len(set(folders)) == len(paths)


def test_new_names_are_not_old_names() -> None:
    new = {word for words in SAY.values() for word in words.split(" or ")}
    assert not new & SAY.keys()


def test_prose_has_no_phrase_to_avoid(subtests: pytest.Subtests) -> None:
    for path, messages in read_by_people():
        with subtests.test(path.relative_to(ROOT).as_posix()):
            problems = [
                (number, problem)
                for number, line in prose_in(path, messages=messages)
                for problem in phrases_in(line)
            ]
            assert not problems, listed(path, problems)


def test_names_of_tests_start_with_their_subject(subtests: pytest.Subtests) -> None:
    for path in sources("tests"):
        with subtests.test(path.relative_to(ROOT).as_posix()):
            problems = [
                (line, f"{name}: start with the subject, without an article or pronoun")
                for line, name in names_of_tests(path.read_text("utf-8"))
                if name.split("_")[1] in TEST_NAME_STARTS
            ]
            assert not problems, listed(path, problems)


@pytest.mark.parametrize(
    "line",
    ["Clients are told.", "What a call may cost is held.", "Ask somebody.", "Sent, or else lost."],
)
def test_phrase_to_avoid_is_found(line: str) -> None:
    assert len(phrases_in(line)) == 1


@pytest.mark.parametrize(
    "line",
    [
        "What does a call cost?",
        "What it promises",
        "The name stands for a posting.",
        "Who: anyone.",
    ],
)
def test_plain_sentence_has_no_phrase_to_avoid(line: str) -> None:
    assert not phrases_in(line)


def test_prose_of_code_is_its_comments_docstrings_and_messages(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text('"""Doc `code` string."""\nx = f"a {1} message"  # Note\n', "utf-8")
    assert [line for _, line in prose_in(path, messages=False)] == ["Doc CODE string.", "# Note"]
    assert len(list(prose_in(path, messages=True))) == len(["docstring", "message", "comment"])


def test_old_name_is_found_in_code_and_not_in_prose() -> None:
    assert old_names('x = KeyRing  # Caller\ny = "Ask"\n') == [(1, "say KeyService, not KeyRing")]


@pytest.mark.parametrize("name", ["_spool_replays", "ReplayFolder", "replayed"])
def test_misplaced_word_is_found_within_a_name(name: str) -> None:
    path = PACKAGE / "store" / "spool.py"
    assert not misplaced_words(name, path)
    assert len(misplaced_words(name, PACKAGE / "web" / "app.py")) == 1
