"""Server processes to measure, and accounts for them to answer about."""

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
from modelgates_server.core.keys import KeyKind
from modelgates_server.core.money import PICOS_PER_DOLLAR
from modelgates_server.service.keys import NewKey

HOST = "127.0.0.1"

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
    """An account with credits; the text of its management key."""
    async with open_gateway(load_settings(database_url=url)) as gateway:
        account = await gateway.accounts.open("bench")
        await gateway.credits.grant(account.id, 100 * PICOS_PER_DOLLAR + 5 * 10**11, "bench")
        _, text = await gateway.keys.create(
            account.id, NewKey(kind=KeyKind.MANAGEMENT, name="bench")
        )
        return text


@contextmanager
def modelgates(url: str) -> Iterator[Server]:
    """ModelGates on a database."""
    command = [str(Path(sys.executable).with_name("modelgates")), "serve", "--port", "0"]
    environment = {**os.environ, "MODELGATES_DATABASE_URL": url}
    with _started(command, environment) as (process, line):
        yield Server(process.pid, int(line.rstrip("/").rpartition(":")[2]))


@contextmanager
def bare(answer: str) -> Iterator[Server]:
    """The yardstick; `answer` is JSON with headers and body."""
    command = [sys.executable, "-m", "benchmarks.bare", answer]
    with _started(command, dict(os.environ)) as (process, line):
        yield Server(process.pid, int(line))


@contextmanager
def nginx(body: str) -> Iterator[Server]:
    """One nginx process that returns a static 200."""
    with TemporaryDirectory() as folder, socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
        free.close()
        config = Path(folder, "nginx.conf")
        config.write_text(_NGINX.format(folder=folder, port=port, body=body), encoding="utf-8")
        with subprocess.Popen(["nginx", "-c", str(config), "-e", "stderr"]) as process:
            try:
                _await_listener(port)
                yield Server(process.pid, port)
            finally:
                process.terminate()


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
    """A process that prints one line when it is ready; ended with the block."""
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.terminate()
