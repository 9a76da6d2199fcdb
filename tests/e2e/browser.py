"""A headless browser, with checks on what its pages do."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import (
    Browser,
    ConsoleMessage,
    Page,
    Request,
    async_playwright,
    expect,
)

from tests.deadlines import DEADLINE_MS

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
VIEWS: dict[str, dict[str, Any]] = {
    "light": {"viewport": DESKTOP, "color_scheme": "light"},
    "dark": {"viewport": DESKTOP, "color_scheme": "dark"},
    "phone": {"viewport": PHONE, "color_scheme": "light", "is_mobile": True, "has_touch": True},
}


@asynccontextmanager
async def opened_browser() -> AsyncIterator[Browser]:
    """A browser of this machine. Without one, the test is skipped, or fails if CI demands one."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        demanded = "DEMAND_BROWSER" in os.environ or os.environ.get("CI") == "true"
        leave = pytest.fail if demanded else pytest.skip
        leave(f"this machine has no browser ({', '.join(BROWSERS)}); CI demands one")
    async with async_playwright() as driver:
        # A container has no user namespaces for the browser's own sandbox.
        browser = await driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            await browser.close()


class Visit:
    """A page, with its errors and its requests to other hosts as `complaints`."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._watch)

    async def open(self, path: str) -> Page:
        await self.page.goto(f"{self.url}{path}", wait_until="networkidle")
        return self.page

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def _watch(self, request: Request) -> None:
        target = urlsplit(request.url)
        if target.scheme != "data" and target.netloc != urlsplit(self.url).netloc:
            self.complaints.append(f"requested {request.url}")


@asynccontextmanager
async def visit(browser: Browser, url: str, **context: Any) -> AsyncIterator[Visit]:
    """A visitor without cookies or storage of others. The test fails if there are complaints."""
    opened = await browser.new_context(**context)
    opened.set_default_timeout(DEADLINE_MS)
    expect.set_options(timeout=DEADLINE_MS)
    try:
        visitor = Visit(await opened.new_page(), url)
        yield visitor
        assert visitor.complaints == [], visitor.complaints
    finally:
        await opened.close()
