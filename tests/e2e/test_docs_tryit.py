"""The form "Try it" of the reference, in a real browser against the real server."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.e2e.browser import VIEWS, Visit, opened_browser, visit
from tests.server import Customer, RunningServer, open_customer, running_server

REFERENCE = "/docs/api/api-reference"
CREDITS = f"{REFERENCE}/credits/get-credits"
CREATE_KEY = f"{REFERENCE}/api-keys/create-key"
CHAT = f"{REFERENCE}/inference/create-chat-completion"
ENDPOINTS = f"{REFERENCE}/models/list-model-endpoints"
KEPT = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, history.state])"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    # Who stops a stream leaves it: the server would wait for its usage.
    folder = tmp_path_factory.mktemp("server")
    with running_server(folder, MODELGATES_DRAIN_S="0") as running:
        yield running


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with opened_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
async def acme(server: RunningServer) -> Customer:
    return await open_customer(server.database_path)


async def send(page: Page, **fields: str) -> None:
    """Fill in fields by their labels and send the form."""
    for label, value in fields.items():
        await page.get_by_label(label.replace("_", " ")).first.fill(value)
    await page.get_by_role("button", name="Send").click()


async def said(page: Page, start: str) -> None:
    await expect(page.get_by_role("status")).to_contain_text(start)


async def shown(page: Page) -> str:
    return await page.get_by_role("region", name="Body of the answer").inner_text()


def only_loaded(visitor: Visit, status: int) -> None:
    """A browser writes each refusal to its console; nothing else was there."""
    assert [str(status) in text for text in visitor.complaints] == [True]
    visitor.complaints.clear()


def chaos(**wanted: Any) -> str:
    return json.dumps(
        {
            "model": "sandbox/chaos",
            "stream": True,
            "messages": [{"role": "user", "content": json.dumps(wanted)}],
        }
    )


async def test_a_key_answers_and_is_kept_nowhere(
    browser: Browser, server: RunningServer, acme: Customer
) -> None:
    async with visit(browser, server.url, **VIEWS["phone"]) as visitor:
        page = await visitor.open(CREDITS)
        key = page.get_by_label("Management or viewer key")
        # A browser offers to keep what is a password. This looks like one, and is none.
        await expect(key).to_have_attribute("type", "text")
        await expect(key).to_have_css("-webkit-text-security", "disc")
        await send(page, Management_or_viewer_key=acme.viewer)
        await said(page, "200 OK after")
        assert json.loads(await shown(page))["data"] == {"total_credits": 100, "total_usage": 0}
        await expect(page.locator("[data-headers]")).to_contain_text("x-request-id")
        assert page.url == f"{server.url}{CREDITS}"
        assert acme.viewer not in await page.evaluate(KEPT)
        await expect(key).to_have_value(acme.viewer)
        # What a browser keeps for the way back is kept as it is after this.
        await page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide'))")
        await expect(key).to_have_value("")


async def test_a_header_of_the_form_changes_the_answer(
    browser: Browser, server: RunningServer, acme: Customer
) -> None:
    async with visit(browser, server.url) as visitor:
        page = await visitor.open(CREDITS)
        await page.locator("form.tryit summary").click()
        await page.get_by_label("X-ModelGates-Metadata").fill("enabled")
        await send(page, Management_or_viewer_key=acme.management)
        await said(page, "200 OK after")
        assert json.loads(await shown(page))["modelgates_metadata"]["balance"] == "100"


async def test_amounts_are_shown_digit_by_digit_and_texts_as_texts(
    browser: Browser, server: RunningServer, acme: Customer
) -> None:
    name = '<img src="x" onerror="document.title = 1">'
    body = json.dumps({"name": name, "limit": 0}).replace(": 0", ": 1234567.123456789012")
    async with visit(browser, server.url) as visitor:
        page = await visitor.open(CREATE_KEY)
        await send(page, Management_key=acme.management, Body=body)
        await said(page, "201 Created after")
        text = await shown(page)
        assert '\n    "limit": 1234567.123456789012,\n' in text
        assert json.loads(text)["data"]["name"] == name
        assert await page.locator("form.tryit img").count() == 0


async def test_an_example_is_chosen_into_the_body(browser: Browser, server: RunningServer) -> None:
    async with visit(browser, server.url) as visitor:
        page = await visitor.open(CREATE_KEY)
        body = page.get_by_label("Body").first
        assert json.loads(await body.input_value()) == {"name": "nightly evaluation"}
        chosen = "A key for a dashboard, which can only read"
        await page.get_by_label("Example", exact=True).select_option(chosen)
        assert json.loads(await body.input_value())["kind"] == "viewer"


async def test_a_stream_is_shown_as_it_comes_and_can_be_stopped(
    browser: Browser, server: RunningServer, acme: Customer
) -> None:
    async with visit(browser, server.url) as visitor:
        page = await visitor.open(CHAT)
        stop = page.get_by_role("button", name="Stop")
        await send(page, Inference_key=acme.inference, Body=chaos(say="first " * 40, chunk_ms=1500))
        region = page.get_by_role("region", name="Body of the answer")
        await expect(region).to_contain_text("first")
        await said(page, "200 OK, began after")
        await expect(page.locator("[data-headers]")).to_contain_text("x-generation-id")
        await stop.click()
        await said(page, "Stopped after")
        await expect(region).to_contain_text("first")
        await expect(region).not_to_contain_text("[DONE]")
        await expect(stop).to_be_hidden()
        await expect(page.get_by_role("button", name="Send")).to_be_focused()
        await send(page, Inference_key=acme.inference, Body=chaos(say="whole"))
        await said(page, "200 OK after")
        await expect(region).to_contain_text("data: [DONE]")
        await expect(region).not_to_contain_text("first")


async def test_a_refusal_is_told_with_its_status_and_headers(
    browser: Browser, server: RunningServer, acme: Customer
) -> None:
    async with visit(browser, server.url) as visitor:
        page = await visitor.open(CREDITS)
        await send(page, Management_or_viewer_key=acme.inference)
        await said(page, "403 Forbidden after")
        await expect(page.get_by_role("status")).to_have_attribute("data-state", "bad")
        await expect(page.locator("[data-headers]")).to_contain_text("insufficient_scope")
        assert json.loads(await shown(page))["error"]["code"] == 403
        only_loaded(visitor, 403)


async def test_what_cannot_be_sent_is_told_at_its_field_and_not_sent(
    browser: Browser, server: RunningServer, acme: Customer
) -> None:
    async with visit(browser, server.url) as visitor:
        page = await visitor.open(CHAT)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await page.get_by_role("button", name="Send").click()
        await expect(page.get_by_label("Inference key")).to_be_focused()
        await send(page, Inference_key=acme.inference, Body="{model: 1}")
        await said(page, "The body is not JSON: ")
        body = page.get_by_label("Body").first
        await expect(body).to_be_focused()
        await expect(body).to_have_attribute("aria-invalid", "true")
        await page.locator("form.tryit summary").click()
        await page.get_by_label("X-Title").fill("漢")
        await page.locator("form.tryit summary").click()
        await send(page, Inference_key=acme.inference, Body=chaos(say="x"))
        await said(page, "X-Title has a character that no header can carry.")
        await expect(page.get_by_label("X-Title")).to_be_focused()
        await expect(body).not_to_have_attribute("aria-invalid", "true")
        await visitor.open(ENDPOINTS)
        asked.clear()
        await send(page, author="sandbox", slug="..")
        await said(page, "slug cannot be .. in an address.")
        await send(page, author=" ", slug="echo")
        await said(page, "author is needed.")
        await expect(page.get_by_label("author")).to_be_focused()
        await visitor.open(CREDITS)
        asked.clear()
        await send(page, Management_or_viewer_key="  ")
        await said(page, "A key is needed.")
        assert asked == []


async def test_a_parameter_of_the_path_is_put_into_the_address(
    browser: Browser, server: RunningServer
) -> None:
    async with visit(browser, server.url) as visitor:
        page = await visitor.open(ENDPOINTS)
        await send(page, author="sandbox", slug="echo")
        await said(page, "200 OK after")
        assert json.loads(await shown(page))["data"]["id"] == "sandbox/echo"
        async with page.expect_request("**/models/sandbox/a%2Fb%3Fc%23d%25/endpoints"):
            await send(page, author="sandbox", slug="a/b?c#d%")
        await said(page, "404 Not Found after")
        only_loaded(visitor, 404)


async def test_a_server_that_is_away_is_told(
    browser: Browser, server: RunningServer, acme: Customer
) -> None:
    async with visit(browser, server.url) as visitor:
        page = await visitor.open(CREDITS)
        await page.context.set_offline(offline=True)
        await send(page, Management_or_viewer_key=acme.viewer)
        await said(page, "No answer: the server cannot be reached")
        await expect(page.get_by_role("button", name="Stop")).to_be_hidden()
        visitor.complaints.clear()
        await page.context.set_offline(offline=False)
        await send(page, Management_or_viewer_key=acme.viewer)
        await said(page, "200 OK after")


async def test_without_a_script_there_is_no_form_that_could_leak_a_key(
    browser: Browser, server: RunningServer
) -> None:
    async with visit(browser, server.url, java_script_enabled=False) as visitor:
        page = await visitor.open(CREDITS)
        await expect(page.locator("form.tryit")).to_be_hidden()
        await expect(page.get_by_text("The form needs JavaScript")).to_be_visible()
