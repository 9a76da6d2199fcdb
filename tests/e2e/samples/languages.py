"""Runs samples, many at once, each language with its own tools.

A runner takes an empty folder, the certificate to trust, the samples and the environment with their
keys. It returns the output of each sample in their order, and fails if one of them fails.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.deadlines import DEADLINE_S

HERE = Path(__file__).parent
ALL = "ALL_SAMPLES"
Keys = Mapping[str, str]
GUZZLE = Path("/usr/share/php/GuzzleHttp/autoload.php")
UNIREST = Path("/usr/share/java/unirest-java.jar")


class Language(NamedTuple):
    """`tools` are the commands and files that its samples need.

    If one is missing, the test is skipped, or fails under an environment variable of `demanded_by`.
    `otherwise` says how the samples are tested without them.
    """

    run: Callable[[Path, Path, Sequence[str], Keys], list[str]]
    tools: tuple[str | Path, ...] = ()
    demanded_by: tuple[str, ...] = ()
    otherwise: str = "its samples are parsed, and make test-samples runs them"

    def skip_without_tools(self) -> None:
        """Skips the test unless its tools are there or demanded."""
        lacking = [str(tool) for tool in self.tools if shutil.which(tool, os.F_OK) is None]
        if lacking and not any(os.environ.get(name) for name in self.demanded_by):
            pytest.skip(f"there is no {' and no '.join(lacking)} here; {self.otherwise}")
        if self.run in _SLOW and not os.environ.get(ALL):
            pytest.skip("make test-samples runs them")


def _curl(folder: Path, cert: Path, samples: Sequence[str], keys: Keys) -> list[str]:
    files = _files(folder, samples, "sample.sh")
    return [_output(["sh", file], folder, CURL_CA_BUNDLE=str(cert), **keys) for file in files]


def _python(folder: Path, cert: Path, samples: Sequence[str], keys: Keys) -> list[str]:
    command = [sys.executable, str(HERE / "run.py"), *_files(folder, samples, "sample.py")]
    return _lines(command, folder, REQUESTS_CA_BUNDLE=str(cert), **keys)


def _javascript(folder: Path, cert: Path, samples: Sequence[str], keys: Keys) -> list[str]:
    command = ["node", str(HERE / "run.mjs"), *_files(folder, samples, "sample.mjs")]
    return _lines(command, folder, NODE_EXTRA_CA_CERTS=str(cert), **keys)


def _ruby(folder: Path, cert: Path, samples: Sequence[str], keys: Keys) -> list[str]:
    command = ["ruby", str(HERE / "run.rb"), *_files(folder, samples, "sample.rb")]
    return _lines(command, folder, SSL_CERT_FILE=str(cert), **keys)


def _php(folder: Path, cert: Path, samples: Sequence[str], keys: Keys) -> list[str]:
    (folder / "vendor").mkdir()
    (folder / "vendor" / "autoload.php").write_text(f"<?php require '{GUZZLE}';")
    files = _files(folder, samples, "sample.php")
    trust = ["-d", f"curl.cainfo={cert}", "-d", f"openssl.cafile={cert}"]
    return _lines(["php", *trust, str(HERE / "run.php"), *files], folder, **keys)


def _java(folder: Path, cert: Path, samples: Sequence[str], keys: Keys) -> list[str]:
    source = HERE / "java"
    command = ["java", "-cp", "/usr/share/java/*", str(source / "Run.java")]
    command += [str(folder), str(cert), str(source / "kong"), *_files(folder, samples, "Main.java")]
    lines = _output(command, folder, **keys).splitlines()
    return [base64.b64decode(line).decode() for line in lines]


def _go(folder: Path, cert: Path, samples: Sequence[str], keys: Keys) -> list[str]:
    (folder / "go.mod").write_text("module samples\n\ngo 1.19\n")
    packages = [Path(file).parent.name for file in _files(folder, samples, "main.go")]
    assert _output(["gofmt", "-l", "."], folder) == "", "gofmt formats them differently"
    (folder / "bin").mkdir()
    _output(["go", "build", "-o", "bin", "./..."], folder)
    programs = [str(folder / "bin" / name) for name in packages]
    trust = {"SSL_CERT_FILE": str(cert)}
    return [_output([program], folder, **trust, **keys) for program in programs]


def _csharp(folder: Path, cert: Path, samples: Sequence[str], keys: Keys) -> list[str]:
    # Only the sample trusts the certificate: NuGet needs those of the machine.
    _output(["dotnet", "new", "console", "-o", "."], folder)
    _output(["dotnet", "add", "package", "RestSharp"], folder)
    printed = []
    for sample in samples:
        (folder / "Program.cs").write_text(sample)
        _output(["dotnet", "build"], folder)
        run = ["dotnet", "run", "--no-build"]
        printed.append(_output(run, folder, SSL_CERT_FILE=str(cert), **keys))
    return printed


def _swift(folder: Path, _: Path, samples: Sequence[str], keys: Keys) -> list[str]:
    printed = []
    for sample in samples:
        (folder / "main.swift").write_text(sample)
        _output(["swiftc", "-o", "sample", "main.swift"], folder)
        printed.append(_output([str(folder / "sample")], folder, **keys))
    return printed


def _files(folder: Path, samples: Sequence[str], name: str) -> list[str]:
    """Each sample under that name in a separate folder."""
    paths = [folder / f"sample{number}" / name for number in range(len(samples))]
    for path, sample in zip(paths, samples, strict=True):
        path.parent.mkdir()
        path.write_text(sample, "utf-8")
    return [str(path) for path in paths]


def _lines(command: list[str], folder: Path, **environment: str) -> list[str]:
    return [json.loads(line) for line in _output(command, folder, **environment).splitlines()]


def _output(command: list[str], folder: Path, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# They download or compile for minutes.
_SLOW = (_csharp, _swift)
_FROM_DEBIAN = ((ALL,), "make test-samples installs what they need")
LANGUAGES = {
    "curl": Language(_curl, ("curl",)),
    "python": Language(_python),
    "javascript": Language(_javascript, ("node",), ("CI", ALL), "CI demands Node"),
    "go": Language(_go, ("go", "gofmt"), *_FROM_DEBIAN),
    "ruby": Language(_ruby, ("ruby",), *_FROM_DEBIAN),
    "java": Language(_java, ("java", "javac", UNIREST), *_FROM_DEBIAN),
    "php": Language(_php, ("php", GUZZLE), *_FROM_DEBIAN),
    "csharp": Language(_csharp, ("dotnet",)),
    "swift": Language(_swift, ("swiftc",)),
}
