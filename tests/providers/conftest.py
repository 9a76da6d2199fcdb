"""Fixtures of the tests that go out to providers."""

import os
from typing import Any

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """The event loop that serves."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxies of the machine are not the test's."""
    for variable in tuple(os.environ):
        if variable.lower().endswith("_proxy"):
            monkeypatch.delenv(variable)
