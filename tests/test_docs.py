"""What the documents say is true: links lead somewhere, settings exist, commands work."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelgates_server.settings import Settings
from tests.deadlines import DEADLINE_S, http_request

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")})
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


@contextmanager
def started(command: list[str], folder: Path, **more: str) -> Iterator[subprocess.Popen[str]]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MODELGATES_")}
    with subprocess.Popen(
        command,
        cwd=folder,
        env={**kept, **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(DEADLINE_S)


def told(process: subprocess.Popen[str], pattern: str) -> str:
    """The first line that a process prints and that fits; fails when it ends without one."""
    assert process.stdout is not None
    printed = []
    for line in process.stdout:
        printed.append(line)
        if found := re.search(pattern, line):
            return found[found.lastindex or 0]
    raise AssertionError("".join(printed))


def fetched(curl: str) -> object:
    """What a `curl` command prints as JSON; without curl on the machine, the same request."""
    words = shlex.split(curl)
    if shutil.which("curl"):
        return json.loads(subprocess.check_output([*words, "-s"], text=True, timeout=DEADLINE_S))
    headers = dict(words[i + 1].split(": ") for i, word in enumerate(words) if word == "-H")
    body = words[words.index("-d") + 1].encode() if "-d" in words else None
    [url] = [word for word in words if word.startswith("http")]
    return http_request("POST" if body else "GET", url, content=body, headers=headers).json()


def test_links_between_documents_lead_somewhere(subtests: pytest.Subtests) -> None:
    for document in DOCUMENTS:
        for target in LINK.findall(document.read_text(encoding="utf-8")):
            with subtests.test(document=document.name, target=target):
                assert (document.parent / target).exists()


def paths_in(text: str) -> list[str]:
    """What is written as code and looks like a path; of one with a `<name>` in it, the folder.

    Not in fenced blocks, and not paths of URLs, which start with a slash.
    """
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([\w.][^`\s]*)`", text)
    paths = [span for span in spans if "/" in span or span.endswith((".py", ".md", ".toml"))]
    return [path.partition("<")[0].rpartition("/")[0] if "<" in path else path for path in paths]


def test_every_path_in_contributing_exists(subtests: pytest.Subtests) -> None:
    paths = paths_in((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert "web/routes.py" in paths
    for path in paths:
        with subtests.test(path):
            folders = (ROOT, ROOT / "src" / "modelgates_server")
            assert any(list(folder.glob(path.rstrip("/") or ".")) for folder in folders)


def test_every_setting_is_documented_with_its_default_and_no_other() -> None:
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^\| `MODELGATES_(\w+)` \| `?([^`|]+?)`? \|", text, re.MULTILINE))
    expected = {
        name.upper(): "none" if field.default in (None, "") else _written(field.default)
        for name, field in Settings.model_fields.items()
        if not field.deprecated
    }
    assert documented == expected


def _written(default: object) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)


def test_make_demo_shows_a_curl_that_answers_what_it_says() -> None:
    assert BLOCKS[0] == "make demo\n"
    make = ["make", "-C", str(ROOT), "demo"]
    with started(make, ROOT, PYTHON=sys.executable) as process:
        curl = told(process, r"(curl .*)$")
        promised = json.loads(told(process, r"(\{.*\})$"))
        assert fetched(curl) == promised
        assert promised == {"data": {"total_credits": 10, "total_usage": 0.000043}}
