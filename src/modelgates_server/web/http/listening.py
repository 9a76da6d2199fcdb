"""The sockets that a server listens on: its own, or those that it inherits.

systemd passes sockets as `sd_listen_fds(3)` describes. A server that replaces another one inherits
that one's sockets: see `web.http.handover`.
"""

import os
import socket
import stat
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from modelgates_server.core.errors import InvalidInput

UNIX = "unix:"
"""The prefix of a host that is the path of a unix socket."""

_FIRST_PASSED = 3
_UNIX_PATH_MAX = 107
_OWNER_AND_GROUP = 0o117
_FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)


class Listeners:
    """Listening sockets. At the end of a `with` block they are closed and their files removed."""

    def __init__(self, sockets: list[socket.socket], files: Mapping[Path, os.stat_result]) -> None:
        self.sockets = sockets
        self._files = files

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Close the sockets. A file that another server has replaced stays."""
        for listener in self.sockets:
            listener.close()
        for path, created in self._files.items():
            with suppress(OSError):
                if os.path.samestat(path.lstat(), created):
                    path.unlink()

    @property
    def owns_files(self) -> bool:
        """Whether this process removes the files of unix sockets."""
        return bool(self._files)

    def hand_over(self) -> None:
        """Leave the files to another process, which has the same sockets."""
        self._files = {}

    def url(self, scheme: str) -> str:
        """Returns the URL of the first socket; of a unix socket, `unix:` and its path."""
        address = self.sockets[0].getsockname()
        if self.sockets[0].family == socket.AF_UNIX:
            return f"{UNIX}{address}"
        host, port = address[:2]
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def listen(host: str, port: int, backlog: int) -> Listeners:
    """Listen on an address, or on the path of a unix socket after `unix:`.

    `::` is all addresses of IPv6 and IPv4. Raises `InvalidInput`.
    """
    if host.startswith(UNIX):
        return _listen_on_path(Path(host.removeprefix(UNIX)), backlog)
    try:
        listener = socket.create_server(
            (host, port),
            family=socket.AF_INET6 if ":" in host else socket.AF_INET,
            backlog=backlog,
            dualstack_ipv6=host == "::" and socket.has_dualstack_ipv6(),
        )
    except OSError as error:
        hint = " Use :: for all addresses." if host == "*" else ""
        raise InvalidInput(
            f"Cannot listen on {host}, port {port}: {_reason(error)}. "
            f"Choose another address with --host and --port.{hint}"
        ) from error
    return Listeners([listener], {})


def _listen_on_path(path: Path, backlog: int) -> Listeners:
    if not path.is_absolute() or len(os.fsencode(path)) > _UNIX_PATH_MAX:
        raise InvalidInput(
            f"Cannot listen on {UNIX}{path}. Give an absolute path of at most {_UNIX_PATH_MAX} "
            f"bytes, such as {UNIX}/run/modelgates/modelgates.sock."
        )
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX)
    mask = os.umask(_OWNER_AND_GROUP)
    try:
        listener.bind(str(path))
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        raise InvalidInput(
            f"Cannot listen on {UNIX}{path}: {_reason(error)}. "
            "Choose a path in a folder that exists and that the server may write to."
        ) from error
    finally:
        os.umask(mask)
    return Listeners([listener], {path: path.lstat()})


def _remove_stale(path: Path) -> None:
    """Remove the socket of a server that was killed. Raises `InvalidInput` for another file."""
    try:
        found = path.lstat()
    except OSError:
        return  # nothing there, or `bind` reports it
    if not stat.S_ISSOCK(found.st_mode):
        raise InvalidInput(
            f"Cannot listen on {UNIX}{path}: the file exists and is not a socket. "
            "Choose another path, or remove the file."
        )
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)
        try:
            client.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except BlockingIOError:
            pass  # its queue is full
        except OSError as error:
            raise InvalidInput(
                f"Cannot listen on {UNIX}{path}: {_reason(error)}. Choose another path."
            ) from error
    raise InvalidInput(
        f"Cannot listen on {UNIX}{path}: another server listens there. "
        "Stop it first, or choose another path."
    )


def passed_by_systemd(environment: MutableMapping[str, str]) -> list[int]:
    """Takes the descriptors that systemd passes to this process out of the environment.

    Raises `InvalidInput` if their number makes no sense.
    """
    number = environment.pop("LISTEN_FDS", None)
    pid = environment.pop("LISTEN_PID", None)
    environment.pop("LISTEN_FDNAMES", None)
    if number is None or pid != str(os.getpid()):
        return []  # for another process, whose environment this one inherited
    if not number.isdecimal() or int(number) == 0:
        raise InvalidInput(
            f"`LISTEN_FDS` must be the number of passed sockets, not `{number:.20}`. "
            "Remove it, or start the server through its .socket unit."
        )
    return list(range(_FIRST_PASSED, _FIRST_PASSED + int(number)))


def adopt(descriptors: list[int], *, owns_files: bool) -> Listeners:
    """Listen on inherited sockets. With `owns_files` this process removes their files at the end.

    Raises `InvalidInput` for anything that is not a listening stream socket.
    """
    sockets = [_adopted(descriptor) for descriptor in descriptors]
    files = dict[Path, os.stat_result]()
    for listener in sockets if owns_files else ():
        if listener.family == socket.AF_UNIX:
            path = Path(listener.getsockname())
            with suppress(OSError):
                files[path] = path.lstat()
    return Listeners(sockets, files)


def _adopted(descriptor: int) -> socket.socket:
    try:
        os.set_inheritable(descriptor, False)
        listener = socket.socket(fileno=descriptor)
        listens = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise InvalidInput(_wrong(descriptor, _reason(error))) from error
    if listener.family not in _FAMILIES or listener.type != socket.SOCK_STREAM or not listens:
        kind = f"{listener.family.name}, {listener.type.name}"
        listener.detach()
        raise InvalidInput(
            _wrong(descriptor, f"it is {kind}, {'' if listens else 'not '}listening")
        )
    return listener


def _wrong(descriptor: int, why: str) -> str:
    return (
        f"The inherited file descriptor {descriptor} is not a listening stream socket: {why}. "
        "The .socket unit needs `ListenStream=` and `Accept=no`."
    )


def _reason(error: OSError) -> str:
    number = error.errno or 0  # negative if the name look-up failed
    return os.strerror(number) if number > 0 else str(error.strerror)
