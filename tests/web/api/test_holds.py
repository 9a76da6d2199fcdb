"""GET /credits/holds: the open holds of an account."""

from typing import Any

from modelgates_server.core.keys import key_hash
from modelgates_server.core.pricing.usage import Usage
from modelgates_server.web.api import holds
from tests.server import Customer, new_customer
from tests.support import DOLLAR, capture, finished, open_generation, place
from tests.web.harness import Api

HOLDS = "/api/v1/credits/holds"


async def shown(api: Api, key: str) -> dict[str, Any]:
    answer = await api.call("GET", HOLDS, key)
    assert answer.status_code == 200
    body: dict[str, Any] = answer.json()
    return body


async def run(api: Api, acme: Customer, hold_id: str, amount_pico: int, **members: Any) -> None:
    """Record a call that starts now."""
    names = (acme.account_id, key_hash(acme.inference), hold_id, amount_pico, api.clock())
    await api.store.execute(place(*names), open_generation(*names, **members))


async def test_open_hold_is_listed_with_its_call(api: Api, acme: Customer) -> None:
    await run(api, acme, "gen-1", DOLLAR // 4, streamed=True)
    expected = {
        "data": [
            {
                "id": "gen-1",
                "amount": 0.25,
                "api_key_hash": key_hash(acme.inference),
                "created_at": "2026-11-23T13:12:00.000Z",
                "expires_at": "2026-11-23T13:22:00.000Z",
                "model": "maker/model-1",
                "streamed": True,
            }
        ],
        "held": 0.25,
    }
    for key in (acme.management, acme.viewer):
        assert await shown(api, key) == expected


async def test_hold_without_a_call_is_listed(api: Api, acme: Customer) -> None:
    await api.hold(acme.account_id, acme.inference, "by-hand", 1)
    body = await shown(api, acme.viewer)
    (row,) = body["data"]
    assert (row["id"], row["amount"], row["model"], row["streamed"]) == (
        "by-hand",
        1e-12,
        None,
        None,
    )
    assert body["held"] == 1e-12


async def test_holds_are_listed_oldest_first_until_they_end(api: Api, acme: Customer) -> None:
    for number in (3, 1, 2):
        await run(api, acme, f"gen-{number}", number * DOLLAR)
        api.clock.forward(1)
    body = await shown(api, acme.viewer)
    assert [row["id"] for row in body["data"]] == ["gen-3", "gen-1", "gen-2"]
    assert body["held"] == sum(row["amount"] for row in body["data"]) == 6
    call = open_generation(acme.account_id, key_hash(acme.inference), "gen-1", DOLLAR)
    ended = finished(call, Usage(input=1), api.clock())
    await api.store.execute(capture(acme.account_id, call.key_hash, "gen-1", 1, api.clock()), ended)
    body = await shown(api, acme.viewer)
    assert [row["id"] for row in body["data"]] == ["gen-3", "gen-2"]
    assert body["held"] == 5


async def test_held_includes_holds_beyond_the_listed_ones(api: Api) -> None:
    acme = await new_customer(api.services, 1100 * 10**6)
    for number in range(holds.LISTED_MAX + 2):
        await api.hold(acme.account_id, acme.inference, f"hold-{number:04}", 10**6)
        api.clock.forward(1)
    answer = await api.call("GET", HOLDS, acme.viewer)
    listed = answer.json()["data"]
    assert len(listed) == holds.LISTED_MAX
    assert (listed[0]["id"], listed[-1]["id"]) == ("hold-0000", "hold-0999")
    assert answer.text.endswith('"held":0.001002}')


async def test_holds_of_another_account_are_not_shown(
    api: Api, acme: Customer, other: Customer
) -> None:
    await run(api, other, "gen-1", DOLLAR)
    assert await shown(api, acme.management) == {"data": [], "held": 0}
