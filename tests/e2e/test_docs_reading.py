"""The comforts of the documentation in a real browser: theme, phone, paper, search, front page."""

import re

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from tests.deadlines import DEADLINE_MS
from tests.e2e.browser import VIEWS, visit
from tests.server import RunningServer

CREDITS = "/docs/api/api-reference/credits/get-credits"
GUIDE = "/docs/guides/credits/credits-usage-and-holds"
LIMITS = "/docs/guides/limits"
DARK, LIGHT = "rgb(14, 19, 18)", "rgb(255, 255, 255)"
GROUND = "getComputedStyle(document.body).backgroundColor"
WIDTHS = (1440, 1200, 768, 390)
WIDER = "document.documentElement.scrollWidth - innerWidth"


async def test_theme_that_was_chosen_is_kept_and_system_gives_it_back(
    browser: Browser, server: RunningServer
) -> None:
    async with visit(browser, server.url, **VIEWS["light"]) as visitor:
        page = await visitor.open(GUIDE)
        header = page.get_by_role("banner")
        system, dark = (
            header.get_by_role("button", name=f"{name} theme") for name in ("System", "Dark")
        )
        await expect(system).to_have_attribute("aria-pressed", "true")
        await dark.click()
        await expect(dark).to_have_attribute("aria-pressed", "true")
        await expect(system).to_have_attribute("aria-pressed", "false")
        assert await page.evaluate(GROUND) == DARK
        await visitor.open(LIMITS)
        assert await page.evaluate(GROUND) == DARK
        await page.get_by_role("banner").get_by_role("button", name="System theme").click()
        assert await page.evaluate(GROUND) == LIGHT
        await page.emulate_media(color_scheme="dark")
        assert await page.evaluate(GROUND) == DARK
        await page.get_by_role("banner").get_by_role("button", name="Light theme").click()
        assert await page.evaluate(GROUND) == LIGHT


async def test_theme_never_flashes(browser: Browser, server: RunningServer) -> None:
    async with visit(browser, server.url, **VIEWS["light"]) as visitor:
        page = await visitor.open(GUIDE)
        await page.get_by_role("banner").get_by_role("button", name="Dark theme").click()
        # The body's first moment: nothing has been painted, and scripts with `defer` have not run.
        await page.add_init_script("""
            new MutationObserver((_, observer) => {
                if (!document.body) return;
                window.first = getComputedStyle(document.body).backgroundColor;
                observer.disconnect();
            }).observe(document, { childList: true, subtree: true });
        """)
        await visitor.open(LIMITS)
        assert await page.evaluate("window.first") == DARK


async def test_theme_follows_the_system_without_scripts(
    browser: Browser, server: RunningServer
) -> None:
    for view, ground in (("light", LIGHT), ("dark", DARK)):
        context = {**VIEWS[view], "java_script_enabled": False}
        async with visit(browser, server.url, **context) as visitor:
            page = await visitor.open(GUIDE)
            await expect(page.locator("body")).to_have_css("background-color", ground)
            await expect(page.locator(".theme").first).to_be_hidden()
            await expect(page.get_by_role("button", name="Dark theme")).to_have_count(0)


async def test_browser_at_the_root_sees_the_product_at_once(
    browser: Browser, server: RunningServer
) -> None:
    async with visit(browser, server.url, **VIEWS["light"]) as visitor:
        page = await visitor.open("/")
        assert page.url == f"{server.url}/docs"
        main = page.get_by_role("main")
        await expect(main.locator(".front > ul").first.get_by_role("link")).to_have_count(3)
        for name in ("Quick start", "API reference"):
            await expect(main.get_by_role("link", name=name, exact=True).first).to_be_in_viewport()
        for shown in ('"cost": 0.00001', '"total_credits": 100.5', '"total_usage": 25.75001'):
            await expect(main.get_by_text(shown)).to_be_in_viewport(ratio=1)
        last = main.get_by_role("link", name="Run the gateway")
        await expect(last).to_be_in_viewport(ratio=1)
        # A whole card leads to its page.
        await main.get_by_text("Deploy it with one database file").click()
        await page.wait_for_url("**/docs/guides/deploying")


