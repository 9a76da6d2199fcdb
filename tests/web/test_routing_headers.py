"""Headers that limit or identify a request must not be duplicate, and are compared as bytes."""

from typing import Any

import httpx
import pytest

from tests.server import Customer
from tests.web.harness import Api

KEYS = "/api/v1/keys"
ONCE = b"Idempotency-Key"
MAX_COST = b"X-ModelGates-Max-Cost"
MESSAGES = [{"role": "user", "content": "Hello"}]
CALLS: dict[str, dict[str, Any]] = {
    "/api/v1/chat/completions": {"model": "sandbox/echo", "messages": MESSAGES},
    "/api/v1/completions": {"model": "sandbox/echo", "prompt": "Hello"},
    "/api/v1/embeddings": {"model": "sandbox/embed", "input": "Hello"},
}
COMPOSED, DECOMPOSED = "é".encode(), "e\u0301".encode()


async def post(
    api: Api, path: str, key: str, body: dict[str, Any], *headers: tuple[bytes, bytes]
) -> httpx.Response:
    bearer = (b"Authorization", f"Bearer {key}".encode())
    return await api.client.post(path, json=body, headers=[bearer, *headers])


async def call(api: Api, acme: Customer, path: str, *headers: tuple[bytes, bytes]) -> int:
    answer = await post(api, path, acme.inference, CALLS[path], *headers)
    if answer.status_code != 200:
        assert answer.json()["error"]["code"] == answer.status_code
    return answer.status_code


@pytest.mark.parametrize("path", CALLS)
@pytest.mark.parametrize(
    ("name", "values"),
    [
        (ONCE, [b"a", b"b"]),
        (ONCE, [b"a", b"a"]),
        (ONCE, [b"", b"a"]),
        (MAX_COST, [b"0.000001", b"1"]),
        (MAX_COST, [b"1", b"1"]),
        (MAX_COST, [b"1", b"1", b"1"]),
    ],
)
async def test_call_is_refused_when_a_header_is_duplicate(
    path: str, name: bytes, values: list[bytes], api: Api, acme: Customer
) -> None:
    named = [(name, value) for value in values]
    mixed = [(name.lower() if at else name, value) for at, value in enumerate(values)]
    for headers in (named, mixed):
        answer = await post(api, path, acme.inference, CALLS[path], *headers)
        assert answer.status_code == 400
        assert answer.json()["error"]["message"] == (
            f"Duplicate `{name.decode()}` header. Send it once."
        )
    account = await api.store.account(acme.account_id)
    assert account is not None
    assert account.last_seq == 2, "nothing was held"


async def test_key_is_not_created_when_its_idempotency_key_is_duplicate(
    api: Api, acme: Customer
) -> None:
    for values in ((b"a", b"b"), (b"a", b"a")):
        headers = [(ONCE, value) for value in values]
        answer = await post(api, KEYS, acme.management, {"name": "x"}, *headers)
        assert answer.status_code == 400
        assert "Duplicate `Idempotency-Key` header" in answer.json()["error"]["message"]
    assert len(await api.services.keys.page(acme.account_id, limit=100)) == 3


async def test_other_headers_may_be_duplicate(api: Api, acme: Customer) -> None:
    doubled = [(b"X-Title", b"a"), (b"X-Title", b"b"), (b"Accept", b"a/b"), (b"Accept", b"*/*")]
    assert await call(api, acme, "/api/v1/chat/completions", *doubled) == 200


@pytest.mark.parametrize(
    "value", [COMPOSED, DECOMPOSED, b"\xff\xfe", b"\xe9", "🙂".encode(), b"\x80" * 255]
)
async def test_idempotency_key_outside_ascii_identifies_one_request(
    value: bytes, api: Api, acme: Customer
) -> None:
    path = "/api/v1/chat/completions"
    answers = [await post(api, path, acme.inference, CALLS[path], (ONCE, value)) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].content == answers[1].content
    assert answers[1].headers["idempotent-replayed"] == "true"
    keys = [await post(api, KEYS, acme.management, {"name": "x"}, (ONCE, value)) for _ in range(2)]
    assert [answer.status_code for answer in keys] == [201, 201]
    assert keys[0].content == keys[1].content


async def test_idempotency_keys_with_different_bytes_identify_different_requests(
    api: Api, acme: Customer
) -> None:
    path = "/api/v1/chat/completions"
    values = (COMPOSED, DECOMPOSED, b"\xe9", b"\xc9", b"e")
    ids, texts = set(), set()
    for value in values:
        called = await post(api, path, acme.inference, CALLS[path], (ONCE, value))
        ids.add(called.headers["x-generation-id"])
        made = await post(api, KEYS, acme.management, {"name": "x"}, (ONCE, value))
        texts.add(made.json()["key"])
    assert (len(ids), len(texts)) == (len(values), len(values))


@pytest.mark.parametrize("value", [b"\xff", b"0,5", b"\xd9\xa0", b"1, 2"])
async def test_max_cost_is_refused_when_it_is_not_an_amount(
    value: bytes, api: Api, acme: Customer
) -> None:
    assert await call(api, acme, "/api/v1/chat/completions", (MAX_COST, value)) == 400
