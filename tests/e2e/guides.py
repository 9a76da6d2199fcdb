"""Pages of the documentation, and a reader who types their commands from top to bottom.

A block `sh`, `python` or `js` contains commands or a program. A `js` block that begins with the
name of a file, such as `// app.mjs`, is saved under that name and not run. A block `json` or `text`
after a block that is run shows its output, where `…` stands for anything: in a text, as a whole
line, as the last item of a list, and as the name of fields that are left out.
"""

import json
import os
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import cache
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
"""Addresses that stand for the reader's own server."""
APP = "http://127.0.0.1:3000"
"""The address of an app that a guide builds; it listens on `PORT`."""

NOT_TYPED = {
    "make demo": "tests/test_docs.py runs it",
    "modelgates demo": "tests/cli/test_demo.py runs it",
    "modelgates serve --host 0.0.0.0 --port 8443 --tls-cert cert.pem --tls-key key.pem": (
        "tests/e2e/test_tls.py has a certificate"
    ),
    'make setup && export PATH="$PWD/.venv/bin:$PATH"': "what the tests run is installed already",
}
"""Lines of `sh` blocks that a reader skips, and why."""

_ANY = "…"
_NUMBERS_OF_THIS_RUN = {"created", "duration_ms", "bytes"}
_SERVE = re.compile(r"modelgates serve[^&\n]*$", re.MULTILINE)
_FILE = re.compile(r"// (\S+\.m?js)\n")
_PACKAGE = re.compile(r"""^import .*from "(?!node:|\.)""", re.MULTILINE)


class Block(NamedTuple):
    """A fenced block: its page's path in the repository, its first line's number, its language."""

    page: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def file(self) -> str | None:
        """The name under which a program is saved; None if it is run."""
        name = _FILE.match(self.text)
        return name[1] if self.language == "js" and name else None

    @property
    def needs_packages(self) -> bool:
        """Whether a program needs more than Node itself."""
        return self.language == "js" and _PACKAGE.search(self.text) is not None


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
    """The blocks of a page to type, in order, each with its output."""
    every = blocks(page)
    return [
        Step(block, after if after is not None and after.language in PRINTED else None)
        for block, after in zip_longest(every, every[1:])
        if block.language in TYPED and block.text.strip() not in NOT_TYPED
    ]


@cache
def lacks_node() -> bool:
    """Whether this machine has no Node, or one that is too old for the guides; never in CI."""
    if os.environ.get("CI"):
        return False
    check = "process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)"
    return not shutil.which("node") or bool(
        subprocess.run(["node", "-e", check], check=False, timeout=DEADLINE_S).returncode
    )


def lacks_packages() -> bool:
    """Whether the packages of `NODE_MODULES` are not installed; never in CI."""
    return not NODE_MODULES.is_dir() and not os.environ.get("CI")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


class Reader:
    """One shell in one folder: a variable that a command sets exists for the next."""

    def __init__(self, shell: subprocess.Popen[str], folder: Path, url: str, app: str) -> None:
        self._shell = shell
        self._folder = folder
        self._url = url
        self._app = app
        self._account = ""
        self._keys: list[str] = []
        self._count = 0

    def addressed(self, text: str) -> str:
        """A text with the addresses of the reader's server and app."""
        for address in ADDRESSES:
            text = text.replace(address, self._url)
        return text.replace(APP, self._app)

    def type(self, block: Block) -> str:
        """Run a block, or save it; returns what it prints."""
        text = self.addressed(block.text)
        if block.file is not None:
            path = self._folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            return ""
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
        if begins:
            self._wait_for_the_server()
        self._learn(printed)
        return printed

    def _filled(self, command: str) -> str:
        """A command with the ids and keys that earlier ones have printed in place of `…`."""
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
    """A reader with `modelgates` on the path; ends every process that the reader started."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    app_port = free_port()
    desk = folder / "desk"
    desk.mkdir()
    if NODE_MODULES.is_dir():
        (desk / "node_modules").symlink_to(NODE_MODULES)
    with subprocess.Popen(
        ["sh", "-e"],
        cwd=desk,
        env={**_inherited(), "PATH": path, "PORT": str(app_port), **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    ) as shell:
        try:
            yield Reader(shell, desk, url, f"http://127.0.0.1:{app_port}")
        finally:
            os.killpg(shell.pid, signal.SIGTERM)


def paste(text: str, folder: Path, port: int) -> str:
    """The output of bash for a text that is pasted at once; its server listens on the port."""
    for address in ADDRESSES:
        text = text.replace(address, f"http://127.0.0.1:{port}")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    typed = "\n".join(line for line in text.splitlines() if line not in NOT_TYPED)
    with subprocess.Popen(
        ["bash"],
        cwd=folder,
        env={**_inherited(), "PATH": path, "MODELGATES_PORT": str(port)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    ) as shell:
        try:
            printed, errors = shell.communicate(f"{typed}\n", timeout=DEADLINE_S)
        finally:
            os.killpg(shell.pid, signal.SIGTERM)
    assert shell.returncode == 0, errors
    return printed


def _inherited() -> dict[str, str]:
    """The environment without settings of the server."""
    return {k: v for k, v in os.environ.items() if not k.startswith("MODELGATES_")}


def _commands(text: str) -> list[str]:
    """One by one where a later one needs the output of an earlier one, or where a server stays."""
    typed = [line for line in text.splitlines() if line not in NOT_TYPED]
    if _ANY not in text and not _SERVE.search(text):
        return ["\n".join([*typed, ""])]
    return "\n".join(typed).replace("\\\n", "").splitlines()


def compare(text: str, printed: str, shown: Block) -> None:
    """Fails if a page shows another output than was printed; `text` is the block, addressed.

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
    values, position = [], 0
    while text[position:].strip():
        position += len(text[position:]) - len(text[position:].lstrip())
        value, position = decoder.raw_decode(text, position)
        values.append(value)
    return values


def _alike(shown: Any, printed: Any, where: str) -> None:
    if isinstance(shown, dict) and isinstance(printed, dict):
        expected = {name: value for name, value in shown.items() if name != _ANY}
        assert set(expected) <= set(printed), f"{where}: {set(expected) - set(printed)} is missing"
        assert _ANY in shown or len(expected) == len(printed), f"{where}: has {list(printed)}"
        for name, value in expected.items():
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
