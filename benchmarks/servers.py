"""Server processes to measure, and accounts for their requests."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from modelgates_server.bootstrap import load_settings, open_gateway
from modelgates_server.core.keys import KeyKind, NewKey
from modelgates_server.core.money import PICOS_PER_DOLLAR

HOST = "127.0.0.1"

_MODELGATES = str(Path(sys.executable).with_name("modelgates"))
_PORTKEY = Path(__file__).with_name("portkey") / "node_modules/@portkey-ai/gateway"

_NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 512; }}
http {{
  access_log off; keepalive_requests 1000000; default_type application/json;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 '{body}'; }} }}
}}
"""


class Server(NamedTuple):
    """A running server process."""

    pid: int
    port: int


async def fill(url: str) -> str:
    """Open an account with credits; returns the text of its management key."""
    [text] = await open_account(url, 100 * PICOS_PER_DOLLAR + 5 * 10**11, KeyKind.MANAGEMENT)
    return text


async def open_account(url: str, credits_pico: int, *kinds: KeyKind) -> list[str]:
    """Open an account with credits; returns the texts of its keys, one of each kind."""
    async with open_gateway(load_settings(database_url=url)) as gateway:
        account = await gateway.accounts.open("bench")
        await gateway.credits.grant(account.id, credits_pico, "bench")
        created = [
            await gateway.keys.create(account.id, NewKey(kind=kind, name="bench")) for kind in kinds
        ]
        return [text for _, text in created]


def environment(url: str, tree: Path | None = None) -> dict[str, str]:
    """Environment variables of the command `modelgates`: its database and its source tree.

    `tree` is the root of a checkout; without it, the installed source runs.
    """
    variables = {**os.environ, "MODELGATES_DATABASE_URL": url}
    if tree is not None:
        variables["PYTHONPATH"] = str(tree / "src")
    return variables


def run(arguments: list[str], variables: dict[str, str]) -> str:
    """Run a command of `modelgates` and return its output; raises if it fails."""
    return subprocess.run(
        [_MODELGATES, *arguments],
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    ).stdout.strip()


@contextmanager
def modelgates(url: str, config: Path | None = None, tree: Path | None = None) -> Iterator[Server]:
    """ModelGates with a database and the providers of a configuration file."""
    variables = environment(url, tree)
    if config is not None:
        variables["MODELGATES_CONFIG"] = str(config)
    with _started([_MODELGATES, "serve", "--port", "0"], variables) as (process, line):
        yield Server(process.pid, _port_of(line))


@contextmanager
def sandbox() -> Iterator[Server]:
    """The sandbox's models as a separate provider, the upstream of all others."""
    command = [_MODELGATES, "sandbox", "serve", "--port", "0"]
    with _started(command, dict(os.environ)) as (process, line):
        yield Server(process.pid, _port_of(line))


@contextmanager
def portkey() -> Iterator[Server | None]:
    """Portkey's gateway; None if `make bench` found no Node to install it with.

    `portkey/package.json` pins its HTTP adapter. With the newest version that Portkey 1.15.2
    allows, every stream gets a 500.
    """
    if not _PORTKEY.exists():
        yield None
        return
    port = _free_port()
    command = ["node", "build/start-server.js", "--headless", f"--port={port}"]
    with subprocess.Popen(
        command, cwd=_PORTKEY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            _await_listener(port)
            yield Server(process.pid, port)
        finally:
            process.terminate()


@contextmanager
def bare(answer: str) -> Iterator[Server]:
    """The baseline; `answer` is JSON with headers and body."""
    command = [sys.executable, "-m", "benchmarks.bare", answer]
    with _started(command, dict(os.environ)) as (process, line):
        yield Server(process.pid, int(line))


@contextmanager
def nginx(body: str) -> Iterator[Server]:
    """One nginx process that returns a static 200."""
    with TemporaryDirectory() as folder:
        port = _free_port()
        config = Path(folder, "nginx.conf")
        config.write_text(_NGINX.format(folder=folder, port=port, body=body), encoding="utf-8")
        with subprocess.Popen(["nginx", "-c", str(config), "-e", "stderr"]) as process:
            try:
                _await_listener(port)
                yield Server(process.pid, port)
            finally:
                process.terminate()


def verify(url: str) -> str:
    """The output of `modelgates ledger verify` for a database; raises if it finds an error."""
    return run(["ledger", "verify"], environment(url))


def resident_kib(pid: int) -> int:
    """The resident memory of a process now (Linux)."""
    return _memory_kib(pid, "VmRSS")


def peak_kib(pid: int) -> int:
    """The peak resident memory of a process (Linux)."""
    return _memory_kib(pid, "VmHWM")


def _memory_kib(pid: int, member: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    [kib] = [int(line.split()[1]) for line in status.splitlines() if line.startswith(member)]
    return kib


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as free:
        return int(free.getsockname()[1])


def _port_of(line: str) -> int:
    """The port at the end of a line that ends with a URL."""
    return int(line.rstrip("/").rpartition(":")[2])


def _await_listener(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection((HOST, port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


@contextmanager
def _started(
    command: list[str], environment: dict[str, str]
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that prints one line when it is ready; it is stopped at the end of the block."""
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline().strip()
            assert line, f"did not start: {' '.join(command)}"
            yield process, line
        finally:
            process.terminate()
