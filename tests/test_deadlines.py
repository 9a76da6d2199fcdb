"""Every wait in the tests has the common deadline of `tests/deadlines.py`."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
HELPER = TESTS / "deadlines.py"
HELPERS = {
    "asyncio.timeout": "within",
    "asyncio.wait_for": "within",
    "ClientSession": "async_http_client",
    "aiohttp.ClientSession": "async_http_client",
    "http.client.HTTPConnection": "http_connection",
    "http.client.HTTPSConnection": "http_connection",
    "httpx.AsyncClient": "async_http_client",
    "httpx.Client": "http_client",
    "socket.create_connection": "tcp_connection",
    "urllib.request.urlopen": "http_request",
    **{
        f"{library}.{method}": "http_request"
        for library in ("httpx", "requests")
        for method in ("delete", "get", "head", "patch", "post", "put", "request", "stream")
    },
}
"""Calls that wait without the common deadline, and the helper to use instead."""
RUN_TO_THEIR_END = {f"subprocess.{name}" for name in ("call", "check_call", "check_output", "run")}
BLOCKING = {"acquire", "communicate", "join", "wait"}
"""Methods of threads and processes that wait forever without a timeout."""
WAITING = {*BLOCKING, "poll", "select", "settimeout"}


def problems(source: str) -> Iterator[tuple[int, str]]:
    """The lines of a module where a wait has no deadline or another one, with the problem."""
    tree = ast.parse(source)
    awaited = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Await)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and "DEADLINE" in ast.unparse(node.targets[0]):
            yield node.lineno, "the deadline is in tests/deadlines.py"
        if isinstance(node, ast.Call):
            for problem in (_wrong_client(node), _no_deadline(node, awaited), _number(node)):
                if problem:
                    yield node.lineno, problem


def _wrong_client(call: ast.Call) -> str | None:
    name = _name(call.func)
    helper = HELPERS.get(name)
    return helper and f"use {helper}() of tests/deadlines.py, not {name}()"


def _no_deadline(call: ast.Call, awaited: set[int]) -> str | None:
    name, method = _name(call.func), _method(call)
    keywords = {keyword.arg for keyword in call.keywords}
    if name in RUN_TO_THEIR_END and "timeout" not in keywords:
        return f"{name}() needs timeout=DEADLINE_S"
    blocks = method in BLOCKING and id(call) not in awaited
    return f"{method}() needs DEADLINE_S" if blocks and not (call.args or keywords) else None


def _number(call: ast.Call) -> str | None:
    """The problem of a wait with a number. `select.select`, which polls, has four arguments."""
    timeouts = [keyword.value for keyword in call.keywords if keyword.arg == "timeout"]
    if _method(call) in WAITING and len(call.args) == 1:
        timeouts += call.args
    if _method(call) == "to_thread":
        timeouts += call.args[1:] if ast.unparse(call.args[0]).endswith(".wait") else []
    timeout = next((value for value in timeouts if _has_number(value)), None)
    return f"wait for DEADLINE_S or DEADLINE_MS, not {ast.unparse(timeout)}" if timeout else None


def _has_number(value: ast.expr) -> bool:
    """Whether an expression has a number other than zero, which does not wait."""
    return bool(re.fullmatch(r"(?=.*\b(?!0\b)\d)[\w.*/+ -]+", ast.unparse(value)))


def _name(called: ast.expr) -> str:
    """The called name as in the source, if it consists of names and dots."""
    match called:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name):
            return f"{_name(value)}.{name}"
    return ""


def _method(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def test_every_wait_in_the_tests_has_the_common_deadline(subtests: pytest.Subtests) -> None:
    for path in sorted(TESTS.rglob("*.py")):
        name = path.relative_to(TESTS.parent).as_posix()
        with subtests.test(name):
            waits = [] if path == HELPER else [*problems(path.read_text("utf-8"))]
            assert not waits, "\n".join(f"{name}:{line}: {problem}" for line, problem in waits)


@pytest.mark.parametrize(
    "source",
    [
        "httpx.get(url)",
        "httpx.AsyncClient(base_url=url)",
        "async def f():\n    async with asyncio.timeout(1): pass",
        "subprocess.run(words, check=True)",
        "process.communicate()",
        "process.wait()",
        "process.wait(2 * DEADLINE_S)",
        "process.communicate(timeout=30)",
        "thread.join()",
        "DEADLINE_S = 30",
    ],
)
def test_wait_without_the_common_deadline_is_found(source: str) -> None:
    assert len(list(problems(source))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "http_request('GET', url)",
        "process.wait(DEADLINE_S)",
        "subprocess.run(words, check=True, timeout=DEADLINE_S)",
        "async def f():\n    await event.wait()",
        "', '.join(words)",
    ],
)
def test_wait_with_the_common_deadline_is_accepted(source: str) -> None:
    assert list(problems(source)) == []
