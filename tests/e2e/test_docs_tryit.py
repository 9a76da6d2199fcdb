"""The form "Try it" of the reference, in a real browser against the real server."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.e2e.browser import VIEWS, Visit, visit
from tests.server import Customer, RunningServer, open_customer, running_server

REFERENCE = "/docs/api/api-reference"
CREDITS = f"{REFERENCE}/credits/get-credits"
CREATE_KEY = f"{REFERENCE}/api-keys/create-key"
CHAT = f"{REFERENCE}/inference/create-chat-completion"
ENDPOINTS = f"{REFERENCE}/models/list-model-endpoints"
KEPT = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, history.state])"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    # A client that stops a stream leaves it running: the server would wait for its usage.
    folder = tmp_path_factory.mktemp("server")
    with running_server(folder, MODELGATES_DRAIN_S="0") as running:
        yield running


@pytest.fixture(scope="module")
async def acme(server: RunningServer) -> Customer:
    return await open_customer(server.database_path)


async def send(page: Page, **fields: str) -> None:
    """Fill in fields by their labels and send the form."""
    for label, value in fields.items():
        await page.get_by_label(label.replace("_", " ")).first.fill(value)
    await page.get_by_role("button", name="Send").click()


async def outcome(page: Page, start: str) -> None:
    await expect(page.get_by_role("status")).to_contain_text(start)


async def shown(page: Page) -> str:
    return await page.get_by_role("region", name="Body of the response").inner_text()


def only_loaded(visitor: Visit, status: int) -> None:
    """A browser writes each error status to its console; there is no other complaint."""
    assert [str(status) in text for text in visitor.complaints] == [True]
    visitor.complaints.clear()


def chaos(**behavior: Any) -> str:
    return json.dumps(
        {
            "model": "sandbox/chaos",
            "stream": True,
            "messages": [{"role": "user", "content": json.dumps(behavior)}],
        }
    )


async def test_key_is_sent_and_stored_nowhere(
    browser: Browser, server: RunningServer, acme: Customer
) -> None:
    async with visit(browser, server.url, **VIEWS["phone"]) as visitor:
        page = await visitor.open(CREDITS)
        key = page.get_by_label("Management or viewer key")
        # A browser offers to save a password, so that the field only looks like one.
        await expect(key).to_have_attribute("type", "text")
        await expect(key).to_have_css("-webkit-text-security", "disc")
        await send(page, Management_or_viewer_key=acme.viewer)
        await outcome(page, "200 OK after")
        assert json.loads(await shown(page))["data"] == {"total_credits": 100, "total_usage": 0}
        await expect(page.locator("[data-headers]")).to_contain_text("x-request-id")
        assert page.url == f"{server.url}{CREDITS}"
        assert acme.viewer not in await page.evaluate(KEPT)
        await expect(key).to_have_value(acme.viewer)
        # A browser keeps the page for its back button in the state after this event.
        await page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide'))")
        await expect(key).to_have_value("")


@pytest.mark.parametrize("fragment", ["%", "%E0%A4%A", "no-such-row"])
async def test_form_is_shown_when_the_fragment_of_the_url_names_nothing(
    browser: Browser, server: RunningServer, fragment: str
) -> None:
    async with visit(browser, server.url) as visitor:
        page = await visitor.open(f"{CREDITS}#{fragment}")
        await expect(page.locator("form.tryit")).to_be_visible()


async def test_header_of_the_form_changes_the_response(
    browser: Browser, server: RunningServer, acme: Customer
) -> None:
    async with visit(browser, server.url) as visitor:
        page = await visitor.open(CREDITS)
        await page.locator("form.tryit summary").click()
        await page.get_by_label("X-ModelGates-Metadata").fill("enabled")
        await send(page, Management_or_viewer_key=acme.management)
        await outcome(page, "200 OK after")
        assert json.loads(await shown(page))["modelgates_metadata"]["balance"] == "100"


async def test_amounts_keep_all_digits_and_markup_stays_text(
    browser: Browser, server: RunningServer, acme: Customer
) -> None:
    name = '<img src="x" onerror="document.title = 1">'
    body = json.dumps({"name": name, "limit": 0}).replace(": 0", ": 1234567.123456789012")
    async with visit(browser, server.url) as visitor:
        page = await visitor.open(CREATE_KEY)
        await send(page, Management_key=acme.management, Body=body)
        await outcome(page, "201 Created after")
        text = await shown(page)
        assert '\n    "limit": 1234567.123456789012,\n' in text
        assert json.loads(text)["data"]["name"] == name
        assert await page.locator("form.tryit img").count() == 0


async def test_chosen_example_becomes_the_body(browser: Browser, server: RunningServer) -> None:
    async with visit(browser, server.url) as visitor:
        page = await visitor.open(CREATE_KEY)
        body = page.get_by_label("Body").first
        assert json.loads(await body.input_value()) == {"name": "nightly evaluation"}
        chosen = "A key for a dashboard, which can only read"
        await page.get_by_label("Example", exact=True).select_option(chosen)
        assert json.loads(await body.input_value())["kind"] == "viewer"


async def test_stream_is_shown_as_it_arrives_and_can_be_stopped(
    browser: Browser, server: RunningServer, acme: Customer
) -> None:
    async with visit(browser, server.url) as visitor:
        page = await visitor.open(CHAT)
        stop = page.get_by_role("button", name="Stop")
        await send(page, Inference_key=acme.inference, Body=chaos(say="first " * 40, chunk_ms=1500))
        region = page.get_by_role("region", name="Body of the response")
        await expect(region).to_contain_text("first")
        await outcome(page, "200 OK, started after")
        await expect(page.locator("[data-headers]")).to_contain_text("x-generation-id")
        await stop.click()
        await outcome(page, "Stopped after")
        await expect(region).to_contain_text("first")
        await expect(region).not_to_contain_text("[DONE]")
        await expect(stop).to_be_hidden()
        await expect(page.get_by_role("button", name="Send")).to_be_focused()
        await send(page, Inference_key=acme.inference, Body=chaos(say="whole"))
        await outcome(page, "200 OK after")
        await expect(region).to_contain_text("data: [DONE]")
        await expect(region).not_to_contain_text("first")


async def test_error_is_shown_with_status_and_headers_and_links_to_its_row(
    browser: Browser, server: RunningServer, acme: Customer
) -> None:
    async with visit(browser, server.url) as visitor:
        page = await visitor.open(CREDITS)
        await send(page, Management_or_viewer_key=acme.inference)
        await outcome(page, "403 Forbidden after")
        await expect(page.get_by_role("status")).to_have_attribute("data-state", "bad")
        await expect(page.locator("[data-headers]")).to_contain_text("insufficient_scope")
        assert json.loads(await shown(page))["error"]["code"] == 403
        row = page.locator("#error-403-wrong_kind")
        await expect(row).not_to_have_attribute("open", "")
        await page.locator("[data-cause] a").click()
        await expect(row).to_have_attribute("open", "")
        await expect(row.locator("summary")).to_be_in_viewport()
        only_loaded(visitor, 403)


@pytest.mark.parametrize(
    ("body", "status", "row"),
    [
        ({"model": "sandbox/nothing"}, 400, "#error-400-model"),
        ({"model": "sandbox/chaos", "content": {"status": 429}}, 429, "#error-429-limited"),
    ],
)
async def test_cause_of_a_rejected_call_links_to_the_matching_row(
    browser: Browser,
    server: RunningServer,
    acme: Customer,
    body: dict[str, Any],
    status: int,
    row: str,
) -> None:
    content = json.dumps(body.pop("content", "Hello"))
    body["messages"] = [{"role": "user", "content": content}]
    async with visit(browser, server.url) as visitor:
        page = await visitor.open(CHAT)
        await send(page, Inference_key=acme.inference, Body=json.dumps(body))
        await outcome(page, f"{status} ")
        await expect(page.locator("[data-cause] a")).to_have_attribute("href", row)
        only_loaded(visitor, status)
        await send(page, Body=chaos(say="Hello"))
        await outcome(page, "200 OK after")
        await expect(page.locator("[data-cause]")).to_be_hidden()


async def test_invalid_field_is_named_and_focused_and_nothing_is_sent(
    browser: Browser, server: RunningServer, acme: Customer
) -> None:
    async with visit(browser, server.url) as visitor:
        page = await visitor.open(CHAT)
        sent: list[str] = []
        page.on("request", lambda request: sent.append(request.url))
        await page.get_by_role("button", name="Send").click()
        await expect(page.get_by_label("Inference key")).to_be_focused()
        await send(page, Inference_key=acme.inference, Body="{model: 1}")
        await outcome(page, "The body is not JSON: ")
        body = page.get_by_label("Body").first
        await expect(body).to_be_focused()
        await expect(body).to_have_attribute("aria-invalid", "true")
        await page.locator("form.tryit summary").click()
        await page.get_by_label("X-Title").fill("漢")
        await page.locator("form.tryit summary").click()
        await send(page, Inference_key=acme.inference, Body=chaos(say="x"))
        await outcome(page, "X-Title has a character that a header cannot have.")
        await expect(page.get_by_label("X-Title")).to_be_focused()
        await expect(body).not_to_have_attribute("aria-invalid", "true")
        await visitor.open(ENDPOINTS)
        sent.clear()
        await send(page, author="sandbox", slug="..")
        await outcome(page, "slug cannot be .. in a path.")
        await send(page, author=" ", slug="echo")
        await outcome(page, "author is required.")
        await expect(page.get_by_label("author")).to_be_focused()
        await visitor.open(CREDITS)
        sent.clear()
        await send(page, Management_or_viewer_key="  ")
        await outcome(page, "A key is required.")
        assert sent == []


async def test_missing_credits_link_to_the_row_with_the_same_reason(
    browser: Browser, server: RunningServer
) -> None:
    penniless = await open_customer(server.database_path, credits_pico=0)
    async with visit(browser, server.url) as visitor:
        page = await visitor.open(CHAT)
        await send(page, Inference_key=penniless.inference)
        await outcome(page, "402 ")
        link = page.locator("[data-cause] a")
        await expect(link).to_have_attribute("href", "#error-402-never_purchased")
        only_loaded(visitor, 402)


async def test_path_parameter_is_put_into_the_url(browser: Browser, server: RunningServer) -> None:
    async with visit(browser, server.url) as visitor:
        page = await visitor.open(ENDPOINTS)
        await send(page, author="sandbox", slug="echo")
        await outcome(page, "200 OK after")
        assert json.loads(await shown(page))["data"]["id"] == "sandbox/echo"
        async with page.expect_request("**/models/sandbox/a%2Fb%3Fc%23d%25/endpoints"):
            await send(page, author="sandbox", slug="a/b?c#d%")
        await outcome(page, "404 Not Found after")
        only_loaded(visitor, 404)


async def test_unreachable_server_is_reported(
    browser: Browser, server: RunningServer, acme: Customer
) -> None:
    async with visit(browser, server.url) as visitor:
        page = await visitor.open(CREDITS)
        await page.context.set_offline(offline=True)
        await send(page, Management_or_viewer_key=acme.viewer)
        await outcome(page, "No response: the server cannot be reached")
        await expect(page.get_by_role("button", name="Stop")).to_be_hidden()
        visitor.complaints.clear()
        await page.context.set_offline(offline=False)
        await send(page, Management_or_viewer_key=acme.viewer)
        await outcome(page, "200 OK after")


async def test_form_is_hidden_without_javascript(browser: Browser, server: RunningServer) -> None:
    async with visit(browser, server.url, java_script_enabled=False) as visitor:
        page = await visitor.open(CREDITS)
        await expect(page.locator("form.tryit")).to_be_hidden()
        await expect(page.get_by_text("The form needs JavaScript")).to_be_visible()
