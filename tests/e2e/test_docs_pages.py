"""The documentation in a real browser, as people read it."""

import subprocess
from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, expect

from tests.deadlines import DEADLINE_S, http_request
from tests.e2e.browser import VIEWS, visit
from tests.e2e.test_mcp import reverse_proxy
from tests.server import MODELGATES, RunningServer, running_server

CREDITS = "/docs/api/api-reference/credits/get-credits"
CREATE_KEY = "/docs/api/api-reference/api-keys/create-key"
CHAT = "/docs/api/api-reference/inference/create-chat-completion"
QUICKSTART = "/docs/guides/overview/quickstart"
PAGES = {
    "/docs": 200,
    QUICKSTART: 200,
    "/docs/guides/limits": 200,
    "/docs/reference/cli": 200,
    "/docs/decisions/0011-the-life-of-a-call": 200,
    "/docs/api/api-reference/overview": 200,
    CREDITS: 200,
    CREATE_KEY: 200,
    CHAT: 200,
    "/docs/api/api-reference/models/list-model-endpoints": 200,
    "/docs/search?q=credits": 200,
    "/docs/search?q=zzzzqqqq": 200,
    f"/docs/search?q={'x' * 201}": 400,
    "/docs/nowhere": 404,
}
"""At least one of each kind: every template, tables, forms with and without a body."""


def test_head_has_the_headers_of_get_and_no_body(server: RunningServer) -> None:
    for path in (CREDITS, f"{CREDITS}.md", "/.well-known/api-catalog", "/docs/nowhere"):
        whole, head = (
            http_request("GET", server.url + path),
            http_request("HEAD", server.url + path),
        )
        assert (head.status_code, head.content) == (whole.status_code, b"")
        differing = {"date", "x-request-id"}
        shown = [{k: v for k, v in a.headers.items() if k not in differing} for a in (whole, head)]
        assert shown[0] == shown[1]


@pytest.mark.parametrize("view", VIEWS)
async def test_pages_are_accessible_and_fit_the_screen(
    view: str, browser: Browser, server: RunningServer, subtests: pytest.Subtests
) -> None:
    async with visit(browser, server.url, **VIEWS[view]) as visitor:
        for path, status in PAGES.items():
            with subtests.test(path):
                page = await visitor.open(path)
                if status != 200:
                    [complaint] = visitor.complaints
                    assert str(status) in complaint
                    visitor.complaints.clear()
                await expect(page.locator("h1")).to_be_visible()
                found = (await Axe().run(page)).response["violations"]
                serious = [
                    (one["id"], one["nodes"][0]["html"])
                    for one in found
                    if one["impact"] in {"serious", "critical"}
                ]
                assert serious == []
                wider = "document.documentElement.scrollWidth - innerWidth"
                assert await page.evaluate(wider) <= 0, "the page scrolls sideways"


async def test_theme_follows_the_reader_s_system(browser: Browser, server: RunningServer) -> None:
    seen = {}
    for view in ("light", "dark"):
        async with visit(browser, server.url, **VIEWS[view]) as visitor:
            page = await visitor.open("/docs")
            colour = "getComputedStyle(document.body).backgroundColor"
            seen[view] = [int(n) for n in (await page.evaluate(colour))[4:-1].split(",")]
    assert min(seen["light"]) > 240
    assert max(seen["dark"]) < 40


async def test_printed_page_is_light_and_names_every_sample(
    browser: Browser, server: RunningServer
) -> None:
    async with visit(browser, server.url, **VIEWS["dark"]) as visitor:
        page = await visitor.open(CREDITS)
        await expect(page.locator(".tab > h3").first).to_be_hidden()
        await page.emulate_media(media="print")
        await expect(page.locator("body")).to_have_css("background-color", "rgb(255, 255, 255)")
        for sample in await page.locator(".tab").all():
            await expect(sample.locator("h3")).to_be_visible()
            await expect(sample.locator("pre")).to_be_visible()


async def test_search_works_with_the_keyboard_alone(
    browser: Browser, server: RunningServer
) -> None:
    async with visit(browser, server.url) as visitor:
        page = await visitor.open("/docs")
        await page.keyboard.press("/")
        await page.keyboard.type("remaining cred")
        first = page.get_by_role("option").first
        await expect(first).to_contain_text("Get remaining credits")
        await expect(first.locator("mark").first).to_be_visible()
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("ArrowUp")
        await expect(first).to_have_attribute("aria-selected", "true")
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"{server.url}{CREDITS}**")
        await expect(page.locator("h1")).to_have_text("Get remaining credits")


async def test_search_says_when_nothing_is_found_and_escape_closes_it(
    browser: Browser, server: RunningServer
) -> None:
    async with visit(browser, server.url) as visitor:
        page = await visitor.open("/docs")
        box = page.get_by_role("combobox", name="Search the documentation")
        await box.fill("credits")
        await expect(page.get_by_role("listbox")).to_be_visible()
        await box.press("Escape")
        await expect(page.get_by_role("listbox")).to_be_hidden()
        await expect(box).to_have_value("credits")
        await box.fill("holds")
        await expect(page.get_by_role("listbox")).to_be_visible()
        await box.fill("zzzzqqqq")
        await expect(page.get_by_role("listbox")).to_contain_text("Nothing was found")
        await box.press("ArrowDown")
        await box.press("Enter")
        await page.wait_for_url("**/docs/search?q=zzzzqqqq")
        await expect(page.locator("main")).to_contain_text("Nothing was found")


