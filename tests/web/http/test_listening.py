import os
import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from modelgates_server.core.errors import InvalidInput
from modelgates_server.web.http.listening import adopt, listen, passed_by_systemd
from tests.deadlines import tcp_connection

needs_ipv6 = pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 on this machine")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a path that is short enough for a unix socket."""
    with TemporaryDirectory(dir="/tmp") as name:
        yield Path(name)


@contextmanager
def bound(kind: int = socket.SOCK_STREAM, *, listens: bool = False) -> Iterator[int]:
    """A descriptor of a socket, which the code under test may close."""
    with socket.socket(socket.AF_INET, kind) as opened:
        opened.bind(("127.0.0.1", 0))
        if listens:
            opened.listen()
        yield os.dup(opened.fileno())


@needs_ipv6
def test_double_colon_listens_on_ipv4_and_ipv6() -> None:
    with listen("::", 0, 10) as listeners:
        [listener] = listeners.sockets
        port = listener.getsockname()[1]
        assert listeners.url("http") == f"http://[::]:{port}"
        for host in ("127.0.0.1", "[::1]"):
            tcp_connection(f"http://{host}:{port}").close()


@needs_ipv6
def test_other_ipv6_address_listens_on_itself_only() -> None:
    with listen("::1", 0, 10) as listeners:
        port = listeners.sockets[0].getsockname()[1]
        assert listeners.url("https") == f"https://[::1]:{port}"
        tcp_connection(f"http://[::1]:{port}").close()
        with pytest.raises(ConnectionRefusedError):
            tcp_connection(f"http://127.0.0.1:{port}")


def test_star_is_rejected_with_the_address_to_use() -> None:
    with pytest.raises(InvalidInput, match="Use :: for all addresses"):
        listen("*", 0, 10)


def test_unix_socket_is_open_to_user_and_group_and_removed_at_the_end(folder: Path) -> None:
    path, mask = folder / "s", os.umask(0o077)
    try:
        with listen(f"unix:{path}", 8000, 10) as listeners:
            assert listeners.url("http") == f"unix:{path}"
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
            assert os.umask(0o077) == 0o077, "other files keep their mode"
    finally:
        os.umask(mask)
    assert not path.exists()


def test_unix_socket_of_a_killed_server_is_replaced(folder: Path) -> None:
    path = folder / "s"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    with listen(f"unix:{path}", 0, 10), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_unix_socket_of_a_running_server_is_left_alone(folder: Path) -> None:
    path = folder / "s"
    with socket.socket(socket.AF_UNIX) as running, ExitStack() as stack:
        running.bind(str(path))
        running.listen(0)
        for _ in range(3):
            with pytest.raises(InvalidInput, match="another server listens there"):
                listen(f"unix:{path}", 0, 10)
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            with suppress(BlockingIOError):  # the queue is full, which must not look stale
                client.connect(str(path))
        assert path.exists()


def test_file_that_another_server_has_put_in_place_stays(folder: Path) -> None:
    path = folder / "s"
    with listen(f"unix:{path}", 0, 10):
        path.unlink()
        path.touch()
    assert path.exists()


def test_file_that_was_handed_over_stays(folder: Path) -> None:
    path = folder / "s"
    with listen(f"unix:{path}", 0, 10) as listeners:
        assert listeners.owns_files
        listeners.hand_over()
    assert path.exists()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("x" * 108, "absolute path of at most 107 bytes"),
        ("none/s", "No such file or directory"),
        ("file", "exists and is not a socket"),
    ],
)
def test_unusable_path_is_rejected_with_the_reason(folder: Path, name: str, why: str) -> None:
    (folder / "file").touch()
    with pytest.raises(InvalidInput, match=why):
        listen(f"unix:{folder / name}", 0, 10)
    assert (folder / "file").exists()


def test_relative_path_is_rejected() -> None:
    with pytest.raises(InvalidInput, match="absolute path"):
        listen("unix:modelgates.sock", 0, 10)


def test_sockets_of_systemd_are_those_after_standard_error() -> None:
    passed = {"LISTEN_FDS": "2", "LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": "a:b", "X": "1"}
    assert passed_by_systemd(passed) == [3, 4]
    assert passed == {"X": "1"}, "children must not take them for theirs"


def test_sockets_for_another_process_are_ignored() -> None:
    passed = {"LISTEN_FDS": "2", "LISTEN_PID": "1"}
    assert passed_by_systemd(passed) == []
    assert passed == {}
    assert passed_by_systemd({}) == []


@pytest.mark.parametrize("number", ["0", "-1", "two", ""])
def test_impossible_number_of_sockets_is_rejected(number: str) -> None:
    with pytest.raises(InvalidInput, match="LISTEN_FDS"):
        passed_by_systemd({"LISTEN_FDS": number, "LISTEN_PID": str(os.getpid())})


def test_inherited_socket_is_listened_on() -> None:
    with bound(listens=True) as descriptor, adopt([descriptor], owns_files=False) as listeners:
        assert listeners.url("http").startswith("http://127.0.0.1:")
        assert not os.get_inheritable(descriptor)


def test_inherited_unix_socket_is_removed_by_its_owner_only(folder: Path) -> None:
    for owns_files in (True, False):
        path = folder / f"{owns_files}"
        listeners = listen(f"unix:{path}", 0, 10)
        with adopt([os.dup(listeners.sockets[0].fileno())], owns_files=owns_files):
            listeners.hand_over()
            listeners.__exit__(None, None, None)
        assert path.exists() is not owns_files


def test_inherited_socket_that_does_not_listen_is_rejected() -> None:
    with bound() as descriptor, pytest.raises(InvalidInput, match="SOCK_STREAM, not listening"):
        adopt([descriptor], owns_files=False)


def test_inherited_datagram_socket_is_rejected() -> None:
    with bound(socket.SOCK_DGRAM) as descriptor, pytest.raises(InvalidInput, match="SOCK_DGRAM"):
        adopt([descriptor], owns_files=False)


def test_inherited_descriptor_that_is_no_socket_is_rejected(folder: Path) -> None:
    with (folder / "file").open("w") as file:
        descriptor = os.dup(file.fileno())
        with pytest.raises(InvalidInput, match="not a listening stream socket"):
            adopt([descriptor], owns_files=False)
        os.close(descriptor)
