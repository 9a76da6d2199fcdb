"""Pages of the documentation, and a reader who types their commands from top to bottom.

In a block `sh`, `python` or `js` stand commands and programs. A block `json` or `text` after one is
what it prints, where `…` stands for anything: in a text, as a line of its own, as the last item of
a list, and as the name of members that are left out.
"""

import json
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from markdown_it import MarkdownIt

from tests.deadlines import DEADLINE_S

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
README = "README.md"
NODE_MODULES = ROOT / "tests" / "e2e" / "clients" / "node" / "node_modules"
LANGCHAIN = Path(sys.prefix) / "sdks" / "langchain-openrouter-0.2.9"

TYPED = ("sh", "python", "js")
PRINTED = ("json", "text")
ADDRESSES = ("https://modelgates.example", "http://127.0.0.1:8000")
"""What stands in pages for the reader's own server."""

NOT_TYPED = {
    "make demo": "tests/test_docs.py runs it",
    "modelgates demo": "tests/cli/test_demo.py runs it",
    "modelgates serve --host 0.0.0.0 --port 8443 --tls-cert cert.pem --tls-key key.pem": (
        "tests/e2e/test_tls.py has a certificate"
    ),
    'make setup && export PATH="$PWD/.venv/bin:$PATH"': "what the tests run is installed already",
}
"""Lines of blocks `sh` that a reader skips, and why."""

_ANY = "…"
_NUMBERS_OF_THIS_RUN = {"created", "duration_ms", "bytes"}
_SERVE = re.compile(r"modelgates serve[^&\n]*$", re.MULTILINE)


class Block(NamedTuple):
    """A fenced block: its page below the repository, the line of its first line, what it is."""

    page: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


class Step(NamedTuple):
    """A block to type, and the block that shows what it prints, if there is one."""

    block: Block
    shown: Block | None


def blocks(page: str) -> list[Block]:
    """All blocks of a page, in order."""
    tokens = MarkdownIt("commonmark").parse((ROOT / page).read_text("utf-8"))
    return [
        Block(page, (token.map or [0])[0] + 2, token.info.split(" ")[0], token.content)
        for token in tokens
        if token.type in ("fence", "code_block")
    ]


def steps(page: str) -> list[Step]:
    """What is typed of a page, in order."""
    found = blocks(page)
    return [
        Step(block, after if after is not None and after.language in PRINTED else None)
        for block, after in zip_longest(found, found[1:])
        if block.language in TYPED and block.text.strip() not in NOT_TYPED
    ]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


class Reader:
    """One shell in one folder: what a command sets is there for the next."""

    def __init__(self, shell: subprocess.Popen[str], folder: Path, url: str) -> None:
        self._shell = shell
        self._folder = folder
        self._url = url
        self._account = ""
        self._keys: list[str] = []
        self._count = 0

    def addressed(self, text: str) -> str:
        """A text with the server's address in the place of the pages'."""
        for address in ADDRESSES:
            text = text.replace(address, self._url)
        return text

    def type(self, block: Block) -> str:
        """Do what a block says; returns what it prints."""
        text = self.addressed(block.text)
        if block.language == "sh":
            commands = _commands(text)
            return "".join(self._run(command, block.place) for command in commands)
        suffix, program = {"python": ("py", "python"), "js": ("mjs", "node")}[block.language]
        (self._folder / f"example.{suffix}").write_text(text, "utf-8")
        apart = f"PYTHONPATH={LANGCHAIN} " if "langchain" in text else ""
        return self._run(f"{apart}{program} example.{suffix}", block.place)

    def _run(self, command: str, place: str) -> str:
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._count += 1
        script, out, err = (
            self._folder.with_name(f"{self._count}.{end}") for end in ("sh", "out", "err")
        )
        whole = self._filled(command)
        begins = _SERVE.search(whole)
        script.write_text(f"{whole} > serve.log 2>&1 &\n" if begins else whole, "utf-8")
        self._shell.stdin.write(f". {script} > {out} 2> {err} < /dev/null\necho\n")
        self._shell.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(self._shell.stdout, selectors.EVENT_READ)
            assert selector.select(DEADLINE_S), f"{place} does not end:\n{whole}"
        printed = out.read_text("utf-8")
        ended = self._shell.stdout.readline()
        assert ended, f"{place} fails:\n{whole}\n{printed}\n{err.read_text('utf-8')}"
        if "modelgates serve" in whole:
            self._wait_for_the_server()
        self._learn(printed)
        return printed

    def _filled(self, command: str) -> str:
        """Ids and keys that an earlier command has printed take the place of `…`."""
        command = command.replace("user_…", self._account)
        while "sk-mg-v1-…" in command:
            command = command.replace("sk-mg-v1-…", self._keys.pop(0), 1)
        return command

    def _learn(self, printed: str) -> None:
        for account in re.findall(r"\buser_\w{22}\b", printed):
            self._account = account
        self._keys += re.findall(r"\bsk-mg-v1-\w{49}\b", printed)

    def _wait_for_the_server(self) -> None:
        host, _, port = self._url.removeprefix("http://").partition(":")
        while self._shell.poll() is None:
            with socket.socket() as client:
                if not client.connect_ex((host, int(port))):
                    return
            os.sched_yield()


