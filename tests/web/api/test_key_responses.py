"""The limit and usage of a key, in GET /key and in the items of GET /keys."""

from typing import Any

import pytest

from modelgates_server.core.keys import key_hash
from modelgates_server.core.times import MS_PER_DAY, LimitReset
from tests.server import Customer, new_customer
from tests.support import DOLLAR
from tests.web.harness import Api

KEY = "/api/v1/key"
WINDOWS = ("usage", "usage_daily", "usage_weekly", "usage_monthly")


async def shown(api: Api, key: str) -> dict[str, Any]:
    data: dict[str, Any] = (await api.call("GET", KEY, key)).json()["data"]
    return data


async def row(api: Api, acme: Customer, key: str) -> dict[str, Any]:
    answer = await api.call("GET", f"/api/v1/keys/{key_hash(key)}", acme.management)
    data: dict[str, Any] = answer.json()["data"]
    return data


async def test_current_key_has_all_fields_that_clients_require(api: Api, acme: Customer) -> None:
    data = await shown(api, acme.inference)
    workspace = data.pop("workspace_id")
    assert workspace == (await row(api, acme, acme.inference))["workspace_id"]
    assert data == {
        "label": f"{acme.inference[:12]}...{acme.inference[-3:]}",
        **dict.fromkeys(WINDOWS, 0),
        **{f"byok_{name}": 0 for name in WINDOWS},
        "limit": None,
        "limit_remaining": None,
        "limit_reset": None,
        "include_byok_in_limit": False,
        "is_free_tier": False,
        "is_management_key": False,
        "is_provisioning_key": False,
        "expires_at": None,
        "creator_user_id": acme.account_id,
        "organization_id": None,
        "allowed_data_regions": ["global"],
        "budgets": [],
        "effective_budget": None,
        "rate_limit": {
            "requests": -1,
            "interval": "10s",
            "note": "This field is deprecated and safe to ignore.",
        },
        "free_model_daily_requests": {"limit": -1, "remaining": -1, "used": 0},
    }


async def test_older_path_returns_the_same(api: Api, acme: Customer) -> None:
    for key in (acme.management, acme.inference, acme.viewer):
        new, old = [await api.call("GET", path, key) for path in (KEY, "/api/v1/auth/key")]
        assert (
            (new.status_code, new.content) == (old.status_code, old.content) == (200, old.content)
        )


async def test_only_management_key_is_marked_as_one(api: Api, acme: Customer) -> None:
    for key in (acme.management, acme.inference, acme.viewer):
        data = await shown(api, key)
        assert data["is_management_key"] is data["is_provisioning_key"] is (key == acme.management)


async def test_account_is_on_free_tier_until_it_receives_credits(api: Api) -> None:
    poor = await new_customer(api.services, 0)
    assert (await shown(api, poor.inference))["is_free_tier"] is True
    await api.services.credits.grant(poor.account_id, 1, "a start")
    assert (await shown(api, poor.inference))["is_free_tier"] is False


async def test_expires_at_is_shown_unchanged(api: Api, acme: Customer) -> None:
    key, _ = await api.issue(acme.account_id, expires_at="2030-01-01T00:00:00Z")
    assert (await shown(api, key))["expires_at"] == "2030-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("reset", "resets_at", "days"),
    [
        # Now is Monday 2026-11-23, 13:12 UTC; tomorrow is a Tuesday.
        ("daily", "2026-11-24T00:00:00.000Z", 1),
        ("weekly", "2026-11-30T00:00:00.000Z", 7),
        ("monthly", "2026-12-01T00:00:00.000Z", 8),
    ],
)
async def test_limit_resets_with_its_window(
    reset: str, resets_at: str, days: int, api: Api, acme: Customer
) -> None:
    key, _ = await api.issue(acme.account_id, limit_pico=5 * DOLLAR, limit_reset=LimitReset(reset))
    await api.spend(acme.account_id, key, 1_250_000_123_456)
    budget = {
        "limit_usd": 5,
        "remaining_usd": 3.749999876544,
        "spend_usd": 1.250000123456,
        "reset_interval": reset,
        "resets_at": resets_at,
        "include_byok": False,
        "scope": "key_limit",
        "budget_id": None,
        "guardrail_id": None,
    }
    data = await shown(api, key)
    assert data["budgets"] == [budget]
    assert data["effective_budget"] == budget
    assert (data["limit"], data["limit_remaining"]) == (5, 3.749999876544)
    assert (await row(api, acme, key))["limit_remaining"] == 3.749999876544
    api.clock.forward((days - 1) * MS_PER_DAY)
    assert (await shown(api, key))["limit_remaining"] == 3.749999876544
    api.clock.forward(MS_PER_DAY)
    data = await shown(api, key)
    assert (data["limit_remaining"], data["effective_budget"]["spend_usd"]) == (5, 0)
    assert data["usage"] == 1.250000123456


async def test_usage_is_counted_in_utc_days_weeks_and_months(api: Api, acme: Customer) -> None:
    steps = [
        # Days forward, then total, daily, weekly and monthly usage after one more dollar.
        (0, (1, 1, 1, 1)),  # Monday 23 November
        (1, (2, 1, 2, 2)),  # Tuesday
        (5, (3, 1, 3, 3)),  # Sunday
        (1, (4, 1, 1, 4)),  # Monday 30 November
        (1, (5, 1, 2, 1)),  # Tuesday 1 December
    ]
    for days, expected in steps:
        api.clock.forward(days * MS_PER_DAY)
        await api.spend(acme.account_id, acme.inference, DOLLAR)
        data = await shown(api, acme.inference)
        assert tuple(data[name] for name in WINDOWS) == expected
        listed = await row(api, acme, acme.inference)
        assert tuple(listed[name] for name in WINDOWS) == expected
    api.clock.forward(31 * MS_PER_DAY)
    idle = await shown(api, acme.inference)
    assert tuple(idle[name] for name in WINDOWS) == (5, 0, 0, 0)


async def test_lifetime_limit_never_resets(api: Api, acme: Customer) -> None:
    key, _ = await api.issue(acme.account_id, limit_pico=5 * DOLLAR)
    await api.spend(acme.account_id, key, DOLLAR)
    api.clock.forward(400 * MS_PER_DAY)
    data = await shown(api, key)
    assert (data["limit_remaining"], data["effective_budget"]["resets_at"]) == (4, None)


async def test_limit_remaining_is_negative_when_usage_exceeds_the_limit(
    api: Api, acme: Customer
) -> None:
    await api.spend(acme.account_id, acme.inference, 3 * DOLLAR)
    path = f"/api/v1/keys/{key_hash(acme.inference)}"
    changed = await api.call("PATCH", path, acme.management, json={"limit": 2.5})
    assert changed.json()["data"]["limit_remaining"] == -0.5
    assert (await shown(api, acme.inference))["effective_budget"]["remaining_usd"] == -0.5


async def test_limit_of_zero_is_a_limit(api: Api, acme: Customer) -> None:
    key, _ = await api.issue(acme.account_id, limit_pico=0)
    data = await shown(api, key)
    assert (data["limit"], data["limit_remaining"]) == (0, 0)
    assert data["effective_budget"]["limit_usd"] == 0