async def test_header_leads_to_the_reference_from_every_page(
    browser: Browser, server: RunningServer
) -> None:
    async with visit(browser, server.url) as visitor:
        for path in (GUIDE, CREDITS, "/docs/search?q=hold"):
            page = await visitor.open(path)
            header = page.get_by_role("banner")
            await expect(header.get_by_text(re.compile(r"^v\d+\.\d+\.\d+"))).to_be_visible()
            await header.get_by_role("link", name="API reference").click()
            await page.wait_for_url("**/docs/api/api-reference/overview")


@pytest.mark.parametrize("width", WIDTHS)
async def test_long_lines_wrap_and_output_scrolls_in_its_box(
    width: int, browser: Browser, server: RunningServer
) -> None:
    context = {"viewport": {"width": width, "height": 900}}
    async with visit(browser, server.url, **context) as visitor:
        for path in ("/docs", GUIDE, "/docs/guides/clients"):
            page = await visitor.open(path)
            assert await page.evaluate(WIDER) <= 0
            cut = """[...document.querySelectorAll("main pre")].filter((pre) =>
                pre.scrollWidth > pre.clientWidth && !pre.matches(".plain, :has(> .aligned)"))"""
            assert await page.evaluate(f"{cut}.length") == 0
        await visitor.open(GUIDE)
        scrolling = page.locator(".code", has=page.locator("code.aligned")).first
        await scrolling.locator("pre").evaluate("(pre) => { pre.scrollLeft = 9999; }")
        await scrolling.hover()
        await expect(scrolling.get_by_role("button", name="Copy")).to_be_in_viewport(ratio=1)


async def test_tables_are_lists_on_a_phone(browser: Browser, server: RunningServer) -> None:
    async with visit(browser, server.url, **VIEWS["phone"]) as visitor:
        page = await visitor.open(LIMITS)
        await expect(page.locator("main thead").first).to_be_hidden()
        row = page.locator("main tbody tr").first
        cells = await row.locator("td").all()
        label = "(cell) => getComputedStyle(cell, '::before').content"
        assert await cells[0].evaluate(label) == '"limit: "'
        boxes = [await cell.bounding_box() for cell in cells]
        tops = [box["y"] for box in boxes if box]
        assert tops == sorted(set(tops)), "one below the other"
        overflow = (
            "[...document.querySelectorAll('.table')].some((t) => t.scrollWidth > t.clientWidth)"
        )
        assert not await page.evaluate(overflow)


async def serious_violations(page: Page) -> list[str]:
    """Ids of the accessibility rules that the page breaks."""
    violations = (await Axe().run(page)).response["violations"]
    return [each["id"] for each in violations if each["impact"] in {"serious", "critical"}]


async def opened_menu(page: Page) -> None:
    await page.get_by_role("link", name="Menu").click()
    await expect(page.locator("#navigation")).to_be_visible()


async def test_menu_of_a_phone_is_a_drawer(browser: Browser, server: RunningServer) -> None:
    async with visit(browser, server.url, **VIEWS["phone"]) as visitor:
        page = await visitor.open(LIMITS)
        drawer = page.locator("#navigation")
        await opened_menu(page)
        assert await serious_violations(page) == []
        await expect(drawer).to_be_focused()
        await expect(drawer.get_by_role("link", name="API reference")).to_be_visible()
        assert await page.locator("main").evaluate("(main) => main.inert")
        for _ in range(60):
            await page.keyboard.press("Tab")
            outside = "document.activeElement.closest('main, header.top') !== null"
            assert not await page.evaluate(outside)
        await page.keyboard.press("Escape")
        await expect(drawer).to_be_hidden()
        assert not await page.locator("main").evaluate("(main) => main.inert")
        await opened_menu(page)
        await page.mouse.click(375, 500)
        await expect(drawer).to_be_hidden()
        await opened_menu(page)
        await drawer.get_by_role("button", name="Dark theme").click()
        assert await page.evaluate(GROUND) == DARK
        await expect(drawer).to_be_visible()


