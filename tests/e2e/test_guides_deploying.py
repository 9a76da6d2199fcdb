"""The unit, the image and the proxies of deploy/ work as the guide describes."""

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from zipfile import ZipFile

import pytest

from modelgates_server.bootstrap import serving
from modelgates_server.bootstrap.descriptors import connections_max
from modelgates_server.service.calls import registry, settling
from modelgates_server.settings import Settings
from modelgates_server.store import emergency
from modelgates_server.telemetry import process_output
from modelgates_server.web.http import accepting
from tests.deadlines import DEADLINE_S, http_client, http_request
from tests.e2e.guides import ROOT, free_port
from tests.server import MODELGATES, RunningServer, open_customer_now, running_server

DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "modelgates.service"
USER_UNIT = DEPLOY / "modelgates-user.service"
CONTAINERFILE = (DEPLOY / "Containerfile").read_text("utf-8").replace("\\\n", "")
TLS = Path(__file__).with_name("tls")
PUBLIC_URL = "https://www.example.com/llm"
STOPPING_S = (
    accepting.HANDSHAKE_SPARED_S
    + registry._STOP_MAX_S
    + 3 * settling._STEP_MAX_S  # the database, the spool and the emergency folder
    + emergency._DEADLINE_S
    + serving._CLOSE_MAX_S
    + 2 * process_output.FLUSH_MAX_S  # of a worker, then of its parent
)
"""How long a server takes to end after the grace period, if everything that it waits for hangs."""

Proxy = Callable[[str, str, Path], AbstractContextManager[str]]

NGINX = """daemon off;
pid {folder}/pid;
error_log stderr;
{user}
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {site}
}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(
        tmp_path_factory.mktemp("server"), MODELGATES_PUBLIC_URL=PUBLIC_URL
    ) as running:
        yield running


def instructions(name: str) -> list[str]:
    """The arguments of one kind of instruction in the Containerfile."""
    return re.findall(rf"^{name} (.*)$", CONTAINERFILE, re.MULTILINE)


@pytest.mark.parametrize(
    ("unit", "program"),
    [
        (UNIT, "/opt/modelgates/.venv/bin/modelgates"),
        (USER_UNIT, "%h/.local/share/modelgates/app/.venv/bin/modelgates"),
    ],
    ids=["system", "user"],
)
def test_unit_gives_a_server_the_time_it_takes_to_end(unit: Path, program: str) -> None:
    read = ConfigParser(strict=False, interpolation=None)
    read.read_string(unit.read_text("utf-8"))
    grace_s = Settings.model_fields["shutdown_grace_s"].default
    assert int(read["Service"]["TimeoutStopSec"]) > grace_s + STOPPING_S
    assert read["Service"]["ExecStart"] == f"{program} serve"
    most = Settings.model_fields["max_connections"].default
    assert connections_max(most, int(read["Service"]["LimitNOFILE"])) == most
    assert read["Service"]["Type"] == "notify", "a restart needs it"


def test_containers_get_as_long_to_end_as_units() -> None:
    guide = (ROOT / "docs" / "guides" / "deploying.md").read_text("utf-8")
    options = (
        r"(?:TimeoutStopSec=|--stop-timeout |terminationGracePeriodSeconds: |stop_grace_period: )"
    )
    times_s = re.findall(rf"{options}(\d+)", guide)
    assert len(times_s) == 5
    assert set(times_s) == set(re.findall(r"TimeoutStopSec=(\d+)", UNIT.read_text("utf-8")))


def analyzed(unit: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The output of systemd-analyze for a unit, with the program under test in it."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd on this machine")
    copy = folder / unit.name
    text = re.sub(r"(?<=ExecStart=)\S+", str(MODELGATES), unit.read_text("utf-8"))
    copy.write_text(text, "utf-8")
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments, copy],
        env={**os.environ, "XDG_RUNTIME_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )


@pytest.mark.parametrize(("unit", "manager"), [(UNIT, "--system"), (USER_UNIT, "--user")])
def test_unit_is_valid_for_systemd(unit: Path, manager: str, tmp_path: Path) -> None:
    verified = analyzed(unit, tmp_path, manager, "verify", "--man=no")
    assert verified.returncode == 0
    assert [line for line in verified.stderr.splitlines() if unit.name in line] == []


def test_socket_unit_is_valid_for_systemd(tmp_path: Path) -> None:
    text = re.sub(r"(?<=ExecStart=)\S+", str(MODELGATES), UNIT.read_text("utf-8"))
    (tmp_path / UNIT.name).write_text(text, "utf-8")
    verified = analyzed(DEPLOY / "modelgates.socket", tmp_path, "--system", "verify", "--man=no")
    assert verified.returncode == 0, verified.stderr
    assert "modelgates" not in verified.stderr


def test_system_unit_is_rated_ok_by_systemd(tmp_path: Path) -> None:
    rated = analyzed(UNIT, tmp_path, "security", "--offline=true")
    if "unrecognized option" not in rated.stderr:
        assert re.search(r"exposure level for modelgates.service: [\d.]+ OK", rated.stdout)


def test_image_builds_from_the_files_it_copies(tmp_path: Path) -> None:
    copied = [line.split() for line in instructions("COPY") if "--from" not in line]
    for *sources, target in copied:
        for source in sources:
            destination = tmp_path / target / Path(source).name
            if target == source:
                destination = tmp_path / target
            destination.parent.mkdir(parents=True, exist_ok=True)
            path = ROOT / source
            (shutil.copytree if path.is_dir() else shutil.copy)(path, destination)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "wheels"]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True, timeout=DEADLINE_S)
    [wheel] = (tmp_path / "wheels").iterdir()
    names = ZipFile(wheel).namelist()
    assert "modelgates_server/docsite/openapi.yaml" in names
    assert any(name.endswith("overview/quickstart.md") for name in names)
    assert (tmp_path / "requirements" / "run.txt").exists()


def test_image_starts_the_server_with_known_settings() -> None:
    names = re.findall(r"MODELGATES_(\w+)=", " ".join(instructions("ENV")))
    assert names
    assert {name.lower() for name in names} <= set(Settings.model_fields)
    started = json.loads(instructions("ENTRYPOINT")[0]) + json.loads(instructions("CMD")[0])
    assert started == ["modelgates", "serve"]


def test_health_check_of_the_image_fails_without_a_server(server: RunningServer) -> None:
    check = json.loads(instructions("HEALTHCHECK CMD")[0])
    assert check[0] == "modelgates"
    codes = [
        subprocess.run(
            [MODELGATES, *check[1:]],
            env={**os.environ, "MODELGATES_PORT": str(port), "HTTP_PROXY": "http://127.0.0.1:9"},
            check=False,
            capture_output=True,
            timeout=DEADLINE_S,
        ).returncode
        for port in (urlsplit(server.url).port, free_port())
    ]
    assert codes == [0, 1]


def program(name: str) -> str:
    """The path of the proxy's program; skips if this machine lacks it."""
    path = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"
    executable = shutil.which(name, path=path)
    return executable or pytest.skip(f"this machine has no {name}")


