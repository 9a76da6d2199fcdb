"""Client generators that read the served document, and how their clients are run.

A generator takes an empty folder and the URL of the document. It writes and builds a client there
with its program from `clients/`, and returns the command that starts the program.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.deadlines import BUILD_DEADLINE_S

HERE = Path(__file__).parent
CLIENTS = HERE / "clients"
PYTHON_BIN = Path(sys.prefix) / "generators" / "bin"
NODE_BIN = HERE / "node_modules" / ".bin"

Command = list[str | Path]
Generator = Callable[[Path, str], Command]


def run(command: Command, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end; a failure shows all of its output."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=BUILD_DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


def openapi_python_client(folder: Path, url: str) -> Command:
    """Fails if it leaves out a part of the document, for which it only prints a warning."""
    config = folder / "config.json"
    config.write_text(json.dumps({"post_hooks": [], "package_name_override": "generated"}))
    written = run(
        [
            *(PYTHON_BIN / "openapi-python-client", "generate", "--meta", "none"),
            *("--config", config, "--url", url, "--output-path", folder / "generated"),
        ],
        folder,
    )
    # It reads the OpenAPI document in YAML as bytes.
    output = written.stdout + written.stderr
    warnings = [line for line in output.splitlines() if line.startswith(("WARNING", "Unable"))]
    assert warnings == ["WARNING parsing GET /openapi.yaml within server."], output
    return [PYTHON_BIN / "python", shutil.copy(CLIENTS / "openapi_python_client.py", folder)]


def generator_python(folder: Path, url: str) -> Command:
    """OpenAPI Generator's `python`."""
    _openapi_generator("python", folder, url)
    return [PYTHON_BIN / "python", shutil.copy(CLIENTS / "openapi_generator.py", folder)]


def generator_typescript_fetch(folder: Path, url: str) -> Command:
    """OpenAPI Generator's `typescript-fetch`."""
    _openapi_generator("typescript-fetch", folder / "generated", url)
    return _compiled(folder, "typescript_fetch.ts")


def generator_java(folder: Path, url: str) -> Command:
    """OpenAPI Generator's `java`; Maven copies the libraries of its client to `target/lib`."""
    _openapi_generator("java", folder, url)
    shutil.copy(CLIENTS / "Client.java", folder / "src" / "main" / "java")
    skipped = [f"-D{what}=true" for what in ("maven.test.skip", "maven.javadoc.skip")]
    run(["mvn", "-q", "-B", *skipped, "package"], folder)
    return ["java", "-cp", f"{folder}/target/classes:{folder}/target/lib/*", "Client"]


def generator_go(folder: Path, url: str) -> Command:
    """OpenAPI Generator's `go`."""
    module = ("--git-host", "modelgates.example", "--git-user-id", "test")
    generated = folder / "generated"
    _openapi_generator("go", generated, url, *module, "--git-repo-id", "generated")
    (generated / "client").mkdir()
    shutil.copy(CLIENTS / "client.go", generated / "client" / "main.go")
    run(["go", "build", "-o", folder / "run", "./client"], generated)
    return [folder / "run"]


def hey_api(folder: Path, url: str) -> Command:
    """`@hey-api/openapi-ts`."""
    run([NODE_BIN / "openapi-ts", "-i", url, "-o", folder / "generated", "--no-log-file"], folder)
    return _compiled(folder, "hey_api.ts")


def openapi_typescript(folder: Path, url: str) -> Command:
    """`openapi-typescript`, whose types `openapi-fetch` reads."""
    run([NODE_BIN / "openapi-typescript", url, "-o", folder / "generated.d.ts"], folder)
    return _compiled(folder, "openapi_typescript.ts")


def _openapi_generator(name: str, folder: Path, url: str, *options: str) -> None:
    program = PYTHON_BIN / "openapi-generator-cli"  # The package includes the Java program.
    folder.mkdir(exist_ok=True)
    run([program, "generate", "-i", url, "-g", name, "-o", folder, *options], folder)


def _compiled(folder: Path, program: str) -> Command:
    """Checks the types of a program and of its imports, and compiles it."""
    (folder / "node_modules").symlink_to(HERE / "node_modules")
    source = Path(shutil.copy(CLIENTS / program, folder))
    options = ["--strict", "--target", "es2022", "--lib", "es2022,dom,dom.iterable"]
    options += ["--module", "commonjs", "--moduleResolution", "node10", "--esModuleInterop"]
    run([NODE_BIN / "tsc", *options, "--outDir", folder / "js", source], folder)
    return ["node", folder / "js" / source.with_suffix(".js").name]