@contextmanager
def reading(folder: Path, url: str, **environment: str) -> Iterator[Reader]:
    """A reader with our commands on their path, and in the end no process of theirs."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("MODELGATES_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    desk = folder / "desk"
    desk.mkdir()
    if NODE_MODULES.is_dir():
        (desk / "node_modules").symlink_to(NODE_MODULES)
    with subprocess.Popen(
        ["sh", "-e"],
        cwd=desk,
        env={**inherited, "PATH": path, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    ) as shell:
        try:
            yield Reader(shell, desk, url)
        finally:
            os.killpg(shell.pid, signal.SIGTERM)


def _commands(text: str) -> list[str]:
    """One by one where a later one needs what an earlier one prints, or where a server stays."""
    if _ANY not in text and not _SERVE.search(text):
        return [text]
    lines = text.replace("\\\n", "").splitlines()
    return [line for line in lines if line not in NOT_TYPED]


def compare(text: str, printed: str, shown: Block) -> None:
    """Fails where a page shows something else than was printed; `text` is the block, addressed.

    JSON may be the end of what was printed.
    """
    if shown.language == "json":
        values = _values(text)
        _alike(values, _values(printed)[-len(values) :], shown.place)
        return
    lines = [
        ".*" if line == _ANY else _pattern(line, "[^\n]*?") for line in text.strip("\n").split("\n")
    ]
    matches = re.fullmatch("\n".join(lines), printed.strip("\n"), re.DOTALL)
    assert matches, f"{shown.place}: not\n{text}\nbut\n{printed}"


def _pattern(text: str, anything: str = ".*?") -> str:
    return anything.join(map(re.escape, text.split(_ANY)))


def _values(text: str) -> list[Any]:
    """All JSON values of a text, exactly."""
    decoder = json.JSONDecoder(parse_float=Decimal)
    values, place = [], 0
    while text[place:].strip():
        place += len(text[place:]) - len(text[place:].lstrip())
        value, place = decoder.raw_decode(text, place)
        values.append(value)
    return values


def _alike(shown: Any, printed: Any, where: str) -> None:
    if isinstance(shown, dict) and isinstance(printed, dict):
        wanted = {name: value for name, value in shown.items() if name != _ANY}
        assert set(wanted) <= set(printed), f"{where}: {set(wanted) - set(printed)} is missing"
        assert _ANY in shown or len(wanted) == len(printed), f"{where}: has {list(printed)}"
        for name, value in wanted.items():
            if name not in _NUMBERS_OF_THIS_RUN:
                _alike(value, printed[name], f"{where}.{name}")
    elif isinstance(shown, list) and isinstance(printed, list):
        first = shown[:-1] if shown[-1:] == [_ANY] else shown
        assert len(first) == len(printed) or (first != shown and len(first) < len(printed)), where
        for number, value in enumerate(first):
            _alike(value, printed[number], f"{where}[{number}]")
    elif isinstance(shown, str) and isinstance(printed, str):
        assert re.fullmatch(_pattern(shown), printed, re.DOTALL), f"{where}: {printed}"
    else:
        assert shown == printed, f"{where}: {printed}"