@contextmanager
def nginx(file: str, upstream: str, folder: Path) -> Iterator[str]:
    """nginx with a site of deploy/ on a free port, with the tests' certificate."""
    executable, port = program("nginx"), free_port()
    site = (DEPLOY / file).read_text("utf-8")
    site = site.replace("127.0.0.1:8000", upstream).replace("443 ssl", f"127.0.0.1:{port} ssl")
    site = re.sub(r"/etc/letsencrypt/\S*fullchain.pem", str(TLS / "cert.pem"), site)
    site = re.sub(r"/etc/letsencrypt/\S*privkey.pem", str(TLS / "key.pem"), site)
    user = "" if os.getuid() else "user root;"
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, user=user, site=site), "utf-8")
    command = [executable, "-p", str(folder), "-c", str(config)]
    checked = subprocess.run(
        [*command, "-t"], capture_output=True, text=True, check=False, timeout=DEADLINE_S
    )
    assert checked.returncode == 0, checked.stderr
    with running(command, port, folder):
        yield f"https://127.0.0.1:{port}"


@contextmanager
def caddy(file: str, upstream: str, folder: Path) -> Iterator[str]:
    """Caddy with a site of deploy/ on a free port; without TLS, which needs a public name."""
    executable, port = program("caddy"), free_port()
    site = (DEPLOY / file).read_text("utf-8").replace("127.0.0.1:8000", upstream)
    site = re.sub(r"^\w+\.example\.com", f"http://127.0.0.1:{port}", site, flags=re.MULTILINE)
    config = folder / "Caddyfile"
    config.write_text(f"{{\n\tadmin off\n}}\n{site}", "utf-8")
    with running([executable, "run", "--config", str(config)], port, folder):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def running(command: list[str], port: int, folder: Path) -> Iterator[None]:
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            command, stdout=log, stderr=log, cwd=folder, env={**os.environ, "HOME": str(folder)}
        ) as process,
    ):
        try:
            while process.poll() is None:
                with socket.socket() as client:
                    if not client.connect_ex(("127.0.0.1", port)):
                        break
                os.sched_yield()
            yield
        finally:
            process.terminate()
            process.wait(DEADLINE_S)


@pytest.mark.parametrize(
    ("proxy", "file", "prefix"),
    [
        (nginx, "nginx.conf", ""),
        (nginx, "nginx-prefix.conf", "/llm"),
        (caddy, "Caddyfile", ""),
        (caddy, "Caddyfile-prefix", "/llm"),
    ],
)
def test_proxy_forwards_a_stream_without_buffering(
    proxy: Proxy, file: str, prefix: str, server: RunningServer, tmp_path: Path
) -> None:
    customer = open_customer_now(server.database_path)
    trust = ssl.create_default_context(cafile=TLS / "cert.pem")
    call = {
        "model": "sandbox/chaos",
        "stream": True,
        "messages": [{"role": "user", "content": '{"tokens": 4, "chunk_ms": 250}'}],
    }
    with (
        proxy(file, urlsplit(server.url).netloc, tmp_path) as url,
        http_client(base_url=f"{url}{prefix}", verify=trust) as client,
    ):
        key = {"Authorization": f"Bearer {customer.inference}"}
        with client.stream("POST", "/api/v1/chat/completions", json=call, headers=key) as answer:
            assert answer.status_code == 200
            lines = answer.iter_lines()
            assert next(lines).startswith("data: {")
            viewer = {"Authorization": f"Bearer {customer.viewer}"}
            holds = http_request("GET", f"{server.api}/credits/holds", headers=viewer).json()
            assert len(holds["data"]) == 1, "the first chunk came before the call had ended"
            assert [line for line in lines if line][-1] == "data: [DONE]"
        # The gateway rejects a larger body before its end; Caddy may report that as a failure.
        refused = {413} if proxy is nginx else {413, 502}
        for size, statuses in ((20 * 2**20, {400}), (20 * 2**20 + 1, refused)):
            large = client.post("/api/v1/chat/completions", content=bytes(size), headers=key)
            assert large.status_code in statuses, large.text
        document = client.get("/openapi.json").json()
        assert document["servers"] == [{"url": f"{PUBLIC_URL}/api/v1"}]
        assert client.get("/docs").status_code == 200
