"""Undocumented parts of libraries that the gateway depends on, each used in one folder.

A new version can change them without notice. The upper bounds in pyproject.toml keep it out until
these tests pass with it and the bound is raised.
"""

import asyncio
import re
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from aiohttp import ClientResponse, StreamReader
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from uvicorn import config as uvicorn_config
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
IN = {"uvicorn": "src/modelgates_server/web/http", "aiohttp": "src/modelgates_server/providers"}
IMPORTS = {"uvicorn": r"from uvicorn\.", "aiohttp": r"(?:from|import) aiohttp\b"}
# The sandbox cuts connections, which no documented function can. The gateway does not use it.
EXCEPT = PYPROJECT.parent / "src/modelgates_server/providers/sandbox/server.py"

USED: dict[str, dict[str, tuple[str, ...]]] = {
    "uvicorn": {
        "httptools_impl": ("STATUS_LINE",),
        "config": ("STARTUP_FAILURE",),
        "HttpToolsProtocol": (
            *("on_headers_complete", "on_body", "on_message_complete", "on_response_complete"),
            *("connection_made", "data_received", "eof_received", "_start_asgi_task"),
            *("loop", "transport", "flow", "parser", "scope", "headers", "cycle", "pipeline"),
            *("connections", "tasks", "server_state"),
        ),
        "RequestResponseCycle": (
            *("run_asgi", "scope", "response_started", "response_complete", "disconnected"),
            *("keep_alive", "message_event"),
        ),
        "ServerState": ("total_requests", "default_headers"),
        "FlowControl": ("resume_reading",),
        "Multiprocess": ("terminate_all", "keep_subprocess_alive", "processes", "sockets", "run"),
        "Process": ("child_conn", "exitcode"),
        "Server": ("startup", "started", "run"),
    },
    "aiohttp": {
        "ResponseHandler": ("read_timeout", "start_timeout", "closed"),
        "StreamReader": ("set_exception", "is_eof", "readany"),
        "Connection": ("protocol", "add_callback"),
        "ClientResponse": ("connection", "content", "content_type", "close"),
    },
}


def parts() -> dict[str, Any]:
    """Each part by its name; an instance if its attributes are set on creation."""
    loop = asyncio.get_running_loop()
    config = uvicorn.Config("tests.contract.test_libraries:PYPROJECT", interface="asgi3")
    config.load()
    state = ServerState()
    protocol = HttpToolsProtocol(config, state, {}, loop)
    nothing: Any = None
    cycle = RequestResponseCycle(
        *(nothing, nothing, nothing, nothing, nothing, False, [], nothing, False, True, nothing)
    )
    return {
        "httptools_impl": httptools_impl,
        "config": uvicorn_config,
        "HttpToolsProtocol": protocol,
        "RequestResponseCycle": cycle,
        "ServerState": state,
        "FlowControl": FlowControl,
        "Multiprocess": Multiprocess(config, sockets=[]),
        "Process": Process(config, []),
        "Server": uvicorn.Server(config),
        "ResponseHandler": ResponseHandler(loop),
        "StreamReader": StreamReader,
        "Connection": Connection,
        "ClientResponse": ClientResponse,
    }


@pytest.mark.parametrize("library", USED)
async def test_library_has_the_undocumented_parts_in_use(library: str) -> None:
    made = parts()
    for name, attributes in USED[library].items():
        missing = [each for each in attributes if not hasattr(made[name], each)]
        assert not missing, (
            f"{library} {version(library)}: {name} has no {', '.join(missing)}, which "
            f"{IN[library]} uses. Adapt it, then raise the bound in pyproject.toml."
        )


@pytest.mark.parametrize("library", USED)
def test_library_has_an_upper_bound_below_its_next_minor_version(library: str) -> None:
    dependencies = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["dependencies"]
    [bounds] = [each for each in dependencies if re.match(rf"{library}\b", each)]
    major, minor = version(library).split(".")[:2]
    assert bounds.endswith(f"<{major}.{int(minor) + 1}"), (
        f"{bounds} allows an untested version, whose undocumented parts may be different"
    )


def test_undocumented_parts_of_each_library_are_used_in_one_folder() -> None:
    source = PYPROJECT.parent / "src"
    for library, folder in IN.items():
        users = [
            path
            for path in source.rglob("*.py")
            if path != EXCEPT
            and re.search(rf"^\s*{IMPORTS[library]}", path.read_text("utf-8"), re.MULTILINE)
        ]
        assert users, library
        outside = [path for path in users if not path.is_relative_to(PYPROJECT.parent / folder)]
        assert not outside, f"{library} is imported outside of {folder}: {outside}"
