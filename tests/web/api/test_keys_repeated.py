"""POST /keys with an Idempotency-Key: a repeat of a request returns the same key."""

import asyncio
from typing import Any

import httpx
import pytest

from modelgates_server.core.keys import SECRET_BYTES, KeyKind, NewKey, key_hash, key_text
from modelgates_server.core.times import MS_PER_DAY
from modelgates_server.service.keys import IdempotentRequest, KeyService
from tests.server import Customer
from tests.support import DOLLAR, HOUR_MS
from tests.web.harness import Api

KEYS = "/api/v1/keys"


async def post(api: Api, caller: str, header: str = "once", **body: Any) -> httpx.Response:
    return await api.call(
        "POST",
        KEYS,
        caller,
        json={"name": "new", "limit": 5, **body},
        headers={"Idempotency-Key": header},
    )


async def count(api: Api, acme: Customer) -> int:
    """The number of keys of the account besides its first three."""
    return len(await api.services.keys.page(acme.account_id, limit=100)) - 3


async def test_repeat_returns_the_same_key_and_creates_none(api: Api, acme: Customer) -> None:
    first = await post(api, acme.management)
    api.clock.forward(1000)
    second = await post(api, acme.management, limit=5.0)
    assert first.status_code == second.status_code == 201
    assert first.text == second.text
    assert await count(api, acme) == 1
    text = first.json()["key"]
    assert key_hash(text) == first.json()["data"]["hash"]
    assert (await api.call("GET", "/api/v1/key", text)).json()["data"]["limit"] == 5


async def test_concurrent_repeats_create_one_key(api: Api, acme: Customer) -> None:
    for step in range(5):
        header = f"step {step}"
        answers = await asyncio.gather(*(post(api, acme.management, header) for _ in range(32)))
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.text for answer in answers}) == 1
        assert await count(api, acme) == step + 1
        text = answers[0].json()["key"]
        assert (await api.call("GET", "/api/v1/key", text)).status_code == 200


async def test_repeat_is_refused_when_its_body_differs(api: Api, acme: Customer) -> None:
    await post(api, acme.management)
    others: list[dict[str, Any]] = [
        {"name": "other"},
        {"limit": 6},
        {"limit": None},
        {"limit": None, "kind": "viewer"},
        {"limit_reset": "daily"},
        {"expires_at": "2030-01-01T00:00:00Z"},
    ]
    for other in others:
        answer = await post(api, acme.management, **other)
        assert answer.status_code == 422
        assert answer.json()["error"]["code"] == 422
        assert "sk-mg" not in answer.text
    assert await count(api, acme) == 1


async def test_another_idempotency_key_is_another_request(api: Api, acme: Customer) -> None:
    texts = {(await post(api, acme.management, header)).json()["key"] for header in ("a", "b", "A")}
    without = await api.call("POST", KEYS, acme.management, json={"name": "new", "limit": 5})
    assert len(texts | {without.json()["key"]}) == 4
    assert await count(api, acme) == 4


async def test_idempotency_key_of_another_caller_is_another_request(
    api: Api, acme: Customer, other: Customer
) -> None:
    colleague, _ = await api.issue(acme.account_id, KeyKind.MANAGEMENT)
    first = await post(api, acme.management)
    second = await post(api, colleague, name="another body")
    third = await post(api, other.management)
    assert first.status_code == second.status_code == third.status_code == 201
    assert len({answer.json()["key"] for answer in (first, second, third)}) == 3
    assert third.json()["data"]["creator_user_id"] == other.account_id


async def test_idempotency_key_is_kept_for_one_day(api: Api, acme: Customer) -> None:
    first = await post(api, acme.management)
    api.clock.forward(MS_PER_DAY)
    await api.services.maintenance.run_once()
    assert (await post(api, acme.management)).text == first.text
    api.clock.forward(1)
    await api.services.maintenance.run_once()
    later = await post(api, acme.management)
    assert later.status_code == 201
    assert later.json()["key"] != first.json()["key"]
    assert await count(api, acme) == 2


