"""The API reference in a real browser: its columns, rows and errors, on wide and narrow screens."""

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Locator, Page, expect

from tests.e2e.browser import DESKTOP, PHONE, VIEWS, visit
from tests.server import RunningServer

REFERENCE = "/docs/api/api-reference"
CHAT = f"{REFERENCE}/inference/create-chat-completion"
CREDITS = f"{REFERENCE}/credits/get-credits"
CREATE_KEY = f"{REFERENCE}/api-keys/create-key"
MODELS = f"{REFERENCE}/models/list-models"
HEALTH = f"{REFERENCE}/server/get-health"
OVERVIEW = f"{REFERENCE}/overview"
OPERATIONS = (CHAT, CREDITS, CREATE_KEY, MODELS, HEALTH)
WIDTHS = (390, 768, 1200, 1920)
OVERFLOW = "document.documentElement.scrollWidth - innerWidth"


async def box(element: Locator) -> dict[str, float]:
    """The rectangle of an element in the viewport, with its right and bottom edges."""
    found = await element.bounding_box()
    assert found is not None
    x, y, width, height = found["x"], found["y"], found["width"], found["height"]
    return {"left": x, "top": y, "right": x + width, "bottom": y + height}


async def test_samples_and_response_are_in_the_first_view_and_stay_while_scrolling(
    browser: Browser, server: RunningServer
) -> None:
    async with visit(browser, server.url, viewport=DESKTOP) as visitor:
        page = await visitor.open(CHAT)
        sample = page.get_by_role("tabpanel").locator("pre")
        response = page.locator(".panel .shown[open] pre")
        before, title = await box(sample), await box(page.locator("h1"))
        assert before["bottom"] < DESKTOP["height"]
        assert (await box(response))["top"] < DESKTOP["height"] * 3 / 4
        assert title["right"] < before["left"], "the samples are not next to the text"
        for target in ("#request-body", "#errors"):
            await page.locator(target).evaluate("each => each.scrollIntoView()")
            text, panel = await box(page.locator(target)), await box(page.locator(".pinned"))
            assert 60 <= panel["top"] < 120, "the samples do not stay"
            assert panel["bottom"] <= DESKTOP["height"]
            assert text["right"] < panel["left"]


async def test_samples_come_before_the_parameters_in_one_column(
    browser: Browser, server: RunningServer
) -> None:
    for width in (390, 768, 1199):
        viewport = {"width": width, "height": 900}
        async with visit(browser, server.url, viewport=viewport) as visitor:
            page = await visitor.open(CHAT)
            line, panel = await box(page.locator(".endpoint")), await box(page.locator(".panel"))
            body = await box(page.locator("#request-body"))
            assert line["bottom"] < panel["top"] < 900
            assert panel["bottom"] < body["top"]
            assert (await box(page.get_by_role("tablist")))["top"] < 900


@pytest.mark.parametrize("width", WIDTHS)
async def test_no_page_of_the_reference_scrolls_sideways_with_everything_unfolded(
    browser: Browser, server: RunningServer, width: int
) -> None:
    async with visit(browser, server.url, viewport={"width": width, "height": 844}) as visitor:
        for path in (*OPERATIONS, OVERVIEW):
            page = await visitor.open(path)
            assert await page.evaluate(OVERFLOW) <= 0, path
            await unfold(page)
            assert await page.evaluate(OVERFLOW) <= 0, f"{path} unfolded"
            # A long example line wraps; nothing has to be scrolled sideways to be read.
            wide = "each => each.filter(pre => pre.scrollWidth > pre.clientWidth + 1).length"
            assert await page.locator(".operation pre").evaluate_all(wide) == 0 or path == OVERVIEW


async def unfold(page: Page) -> None:
    opened = "each => each.forEach(details => { details.open = true; })"
    await page.locator("main details").evaluate_all(opened)


async def test_curl_comes_first_and_a_chosen_language_is_remembered(
    browser: Browser, server: RunningServer
) -> None:
    async with visit(browser, server.url) as visitor:
        page = await visitor.open(CREDITS)
        first = page.get_by_role("tab").first
        await expect(first).to_have_text("cURL")
        await expect(first).to_have_attribute("aria-selected", "true")
        await expect(page.get_by_role("tabpanel")).to_contain_text("$MODELGATES_API_KEY")
        await page.get_by_role("tab", name="JavaScript").click()
        page = await visitor.open(CHAT)
        chosen = page.get_by_role("tab", name="JavaScript")
        await expect(chosen).to_have_attribute("aria-selected", "true")
        await expect(page.get_by_role("tabpanel")).to_contain_text("process.env.MODELGATES_API_KEY")


