"""The steps before a snapshot of a release, and the requests to it later."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.recorded.exchange import Exchange
from tests.recorded.gateway import DOLLAR, Customer
from tests.recorded.script import Script
from tests.upstream import Gate, UpstreamReply, answer, plain, story, usage

Headers = dict[str, str | None]
Step = dict[str, Any]
"""A request, a posting, a drain or a sweep; see `releases.play`."""

LIMITED = {"name": "limited", "limit": 5, "limit_reset": "weekly", "include_byok_in_limit": True}
DELETED = {"name": "deleted"}
NIGHT = {"name": "night", "limit": 0.25, "expires_at": "2026-12-24T00:00:00Z"}
EMBEDDINGS = {"model": "acme/embed", "input": ["one", "two"]}
COMPLETION = {"model": "acme/large", "prompt": "once upon a time", "max_tokens": 10}
GRANT: Step = {"do": "grant", "amount_pico": 5 * DOLLAR, "reason": "pilot", "reference": "pilot-1"}
ADJUST: Step = {
    "do": "adjust",
    "amount_pico": -DOLLAR // 3,
    "reason": "granted twice",
    "reference": "ticket-4711",
}


class Calls(NamedTuple):
    """The ids of all calls, and the last call, which waits at a gate of its provider."""

    generation_ids: list[str]
    running: Exchange
    gate: Gate


def chat(text: str, **parameters: Any) -> dict[str, Any]:
    """The body of a call. A repeat has the same body."""
    return {"model": "acme/large", "messages": [{"role": "user", "content": text}], **parameters}


async def post_and_create_keys(script: Script) -> str:
    """Posts to the ledger and creates keys; returns the text of the limited one."""
    for posting in (GRANT, ADJUST):
        await script.gateway.post(script.customer.account_id, posting)
    closed = await script.gateway.open_customer()
    await script.gateway.close_account(closed)
    limited = await _keys(script, "POST", "", LIMITED, idempotency_key="key-1")
    night = (await _keys(script, "POST", "", NIGHT)).json["data"]["hash"]
    await _keys(script, "PATCH", f"/{night}", {"disabled": True, "name": "day"})
    deleted = await _keys(script, "POST", "", DELETED, idempotency_key="key-2")
    await _keys(script, "DELETE", f"/{deleted.json['data']['hash']}", None)
    text: str = limited.json["key"]
    return text


async def make_calls(script: Script, limited_key: str) -> Calls:
    """Makes calls with all kinds of ends. Three ends are spooled; the last call is running."""
    calls = [await _call(script, *call) for call in _ending_calls(limited_key)]
    calls += [await _without_database(script, *call) for call in _spooled_calls()]
    gate = Gate(story()[:3], story()[3:])
    script.provider_returns(UpstreamReply(gate))
    running = await script.begin_chat(
        "a call that runs", text="lost", stream=True, headers={"idempotency_key": "lost"}
    )
    await running.until(b"word2")
    script.gateway.clock.forward(60_000)
    script.gateway.heartbeat()
    await script.recorded(running, lambda record: record.cost_pico > 0)
    ids = [call.header("x-generation-id") for call in [*calls, running]]
    return Calls(ids, running, gate)


def _ending_calls(limited_key: str) -> list[tuple[str, Any, UpstreamReply, Headers]]:
    """Path, body, the provider's response, and headers."""
    details = {
        "prompt_tokens_details": {"cached_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    vectors = {
        "object": "list",
        "data": [{"index": 0, "embedding": [0.5, 0.25]}],
        "model": "embed",
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    }
    texts = {
        "choices": [{"index": 0, "text": "there was", "finish_reason": "length"}],
        "usage": usage(4, 10),
    }
    hi = plain(answer("hi", usage(3, 5, **details)))
    once: Headers = {"idempotency_key": "once", "x_title": "Example App"}
    again: Headers = {"idempotency_key": "again"}
    path = "/chat/completions"
    return [
        (path, chat("once", user="end-user-1"), hi, once),
        (path, chat("again"), plain({"error": {"message": "oops"}}, 500), again),
        (path, chat("again"), plain(answer("hi", usage(3, 5))), again),
        (path, chat("streamed", stream=True), UpstreamReply(story()), {}),
        (path, chat("more than was held"), plain(answer("", usage(9999, 5))), {}),
        (path, chat("limited"), hi, {"key": limited_key}),
        ("/embeddings", EMBEDDINGS, plain(vectors), {}),
        ("/completions", COMPLETION, plain(texts), {}),
    ]


def _spooled_calls() -> list[tuple[Any, UpstreamReply, Headers]]:
    streamed = chat("kept stream", stream=True), UpstreamReply(story())
    return [
        (chat("kept"), plain(answer("kept", usage(4, 2))), {"idempotency_key": "kept"}),
        (*streamed, {"idempotency_key": "kept stream"}),
        (chat("without a key"), plain(answer("hi", usage(5, 1))), {}),
    ]


async def _call(
    script: Script, path: str, body: Any, reply: UpstreamReply, headers: Headers
) -> Exchange:
    script.provider_returns(reply)
    headers = {"key": script.customer.inference, **headers}
    return await script.send("a call", "POST", path, body=body, **headers)


async def _without_database(
    script: Script, body: Any, reply: UpstreamReply, headers: Headers
) -> Exchange:
    """Makes a call whose end is spooled, because the database is missing then."""
    path = script.gateway.database_path
    elsewhere = path.with_name("elsewhere.db")

    def pieces() -> Iterator[bytes]:
        path.rename(elsewhere)
        yield from reply.pieces

    last_reply = reply._replace(pieces=pieces())
    call = await _call(script, "/chat/completions", body, last_reply, headers)
    elsewhere.rename(path)
    return call


async def _keys(script: Script, method: str, path: str, body: Any, **headers: Any) -> Exchange:
    key = script.customer.management
    return await script.send("keys", method, f"/keys{path}", key=key, body=body, **headers)


def later_steps(customer: Customer, limited_key: str, generation_ids: list[str]) -> list[Step]:
    """Steps on a snapshot: as it was left, with the spool drained, and after a sweep."""
    repeats = _repeats(customer)
    return [
        *_reads(customer, limited_key),
        *_receipts(customer, generation_ids),
        *repeats,
        {"do": "drain"},
        *_receipts(customer, generation_ids[-4:]),
        *repeats,
        {"do": "sweep"},
        *_receipts(customer, generation_ids[-1:]),
        _repeat(customer, "lost", stream=True),
        *_figures(customer),
    ]


def _reads(customer: Customer, limited_key: str) -> list[Step]:
    keys = [customer.management, customer.inference, customer.viewer, limited_key]
    return [
        *_figures(customer),
        *(_get("/key", key) for key in keys),
        _get("/keys", customer.management),
        _get("/activity", customer.management),
    ]


def _receipts(customer: Customer, generation_ids: list[str]) -> list[Step]:
    return [_get(f"/generation?id={name}", customer.viewer) for name in generation_ids]


def _repeats(customer: Customer) -> list[Step]:
    """Requests under used references and idempotency keys, some with other bodies."""
    return [
        GRANT,
        ADJUST,
        _post("/keys", customer.management, LIMITED, "key-1"),
        _post("/keys", customer.management, {**LIMITED, "limit": 6}, "key-1"),
        _post("/keys", customer.management, DELETED, "key-2"),
        _repeat(customer, "once", user="end-user-1"),
        _repeat(customer, "once", user="end-user-2"),
        _repeat(customer, "again"),
        _repeat(customer, "kept"),
        _repeat(customer, "kept stream", stream=True),
        _repeat(customer, "lost", stream=True),
        *_figures(customer),
    ]


def _repeat(customer: Customer, text: str, **parameters: Any) -> Step:
    """A call whose text is also its `Idempotency-Key`."""
    return _post("/chat/completions", customer.inference, chat(text, **parameters), text)


def _figures(customer: Customer) -> list[Step]:
    return [_get("/credits", customer.viewer), _get("/credits/holds", customer.viewer)]


def _get(path: str, key: str) -> Step:
    return {"method": "GET", "path": path, "key": key}


def _post(path: str, key: str, body: Any, idempotency_key: str) -> Step:
    return {
        "method": "POST",
        "path": path,
        "key": key,
        "body": body,
        "idempotency_key": idempotency_key,
    }
