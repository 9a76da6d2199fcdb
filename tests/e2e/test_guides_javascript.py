"""The code of the guides for JavaScript in the cases that their pages do not show."""

import json
import os
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.deadlines import DEADLINE_S, http_request
from tests.e2e.guides import ADDRESSES, NODE_MODULES, blocks, lacks_node, lacks_packages
from tests.server import Customer, RunningServer, open_customer_now
from tests.support import DOLLAR

GUIDES = "docs/guides/javascript"
BALANCE, STREAMING, OUT_OF_CREDITS, RETRIES = (
    f"{GUIDES}/{name}.md" for name in ("balance", "streaming", "out-of-credits", "retries")
)
SLOW = json.dumps({"tokens": 5, "chunk_ms": 200})


class App:
    """A folder with the files that a guide has its reader save, on a server for a customer."""

    def __init__(self, page: str, folder: Path, server: RunningServer, customer: Customer) -> None:
        self._folder = folder
        self._environment = {
            "INFERENCE_KEY": customer.inference,
            "VIEWER_KEY": customer.viewer,
        }
        files = [block for block in blocks(page) if block.file]
        assert files
        needs_packages = any(block.needs_packages for block in files)
        if needs_packages:
            (folder / "node_modules").symlink_to(NODE_MODULES)
        for block in files:
            # Only a framework takes a `.js` file for a module.
            path = (folder / str(block.file)).with_suffix(".mjs")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text.replace(ADDRESSES[0], server.url), "utf-8")
        if lacks_node() or (needs_packages and lacks_packages()):
            pytest.skip(
                "this machine has no Node 20 or newer, or not its packages; CI demands both"
            )

    def run(self, script: str, **environment: str) -> list[Any]:
        """The lines of JSON that a script prints."""
        (self._folder / "script.mjs").write_text(script, "utf-8")
        done = subprocess.run(
            ["node", "script.mjs"],
            cwd=self._folder,
            env={**os.environ, **self._environment, **environment},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=DEADLINE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line, parse_float=Decimal) for line in done.stdout.splitlines()]


def usage_of(server: RunningServer, customer: Customer) -> Decimal:
    headers = {"Authorization": f"Bearer {customer.viewer}"}
    text = http_request("GET", f"{server.api}/credits", headers=headers).text
    return Decimal(json.loads(text, parse_float=Decimal)["data"]["total_usage"])


GET_BALANCE = """
import { GET } from "./app/api/balance/route.mjs";
const response = await GET();
console.log(JSON.stringify([response.status, await response.json()]));
"""


def test_balance_route_returns_the_amounts_of_the_account(
    server: RunningServer, customer: Customer, tmp_path: Path
) -> None:
    [answer] = App(BALANCE, tmp_path, server, customer).run(GET_BALANCE)
    assert answer == [200, {"balance": "100", "held": "0", "available": "100"}]


def test_balance_route_hides_the_error_when_the_key_is_invalid(
    server: RunningServer, customer: Customer, tmp_path: Path
) -> None:
    app = App(BALANCE, tmp_path, server, customer)
    [answer] = app.run(GET_BALANCE, VIEWER_KEY="sk-mg-v1-wrong")
    assert answer == [502, {"error": "The balance is not available right now."}]


POST_PROMPT = """
import { POST } from "./app/api/chat/route.mjs";
const body = JSON.stringify({ prompt: "One two" });
const response = await POST(new Request("http://app.example/api/chat", { method: "POST", body }));
const type = response.headers.get("content-type").split(";")[0];
console.log(JSON.stringify([response.status, type, await response.text()]));
"""


def test_chat_route_forwards_the_stream_to_its_end(
    server: RunningServer, customer: Customer, tmp_path: Path
) -> None:
    [[status, content_type, text]] = App(STREAMING, tmp_path, server, customer).run(POST_PROMPT)
    assert (status, content_type) == (200, "text/event-stream")
    assert '"content":"One "' in text
    assert text.endswith("data: [DONE]\n\n")


def test_chat_route_forwards_the_status_of_an_error(
    server: RunningServer, customer: Customer, tmp_path: Path
) -> None:
    app = App(STREAMING, tmp_path, server, customer)
    [[status, content_type, text]] = app.run(POST_PROMPT, INFERENCE_KEY="sk-mg-v1-wrong")
    assert (status, content_type) == (401, "application/json")
    assert json.loads(text)["error"]["code"] == 401


STREAM_CUT = """
import { streamChat } from "./stream.mjs";
let text = "";
try {
    const messages = [{ role: "user", content: '{"cut_after": 2}' }];
    for await (const chunk of streamChat({ model: "sandbox/chaos", messages })) {
        text += chunk.choices[0]?.delta.content ?? "";
    }
} catch (error) {
    console.log(JSON.stringify([text, error.code, error.usage.cost]));
}
"""


