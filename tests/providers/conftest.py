"""Fixtures for the tests that call providers."""

import os
from typing import Any

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """The event loop that the server uses."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the machine's proxy variables."""
    for variable in tuple(os.environ):
        if variable.lower().endswith("_proxy"):
            monkeypatch.delenv(variable)