@pytest.mark.parametrize("scripts", [True, False])
async def test_paper_has_everything_and_no_navigation(
    scripts: bool, browser: Browser, server: RunningServer
) -> None:
    context = {**VIEWS["dark"], "java_script_enabled": scripts}
    async with visit(browser, server.url, **context) as visitor:
        page = await visitor.open(CREDITS)
        folded = page.locator("main details:not([open]) > :not(summary)").first
        await expect(folded).to_be_hidden()
        await page.emulate_media(media="print")
        await expect(folded).to_be_visible()
        for hidden in ("header.top", "#navigation", ".neighbours", ".twin", "nav.contents"):
            await expect(page.locator(hidden)).to_be_hidden()
        await expect(page.locator("body")).to_have_css("background-color", LIGHT)
        await expect(page.locator("main pre").first).to_have_css("break-inside", "avoid")
        await expect(page.locator("main pre").first).to_have_css(
            "padding-left", re.compile("1[0-9]")
        )
        await page.emulate_media(media="screen")
        await expect(folded).to_be_hidden()


async def test_paper_is_light_whatever_theme_was_chosen(
    browser: Browser, server: RunningServer
) -> None:
    async with visit(browser, server.url, **VIEWS["light"]) as visitor:
        page = await visitor.open(GUIDE)
        await page.get_by_role("banner").get_by_role("button", name="Dark theme").click()
        await page.emulate_media(media="print")
        await expect(page.locator("body")).to_have_css("background-color", LIGHT)


async def test_suggestions_are_grouped_and_their_titles_are_not_chosen(
    browser: Browser, server: RunningServer
) -> None:
    async with visit(browser, server.url) as visitor:
        page = await visitor.open("/docs")
        await page.keyboard.press("/")
        await page.keyboard.type("revoke")
        found = page.get_by_role("listbox")
        await expect(found.locator(".group")).to_contain_text(["Guides", "API reference"])
        options = found.get_by_role("option")
        await expect(options.first).to_contain_text("Authentication and keys")
        await expect(options.first.locator(".trail")).to_have_text("Start")
        assert await serious_violations(page) == []
        for _ in range(await options.count()):
            await expect(found.locator('[aria-selected="true"][role="option"]')).to_have_count(1)
            await page.keyboard.press("ArrowDown")
        await expect(options.first).to_have_attribute("aria-selected", "true")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/docs/guides/overview/auth/management-api-keys**")


@pytest.mark.parametrize("scripts", [True, False])
async def test_search_without_results_leads_on(
    scripts: bool, browser: Browser, server: RunningServer
) -> None:
    async with visit(browser, server.url, java_script_enabled=scripts) as visitor:
        page = await visitor.open("/docs/search?q=zzzzqqqq")
        main = page.get_by_role("main")
        await expect(main.get_by_role("link", name="Quick start")).to_be_visible()
        await main.get_by_role("link", name="top up").click()
        await page.wait_for_url("**/docs/search?q=top%20up", timeout=DEADLINE_MS)
        await expect(main.get_by_role("link").first).to_contain_text("credits grant")
        await expect(main.get_by_role("heading", name="Guides")).to_be_visible()


async def test_decisions_are_folded_in_the_navigation(
    browser: Browser, server: RunningServer
) -> None:
    async with visit(browser, server.url) as visitor:
        page = await visitor.open(GUIDE)
        links = page.locator("#navigation a[href*='/decisions/']")
        await expect(links.first).to_be_hidden()
        await page.locator("#navigation summary", has_text="Decisions").click()
        await expect(links.first).to_be_visible()


async def test_focus_is_visible_on_everything_the_keyboard_reaches(
    browser: Browser, server: RunningServer
) -> None:
    async with visit(browser, server.url) as visitor:
        page = await visitor.open("/docs")
        for _ in range(45):
            await page.keyboard.press("Tab")
            outline = "getComputedStyle(document.activeElement).outlineStyle"
            assert await page.evaluate(outline) != "none", await page.evaluate(
                "document.activeElement.outerHTML"
            )