async def test_errors_are_one_line_each_and_unfold_by_keyboard(
    browser: Browser, server: RunningServer
) -> None:
    async with visit(browser, server.url, viewport=DESKTOP) as visitor:
        page = await visitor.open(CHAT)
        rows = page.locator(".error")
        heights = "each => each.map(row => row.getBoundingClientRect().height)"
        measured = sorted(await rows.evaluate_all(heights))
        assert len(measured) > 25
        assert measured[len(measured) // 2] < 45
        assert measured[-1] < 75
        row = page.locator("#error-402-in_flight")
        remedy = row.locator(".remedy")
        await expect(remedy).to_be_hidden()
        await row.locator("summary").focus()
        await page.keyboard.press("Enter")
        await expect(remedy).to_be_visible()
        await expect(row.locator("pre")).to_contain_text("in_flight_budget_exhausted")


async def test_fields_inside_fields_unfold_without_javascript(
    browser: Browser, server: RunningServer
) -> None:
    context = {"viewport": PHONE, "java_script_enabled": False}
    async with visit(browser, server.url, **context) as visitor:
        page = await visitor.open(CHAT)
        rows = page.locator(".member:visible")
        await expect(rows.filter(has_text="messages").first).to_contain_text("required")
        await expect(rows.filter(has_text="role")).to_have_count(1)
        tool = page.locator("li", has=page.locator(".member", has_text="tools")).last
        await expect(tool.get_by_text("JSON Schema of the arguments")).to_be_hidden()
        await tool.locator("summary").first.click()
        await tool.locator("summary").last.click()
        await expect(tool.get_by_text("JSON Schema of the arguments")).to_be_visible()
        await expect(page.get_by_role("region", name="cURL", exact=True)).to_be_visible()


async def test_link_of_the_overview_opens_the_row_of_the_error(
    browser: Browser, server: RunningServer
) -> None:
    async with visit(browser, server.url) as visitor:
        page = await visitor.open(OVERVIEW)
        target = f"a[href$='{CHAT}#error-402-max_cost']"
        await page.locator(target).click()
        await page.wait_for_url(f"**{CHAT}#error-402-max_cost")
        row = page.locator("#error-402-max_cost")
        await expect(row).to_have_attribute("open", "")
        await expect(row.locator("summary")).to_be_in_viewport()
        await expect(row.locator(".message")).to_contain_text("X-ModelGates-Max-Cost")


async def test_on_paper_everything_is_unfolded_in_one_column(
    browser: Browser, server: RunningServer
) -> None:
    async with visit(browser, server.url, **VIEWS["dark"]) as visitor:
        page = await visitor.open(CHAT)
        await page.emulate_media(media="print")
        line, panel = await box(page.locator(".endpoint")), await box(page.locator(".panel"))
        assert line["bottom"] < panel["top"]
        await expect(page.locator(".pinned")).to_have_css("position", "static")
        for part in (
            page.locator("#error-402-in_flight .remedy"),
            page.locator(".panel .shown pre").last,
            page.get_by_text("JSON Schema of the arguments"),
        ):
            assert (await box(part))["bottom"] > (await box(part))["top"]
            await expect(part).to_be_visible()
        await expect(page.locator("form.tryit")).to_be_hidden()
        await expect(page.locator(".jumps")).to_be_hidden()


@pytest.mark.parametrize("view", VIEWS)
async def test_unfolded_pages_have_no_accessibility_violations(
    view: str, browser: Browser, server: RunningServer, subtests: pytest.Subtests
) -> None:
    async with visit(browser, server.url, **VIEWS[view]) as visitor:
        for path in (CHAT, CREATE_KEY, OVERVIEW):
            with subtests.test(path):
                page = await visitor.open(path)
                await unfold(page)
                violations = (await Axe().run(page)).response["violations"]
                assert [(each["id"], each["nodes"][0]["html"]) for each in violations] == []