def test_stream_reader_reports_what_a_broken_stream_costs(
    server: RunningServer, customer: Customer, tmp_path: Path
) -> None:
    [[text, code, cost]] = App(STREAMING, tmp_path, server, customer).run(STREAM_CUT)
    assert (text, code) == ("lorem ipsum ", 502)
    assert cost == usage_of(server, customer) > 0


ASK_IN_FLIGHT = """
import OpenAI from "openai";
import { ask, explain } from "./ask.mjs";
const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: process.env.INFERENCE_KEY });
const stream = await client.chat.completions.create({
    model: "sandbox/chaos",
    messages: [{ role: "user", content: process.env.SLOW }],
    stream: true,
});
const request = {
    model: "sandbox/echo",
    max_tokens: 10,
    messages: [{ role: "user", content: "Hello" }],
};
let answer;
for await (const chunk of stream) {
    if (answer) continue; // the hold of the stream takes all credits until its end
    try {
        await ask(request, { waits: 0 });
    } catch (error) {
        console.log(JSON.stringify([error.status, error.error.metadata.reason, explain(error)]));
    }
    answer = ask(request);
}
console.log(JSON.stringify((await answer).choices[0].message.content));
"""


def test_ask_waits_until_running_calls_release_their_holds(
    server: RunningServer, tmp_path: Path
) -> None:
    poor = open_customer_now(server.database_path, DOLLAR // 100)
    app = App(OUT_OF_CREDITS, tmp_path, server, poor)
    rejected, text = app.run(ASK_IN_FLIGHT, BASE_URL=server.api, SLOW=SLOW)
    assert rejected == [
        402,
        "in_flight_budget_exhausted",
        "Other requests are still running. Try again in a moment.",
    ]
    assert text == "Hello"


ASK_TOO_LONG = """
import { ask, explain } from "./ask.mjs";
const messages = [{ role: "user", content: "Hello" }];
const request = { model: "sandbox/echo", max_tokens: 16384, messages };
console.log(JSON.stringify((await ask(request)).choices[0].message.content));
try {
    await ask(request, { minTokens: 10_000 });
} catch (error) {
    console.log(JSON.stringify([error.status, error.error.metadata.reason, explain(error)]));
}
"""


def test_ask_shortens_the_output_but_not_below_the_minimum(
    server: RunningServer, tmp_path: Path
) -> None:
    poor = open_customer_now(server.database_path, DOLLAR // 100)
    text, rejected = App(OUT_OF_CREDITS, tmp_path, server, poor).run(ASK_TOO_LONG)
    assert text == "Hello"
    assert rejected == [
        402,
        "max_tokens_unaffordable",
        "Your balance is too low for this request. Shorten it or add credits.",
    ]


CALL_ONCE = """
import { callOnce } from "./call-once.mjs";
const messages = [{ role: "user", content: '{"first_byte_ms": 1500, "tokens": 3}' }];
const request = { model: "sandbox/chaos", messages };
const options = { idempotencyKey: "once", timeoutMs: 500 };
const first = await callOnce(request, options);
const second = await callOnce(request, options);
console.log(JSON.stringify([first.id === second.id, first.usage.cost]));
try {
    await callOnce({ ...request, max_tokens: 5 }, options);
} catch (error) {
    console.log(JSON.stringify(error.cause.code));
}
"""


def test_call_that_times_out_is_charged_once(
    server: RunningServer, customer: Customer, tmp_path: Path
) -> None:
    [same, cost], code = App(RETRIES, tmp_path, server, customer).run(CALL_ONCE)
    assert same
    assert cost == usage_of(server, customer) > 0
    assert code == 422


CALL_FAILS = """
import { callOnce } from "./call-once.mjs";
for (const status of [429, 400]) {
    const content = JSON.stringify({ status, retry_after: 1 });
    const request = { model: "sandbox/chaos", messages: [{ role: "user", content }] };
    const startedMs = Date.now();
    try {
        await callOnce(request, { deadlineMs: 1500 });
    } catch (error) {
        console.log(JSON.stringify([error.cause.code, Date.now() - startedMs >= 1000]));
    }
}
"""


def test_call_is_repeated_after_retry_after_only_if_that_can_help(
    server: RunningServer, customer: Customer, tmp_path: Path
) -> None:
    rate_limited, invalid = App(RETRIES, tmp_path, server, customer).run(CALL_FAILS)
    assert rate_limited == [429, True]
    assert invalid == [400, False]
    assert usage_of(server, customer) == 0
