"""Asks the server that the settings describe whether it is ready.

Connects to that address only: `HTTP_PROXY` and the like are for providers. Imported without the
rest of `bootstrap`'s services, because a probe runs every few seconds.
"""

import json
import socket
import ssl
import time
from contextlib import closing
from http.client import HTTPException, HTTPResponse, RemoteDisconnected
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any, NamedTuple

from modelgates_server.core.errors import InvalidInput
from modelgates_server.settings import Settings

_REASONS = {
    ssl.SSLError: "it does not speak TLS. Check `MODELGATES_TLS_CERT` and `MODELGATES_PORT`",
    RemoteDisconnected: "the connection was closed. Check `MODELGATES_TLS_CERT`: without it, this "
    "command does not speak TLS",
}
"""The reasons for errors whose own text says little."""
_MAX_BYTES = 64 * 1024
_OK, _UNAVAILABLE = 200, 503


class CheckedHealth(NamedTuple):
    """Whether the server is ready, and a sentence for people."""

    ok: bool
    message: str


def check_health(settings: Settings, *, live: bool, timeout_s: float) -> CheckedHealth:
    """Asks for /readyz, or with `live` for /healthz.

    Raises `InvalidInput` without a fixed port, or for a certificate that cannot be read.
    """
    if settings.port == 0 and _socket_path(settings) is None:
        raise InvalidInput(
            "`MODELGATES_PORT` is 0, so the server chooses a port that this command cannot know. "
            "Set a port."
        )
    certificate = None if settings.tls_cert is None else _first_certificate(settings.tls_cert)
    path = "/healthz" if live else "/readyz"
    shown = f"http{'s' if settings.tls_cert else ''}://{_shown(settings)}{path}"
    try:
        status, body = _get(settings, certificate, path, time.monotonic() + timeout_s)
    except TimeoutError:
        return CheckedHealth(False, f"No response from {shown} within {timeout_s:g} seconds.")
    except (OSError, HTTPException) as error:
        return CheckedHealth(False, f"No response from {shown}: {_reason(error)}.")
    if live and status == _OK and _is_ours(body):
        return CheckedHealth(True, f"{shown} responds.")
    return _judged(status, body, shown)


def _is_ours(body: bytes) -> bool:
    return "status" in _fields(body)


def _fields(body: bytes) -> dict[str, Any]:
    """Returns the object in a body, an empty one if there is another value or none."""
    try:
        given = json.loads(body)
    except ValueError:
        return {}
    return given if isinstance(given, dict) else {}


def _judged(status: int, body: bytes, shown: str) -> CheckedHealth:
    given = _fields(body)
    if status not in (_OK, _UNAVAILABLE) or "status" not in given:
        return CheckedHealth(
            False,
            f"{shown} responds with status {status}, but not like ModelGates. Check the port.",
        )
    causes = given.get("causes") or {}
    parts = given.get("parts") or {}
    not_ok = [name for name, state in parts.items() if state != "ok"]
    reasons = " ".join(f"{name}: {causes.get(name) or parts[name]}" for name in not_ok)
    if status != _OK:
        return CheckedHealth(False, f"{shown} is not ready. {reasons}".rstrip())
    return CheckedHealth(True, f"{shown} is ready. {reasons}".rstrip())


def _get(
    settings: Settings, certificate: bytes | None, path: str, deadline: float
) -> tuple[int, bytes]:
    with _connected(settings, certificate, deadline) as connection:
        connection.settimeout(_left(deadline))
        connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {_host_header(settings)}\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        response = HTTPResponse(connection, method="GET")
        response.begin()
        connection.settimeout(_left(deadline))
        return response.status, response.read(_MAX_BYTES)


def _connected(settings: Settings, certificate: bytes | None, deadline: float) -> socket.socket:
    connection = _plain_connection(settings, deadline)
    if certificate is None:
        return connection
    with closing(connection):  # does nothing if it has become part of an encrypted connection
        connection.settimeout(_left(deadline))
        return _encrypted(connection, certificate)


def _plain_connection(settings: Settings, deadline: float) -> socket.socket:
    path = _socket_path(settings)
    if path is None:
        address = (_loopback(settings.host), settings.port)
        return socket.create_connection(address, _left(deadline))
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(_left(deadline))
        connection.connect(path)
    except FileNotFoundError:
        connection.close()
        raise ConnectionError("the socket does not exist: the server is not running") from None
    except BaseException:
        connection.close()
        raise
    return connection


def _socket_path(settings: Settings) -> str | None:
    """Returns the path of the unix socket that the server listens on, if it does."""
    scheme, found, path = settings.host.partition(":")
    return path if found and scheme == "unix" else None


def _encrypted(connection: socket.socket, expected: bytes) -> ssl.SSLSocket:
    """Accepts exactly the certificate of the settings: its names do not include the loopback."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    encrypted = context.wrap_socket(connection)
    if encrypted.getpeercert(binary_form=True) != expected:
        encrypted.close()
        raise ConnectionError(
            "its certificate is not the one in `MODELGATES_TLS_CERT`. If you renewed it, restart "
            "the server"
        )
    return encrypted


def _first_certificate(file: Path) -> bytes:
    """The server's own certificate, which comes first in its file. Raises `InvalidInput`."""
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    try:
        _, found, rest = file.read_text(encoding="ascii", errors="replace").partition(begin)
        if found:
            return ssl.PEM_cert_to_DER_cert(f"{begin}{rest.partition(end)[0]}{end}\n")
        reason = "there is no certificate in it"
    except OSError as error:
        reason = _reason(error)
    except ValueError:
        reason = "it is not a PEM file"
    raise InvalidInput(
        f"`MODELGATES_TLS_CERT` names {file}, which cannot be read: {reason}. Give the "
        "certificate of the server."
    )


def _loopback(host: str) -> str:
    """Returns where to reach a server that listens on a host; a wildcard includes the loopback."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "::1" if isinstance(address, IPv6Address) else "127.0.0.1"


def _shown(settings: Settings) -> str:
    return _host_header(settings) if _socket_path(settings) is None else settings.host


def _host_header(settings: Settings) -> str:
    if _socket_path(settings) is not None:
        return "localhost"
    host = _loopback(settings.host)
    return f"[{host}]:{settings.port}" if ":" in host else f"{host}:{settings.port}"


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _reason(error: Exception) -> str:
    for kind, explained in _REASONS.items():
        if isinstance(error, kind):
            return explained
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text or type(error).__name__
