"""The documents are true: links and paths exist, settings match the code, commands work."""

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


def first_match(process: subprocess.Popen[str], pattern: str) -> str:
    """The match in the first output line that matches; fails if the process ends without one."""
    assert process.stdout is not None
    printed = []
    for line in process.stdout:
        printed.append(line)
        if match := re.search(pattern, line):
            return match[match.lastindex or 0]
    raise AssertionError("".join(printed))


def fetch_json(curl: str) -> object:
    """The JSON that a `curl` command prints. Sends the same request if curl is not installed."""
    words = shlex.split(curl)
    if shutil.which("curl"):
        return json.loads(subprocess.check_output([*words, "-s"], text=True, timeout=DEADLINE_S))
    headers = dict(words[i + 1].split(": ") for i, word in enumerate(words) if word == "-H")
    body = words[words.index("-d") + 1].encode() if "-d" in words else None
    [url] = [word for word in words if word.startswith("http")]
    return http_request("POST" if body else "GET", url, content=body, headers=headers).json()


def test_links_between_documents_are_valid(subtests: pytest.Subtests) -> None:
    for document in DOCUMENTS:
        for target in LINK.findall(document.read_text(encoding="utf-8")):
            with subtests.test(document=document.name, target=target):
                assert (document.parent / target).exists()


def paths_in(text: str) -> list[str]:
    """The code spans that look like paths; for a path with a `<name>` in it, its folder.

    Leaves out fenced blocks and the paths of URLs, which start with a slash.
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


def test_documented_settings_and_defaults_are_those_of_the_code() -> None:
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


def test_make_demo_prints_a_curl_command_with_its_output() -> None:
    assert BLOCKS[0] == "make demo\n"
    make = ["make", "-C", str(ROOT), "demo"]
    with started(make, ROOT, PYTHON=sys.executable) as process:
        curl = first_match(process, r"(curl .*)$")
        documented = json.loads(first_match(process, r"(\{.*\})$"))
        assert fetch_json(curl) == documented
        assert documented == {"data": {"total_credits": 10, "total_usage": 0.000043}}