async def test_sample_is_copied_as_shown_and_its_language_is_kept(
    browser: Browser, server: RunningServer
) -> None:
    allowed = ["clipboard-read", "clipboard-write"]
    async with visit(browser, server.url, permissions=allowed) as visitor:
        page = await visitor.open(CREDITS)
        await page.get_by_role("tab", name="Go", exact=True).click()
        sample = page.get_by_role("tabpanel").locator("pre").first
        shown = await sample.text_content()
        assert shown is not None
        assert f'"{server.url}/api/v1/credits"' in shown
        await sample.hover()
        copy = page.get_by_role("tabpanel").get_by_role("button", name="Copy").first
        await copy.click()
        await expect(page.get_by_role("button", name="Copied").first).to_be_visible()
        assert await page.evaluate("navigator.clipboard.readText()") == shown
        await visitor.open(CREATE_KEY)
        chosen = page.get_by_role("tab", name="Go", exact=True).first
        await expect(chosen).to_have_attribute("aria-selected", "true")


async def test_commands_are_copied_without_prompt_and_output(
    browser: Browser, server: RunningServer
) -> None:
    allowed = ["clipboard-read", "clipboard-write"]
    async with visit(browser, server.url, permissions=allowed) as visitor:
        page = await visitor.open("/docs/reference/cli")
        with_output = page.locator(".code", has=page.locator(".go"))
        shown = with_output.filter(has=page.locator(".gp")).first
        lines = (await shown.locator("pre").inner_text()).splitlines()
        await shown.hover()
        await shown.get_by_role("button", name="Copy").click()
        await expect(shown.get_by_role("button", name="Copied")).to_be_visible()
        copied = await page.evaluate("navigator.clipboard.readText()")
        commands = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        assert copied.splitlines() == commands
        assert len(lines) > len(commands) > 0


async def test_page_is_copied_as_markdown(browser: Browser, server: RunningServer) -> None:
    allowed = ["clipboard-read", "clipboard-write"]
    async with visit(browser, server.url, permissions=allowed) as visitor:
        page = await visitor.open(QUICKSTART)
        await page.get_by_role("link", name="Copy page as Markdown").click()
        await expect(page.get_by_role("link", name="Copied")).to_be_visible()
        copied = await page.evaluate("navigator.clipboard.readText()")
        answer = await page.request.get(f"{server.url}{QUICKSTART}.md")
        assert copied == await answer.text()


async def test_reference_is_complete_without_scripts(
    browser: Browser, server: RunningServer
) -> None:
    async with visit(browser, server.url, java_script_enabled=False) as visitor:
        page = await visitor.open(CREDITS)
        for name in ("Python", "JavaScript", "Go", "Ruby", "Java", "PHP", "C#", "Swift"):
            await expect(page.get_by_role("region", name=name, exact=True)).to_be_visible()
        await page.get_by_role("searchbox").fill("remaining credits")
        await page.keyboard.press("Enter")
        await page.get_by_role("link", name="Get remaining credits").last.click()
        await expect(page.locator("h1")).to_have_text("Get remaining credits")


async def test_first_tab_skips_to_the_content(browser: Browser, server: RunningServer) -> None:
    async with visit(browser, server.url) as visitor:
        page = await visitor.open(CREDITS)
        await page.keyboard.press("Tab")
        skip = page.get_by_role("link", name="Skip to the content")
        await expect(skip).to_be_focused()
        await expect(skip).to_be_in_viewport()
        await page.keyboard.press("Enter")
        await expect(page.locator("main")).to_be_focused()


async def test_menu_of_a_phone_leads_to_other_pages(
    browser: Browser, server: RunningServer
) -> None:
    for scripts in (True, False):
        context = {**VIEWS["phone"], "java_script_enabled": scripts}
        async with visit(browser, server.url, **context) as visitor:
            page = await visitor.open(CREDITS)
            pages = page.get_by_role("navigation", name="Pages", exact=True)
            await expect(pages).to_be_hidden()
            await page.get_by_role("link", name="Menu").click()
            await expect(pages).to_be_visible()
            await pages.get_by_role("link", name="Close").click()
            await expect(pages).to_be_hidden()
            await page.get_by_role("link", name="Menu").click()
            await pages.get_by_role("link", name="Quick start").click()
            await page.wait_for_url(f"**{QUICKSTART}")
            await expect(pages).to_be_hidden()


async def test_site_works_below_a_path_behind_a_proxy(browser: Browser, tmp_path: Path) -> None:
    async with reverse_proxy("/llm") as (url, targets):
        with running_server(tmp_path, MODELGATES_PUBLIC_URL=url) as server:
            targets.append(server.url)
            async with visit(browser, url) as visitor:
                page = await visitor.open(CREDITS)
                colour = "getComputedStyle(document.querySelector('.side [aria-current]')).color"
                assert await page.evaluate(colour) == "rgb(11, 107, 93)", "no style sheet"
                await page.get_by_role("tab", name="Ruby", exact=True).click()
                sample = page.get_by_role("tabpanel")
                await expect(sample).to_contain_text(f"{url}/api/v1/credits")
                await page.get_by_role("combobox").fill("quick start")
                await page.get_by_role("option").first.click()
                await page.wait_for_url(f"{url}/docs/**")
                await page.get_by_role("link", name="Introduction").first.click()
                await page.wait_for_url(f"{url}/docs")
                await page.get_by_role("combobox").fill("zzzzqqqq")
                await page.keyboard.press("Enter")
                await page.wait_for_url(f"{url}/docs/search?q=zzzzqqqq")


def test_server_exits_when_the_public_url_is_invalid(tmp_path: Path) -> None:
    ended = subprocess.run(
        [MODELGATES, "serve", "--port", "0"],
        cwd=tmp_path,
        env={"MODELGATES_PUBLIC_URL": "gateway.example", "MODELGATES_WORKERS": "2"},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("Error: MODELGATES_PUBLIC_URL must look like https://")
    assert ended.stderr.count("\n") == 1