async def test_repeat_shows_the_current_state_of_the_key(api: Api, acme: Customer) -> None:
    first = await post(api, acme.management)
    named = f"{KEYS}/{first.json()['data']['hash']}"
    await api.spend(acme.account_id, first.json()["key"], DOLLAR)
    await api.call("PATCH", named, acme.management, json={"disabled": True})
    again = await post(api, acme.management)
    assert again.json()["key"] == first.json()["key"]
    row = again.json()["data"]
    assert (row["disabled"], row["usage"], row["limit_remaining"]) == (True, 1, 4)


@pytest.mark.parametrize("spelling", ["path", "query"])
async def test_repeat_is_refused_when_its_key_was_deleted(
    spelling: str, api: Api, acme: Customer
) -> None:
    first = await post(api, acme.management)
    named = first.json()["data"]["hash"]
    path = f"{KEYS}/{named}" if spelling == "path" else f"{KEYS}?id={named}"
    assert (await api.call("DELETE", path, acme.management)).status_code == 200
    again = await post(api, acme.management)
    assert again.status_code == 409
    assert again.json()["error"]["message"] == (
        "The key created with this `Idempotency-Key` was deleted. "
        "Send a new `Idempotency-Key` to create another key."
    )
    assert again.headers["x-should-retry"] == "false", "otherwise clients retry forever"
    assert "sk-mg" not in again.text
    assert (await post(api, acme.management, limit=6)).status_code == 422
    assert await count(api, acme) == 0
    assert (await post(api, acme.management, "another")).status_code == 201


async def test_repeat_is_refused_when_its_key_has_expired(api: Api, acme: Customer) -> None:
    until = "2026-11-23T14:00:00Z"
    first = await post(api, acme.management, expires_at=until)
    assert first.status_code == 201
    api.clock.forward(HOUR_MS)
    again = await post(api, acme.management, expires_at=until)
    assert again.status_code == 400
    assert "expires_at" in again.json()["error"]["message"]
    assert await count(api, acme) == 1


async def test_refused_request_does_not_use_up_its_idempotency_key(
    api: Api, acme: Customer
) -> None:
    assert (await post(api, acme.management, limit=-1)).status_code == 400
    assert (await post(api, acme.viewer)).status_code == 403
    assert (await post(api, acme.management)).status_code == 201


@pytest.mark.parametrize(
    ("header", "status"), [("", 400), ("x" * 256, 400), ("x" * 255, 201), ("a b/c:ä", 201)]
)
async def test_idempotency_key_has_1_to_255_bytes(
    header: str, status: int, api: Api, acme: Customer
) -> None:
    answers = [
        await api.client.post(
            KEYS,
            json={"name": "new"},
            headers={
                b"Idempotency-Key": header.encode(),
                b"Authorization": f"Bearer {acme.management}".encode(),
            },
        )
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [status, status]
    assert await count(api, acme) == (status == 201)


async def test_key_cannot_be_recreated_from_the_database_alone(
    api: Api, acme: Customer, other: Customer
) -> None:
    nonce = bytes(SECRET_BYTES)  # the part in the database, here the same for both
    keys = KeyService(api.store, api.clock, lambda _: nonce)
    new_key = NewKey(kind=KeyKind.INFERENCE, name="new")
    texts = {
        (
            await keys.create(
                caller.account_id, new_key, IdempotentRequest(caller.management, "once")
            )
        )[1]
        for caller in (acme, other)
    }
    assert len(texts) == 2, "the caller's key has no effect"
    assert key_text(nonce) not in texts


async def test_repeat_is_rejected_when_the_key_was_rotated(api: Api, acme: Customer) -> None:
    created = (await post(api, acme.management)).json()
    key = await api.services.keys.get(created["data"]["hash"])
    await api.services.keys.rotate(key, 3600)
    answer = await post(api, acme.management)
    assert answer.status_code == 409
    assert "was rotated. Send a new `Idempotency-Key`" in answer.json()["error"]["message"]
    assert await count(api, acme) == 1
