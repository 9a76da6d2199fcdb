"""GET /activity: each charge is in one row on its UTC day; rows add up to the account's usage."""

import re
from collections.abc import Iterable
from itertools import count
from typing import Any

import httpx
import pytest
from openrouter import components

from modelgates_server.core.keys import key_hash
from modelgates_server.core.money import format_pico, parse_pico
from modelgates_server.core.pricing.usage import Usage
from modelgates_server.core.times import MS_PER_DAY
from modelgates_server.web.api.key_responses import workspace_of
from tests.server import Customer
from tests.support import DOLLAR, capture, finished, open_generation, place, void, voided_generation
from tests.web.harness import Api

ACTIVITY = "/api/v1/activity"
OUT_OF_RANGE = "Date must be within the last 30 (completed) UTC days"
NOT_A_DAY = "`date` must be a day such as 2026-11-23"
_numbers = count(1)


async def spend(api: Api, account_id: str, key: str, usage: Usage, **members: Any) -> int:
    """Record a call that is charged now; returns its cost."""
    now_ms, call_id = api.clock(), f"gen-{next(_numbers)}"
    call = open_generation(account_id, key_hash(key), call_id, DOLLAR, now_ms, **members)
    await api.store.execute(place(account_id, key_hash(key), call_id, DOLLAR, now_ms), call)
    ended = finished(call, usage, now_ms)
    await api.store.execute(
        capture(account_id, key_hash(key), call_id, ended.cost_pico, now_ms), ended
    )
    return ended.cost_pico


async def ask(api: Api, key: str, **query: str) -> httpx.Response:
    return await api.call("GET", ACTIVITY, key, params=query)


async def rows(api: Api, key: str, **query: str) -> list[dict[str, Any]]:
    answer = await ask(api, key, **query)
    assert answer.status_code == 200
    components.ActivityResponse.model_validate(answer.json())
    data: list[dict[str, Any]] = answer.json()["data"]
    return data


def costs(activity: Iterable[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(row["date"], round(row["usage"] * DOLLAR)) for row in activity]


async def test_row_has_all_fields_that_clients_require(api: Api, acme: Customer) -> None:
    usage = Usage(input=1000, cache_read=200, output=300, reasoning=400)
    for _ in range(2):
        await spend(api, acme.account_id, acme.inference, usage)
    for key in (acme.management, acme.viewer):
        assert await rows(api, key) == [
            {
                "date": "2026-11-23",
                "model": "maker/model-1",
                "model_permaslug": "maker/model-1",
                "endpoint_id": "maker:model-1",
                "provider_name": "maker",
                "api_key_hash": key_hash(acme.inference),
                "usage": 0.0000000052,
                "requests": 2,
                "prompt_tokens": 2400,
                "completion_tokens": 1400,
                "reasoning_tokens": 800,
                "cached_tokens": 400,
                "byok_usage_inference": 0,
                "partial": True,
            }
        ]


async def test_rows_are_grouped_by_day_model_endpoint_and_key(api: Api, acme: Customer) -> None:
    second, _ = await api.issue(acme.account_id)
    for key, model, endpoint in (
        (acme.inference, "maker/one", "maker:one"),
        (acme.inference, "maker/two", "maker:one"),
        (acme.inference, "maker/one", "maker:two"),
        (second, "maker/one", "maker:one"),
        (second, "maker/one", "maker:one"),
    ):
        members = {"model": model, "endpoint_id": endpoint}
        await spend(api, acme.account_id, key, Usage(input=5), **members)
    api.clock.forward(MS_PER_DAY)
    await spend(api, acme.account_id, second, Usage(input=1), model="maker/one")
    listed = await rows(api, acme.viewer)
    assert [row["date"] for row in listed] == ["2026-11-24", *["2026-11-23"] * 4]
    assert sorted(row["requests"] for row in listed) == [1, 1, 1, 1, 2]
    names = [(r["date"], r["model"], r["endpoint_id"], r["api_key_hash"]) for r in listed]
    assert len(set(names)) == len(names), "clients would see conflicting duplicates"


async def test_rows_add_up_to_the_usage_of_the_account(api: Api, acme: Customer) -> None:
    second, _ = await api.issue(acme.account_id)
    for day in range(31):
        api.clock.forward(MS_PER_DAY if day else 0)
        for key in (acme.inference, second):
            usage = Usage(input=9_007_199_254 * (day + 1), output=day, estimated=day % 2 == 0)
            await spend(api, acme.account_id, key, usage)
    answer = await ask(api, acme.viewer)
    amounts = re.findall(r'"usage":([^,]*),', answer.text)
    assert len(amounts) == 62
    total = format_pico(sum(parse_pico(amount) for amount in amounts))
    credits_answer = await api.call("GET", "/api/v1/credits", acme.viewer)
    assert credits_answer.text.endswith(f'"total_usage":{total}}}}}')


async def test_failed_and_running_calls_are_not_listed(api: Api, acme: Customer) -> None:
    names = (acme.account_id, key_hash(acme.inference))
    for call_id in ("gen-failed", "gen-runs"):
        await api.store.execute(place(*names, call_id, 10), open_generation(*names, call_id, 10))
    failed = voided_generation(open_generation(*names, "gen-failed", 10))
    await api.store.execute(void(*names, "gen-failed"), failed)
    assert await rows(api, acme.viewer) == []


async def test_free_call_is_counted(api: Api, acme: Customer) -> None:
    await spend(api, acme.account_id, acme.inference, Usage())
    (row,) = await rows(api, acme.viewer)
    assert (row["requests"], row["usage"]) == (1, 0)


async def test_only_today_is_partial(api: Api, acme: Customer) -> None:
    await spend(api, acme.account_id, acme.inference, Usage(input=1))
    to_midnight = MS_PER_DAY - api.clock() % MS_PER_DAY
    api.clock.forward(to_midnight - 1)
    assert [row["partial"] for row in await rows(api, acme.viewer)] == [True]
    api.clock.forward(1)
    (row,) = await rows(api, acme.viewer)
    assert "partial" not in row


async def test_day_is_shown_for_thirty_complete_days(api: Api, acme: Customer) -> None:
    await spend(api, acme.account_id, acme.inference, Usage(input=3))
    for days in range(31):
        assert costs(await rows(api, acme.viewer)) == [("2026-11-23", 3)]
        assert costs(await rows(api, acme.viewer, date="2026-11-23")) == [("2026-11-23", 3)]
        if days < 30:
            api.clock.forward(MS_PER_DAY)
    api.clock.forward(MS_PER_DAY)
    assert await rows(api, acme.viewer) == []
    refused = await ask(api, acme.viewer, date="2026-11-23")
    assert refused.status_code == 400
    assert refused.json()["error"]["message"] == OUT_OF_RANGE


async def test_date_filter_keeps_only_that_day(api: Api, acme: Customer) -> None:
    for tokens in (1, 2, 3):
        await spend(api, acme.account_id, acme.inference, Usage(input=tokens))
        api.clock.forward(MS_PER_DAY)
    assert costs(await rows(api, acme.viewer, date="2026-11-24")) == [("2026-11-24", 2)]
    assert await rows(api, acme.viewer, date="2026-11-26") == []


@pytest.mark.parametrize(
    ("date", "message"),
    [
        ("2026-11-24", OUT_OF_RANGE),  # no activity, so the clock is right
        ("2026-10-23", OUT_OF_RANGE),
        ("0001-01-01", OUT_OF_RANGE),
        ("9999-12-31", OUT_OF_RANGE),
        ("2026-11-31", f"{NOT_A_DAY}, not `2026-11-31`."),
        ("20261123", f"{NOT_A_DAY}, not `20261123`."),
        ("2026-W48-1", f"{NOT_A_DAY}, not `2026-W48-1`."),
        ("2026-11-23T00:00:00Z", f"{NOT_A_DAY}, not `2026-11-23T00:00:00Z`."),
        ("٢٠٢٦-11-23", rf"{NOT_A_DAY}, not `\u0662\u0660\u0662\u0666-11-23`."),
        ("yesterday", f"{NOT_A_DAY}, not `yesterday`."),
        ("", f'{NOT_A_DAY}, not `""`.'),
    ],
)
async def test_invalid_date_is_refused(date: str, message: str, api: Api, acme: Customer) -> None:
    answer = await ask(api, acme.viewer, date=date)
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, message)


async def test_key_filter_keeps_only_rows_of_that_key(api: Api, acme: Customer) -> None:
    second, second_hash = await api.issue(acme.account_id)
    await spend(api, acme.account_id, acme.inference, Usage(input=1))
    await spend(api, acme.account_id, second, Usage(input=2))
    assert costs(await rows(api, acme.viewer, api_key_hash=second_hash)) == [("2026-11-23", 2)]
    assert await rows(api, acme.viewer, api_key_hash="0" * 64) == []
    for wrong in ("", "0" * 63, "G" * 64, second_hash.upper()):
        assert (await ask(api, acme.viewer, api_key_hash=wrong)).status_code == 400


async def test_activity_of_another_account_is_not_shown(
    api: Api, acme: Customer, other: Customer
) -> None:
    await spend(api, other.account_id, other.inference, Usage(input=9))
    await spend(api, acme.account_id, acme.inference, Usage(input=1))
    assert costs(await rows(api, acme.management)) == [("2026-11-23", 1)]
    for query in (
        {"user_id": other.account_id},
        {"api_key_hash": key_hash(other.inference)},
        {"workspace_id": workspace_of(other.account_id)},
    ):
        assert await rows(api, acme.management, **query) == []
    assert costs(await rows(api, other.management)) == [("2026-11-23", 9)]


async def test_own_user_and_workspace_may_be_given(api: Api, acme: Customer) -> None:
    await spend(api, acme.account_id, acme.inference, Usage(input=1))
    workspace_id = workspace_of(acme.account_id)
    plain = await rows(api, acme.viewer, user_id=acme.account_id, workspace_id=workspace_id)
    assert plain == await rows(api, acme.viewer)
    (row,) = await rows(api, acme.viewer, group_by="workspace")
    assert row.pop("workspace_id") == workspace_id
    assert [row] == plain
    assert (await ask(api, acme.viewer, group_by="key")).status_code == 400


async def spend_on(api: Api, acme: Customer, days: int, keys: int, models: int) -> None:
    """Record a call of each key with each model, on each day and twice within it."""
    hashes = [acme.inference, *[(await api.issue(acme.account_id))[0] for _ in range(keys - 1)]]
    for _ in range(days):
        for key in hashes:
            for model in range(models):
                name = {"model": f"maker/{model}", "endpoint_id": f"maker:{model}"}
                for _ in range(2):
                    await spend(api, acme.account_id, key, Usage(input=1), **name)
                    api.clock.forward(1_000_000)
                    api.clock.forward(-500_000)
        api.clock.forward(MS_PER_DAY)
        api.clock.forward(-(api.clock() % MS_PER_DAY))


async def pages(api: Api, key: str, **query: str) -> list[list[dict[str, Any]]]:
    """All pages of the activity, found by `links.next` alone."""
    found = []
    response = await ask(api, key, **query)
    while True:
        assert response.status_code == 200, response.text
        found.append(response.json()["data"])
        following = response.json()["links"]["next"]
        if following is None:
            return found
        response = await api.call("GET", following, key)


@pytest.mark.parametrize("limit", [1, 2, 5, 6, 7, 17, 18, 10_000])
async def test_pages_have_each_row_once(limit: int, api: Api, acme: Customer) -> None:
    await spend_on(api, acme, days=3, keys=2, models=3)
    every = await rows(api, acme.viewer)
    found = await pages(api, acme.viewer, limit=str(limit))
    assert [row for page in found for row in page] == every
    assert [len(page) for page in found[:-1]] == [limit] * (len(found) - 1)
    assert 0 < len(found[-1]) <= limit
    assert len(every) == 18


async def test_pages_keep_the_filters(api: Api, acme: Customer) -> None:
    await spend_on(api, acme, days=3, keys=2, models=3)
    day = (await rows(api, acme.viewer))[-1]["date"]
    query = {"api_key_hash": key_hash(acme.inference), "date": day, "group_by": "workspace"}
    found = await pages(api, acme.viewer, limit="2", **query)
    assert [len(page) for page in found] == [2, 1]
    for row in found[0] + found[1]:
        assert (row["date"], row["api_key_hash"]) == (day, query["api_key_hash"])
        assert row["workspace_id"] == workspace_of(acme.account_id)


async def test_usage_between_two_pages_changes_no_row_of_the_next(api: Api, acme: Customer) -> None:
    await spend_on(api, acme, days=2, keys=2, models=3)
    every = await rows(api, acme.viewer)
    first = (await ask(api, acme.viewer, limit="4")).json()
    await spend(api, acme.account_id, acme.inference, Usage(input=1), model="maker/new")
    second = await api.call("GET", first["links"]["next"], acme.viewer)
    assert first["data"] + second.json()["data"] == every[:8]


async def test_last_page_may_be_full(api: Api, acme: Customer) -> None:
    await spend_on(api, acme, days=1, keys=1, models=4)
    assert [len(page) for page in await pages(api, acme.viewer, limit="2")] == [2, 2]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"limit": "0"}, "`limit` must be an integer from 1 to 10000, not `0`."),
        ({"limit": "10001"}, "`limit` must be an integer from 1 to 10000, not `10001`."),
        ({"cursor": ""}, 'Unknown `cursor`: `""`.'),
        ({"cursor": "x"}, "Unknown `cursor`: `x`."),
        ({"cursor": "\u00e9"}, "Unknown `cursor`: "),
        ({"cursor": "bnVsbA"}, "Unknown `cursor`: `bnVsbA`."),
        ({"cursor": "WzEsMiwzLDRd"}, "Unknown `cursor`: "),  # [1,2,3,4]
        ({"cursor": "WzllMzAsImEiLCJiIiwiYyJd"}, "Unknown `cursor`: "),  # [9e30,"a","b","c"]
        ({"cursor": "WzE4MDAwMDAwMDAwMDAwMDAwMDAsImEiLCJiIiwiYyJd"}, "Unknown `cursor`: "),
    ],
)
async def test_invalid_page_is_refused(
    query: dict[str, str], message: str, api: Api, acme: Customer
) -> None:
    response = await ask(api, acme.viewer, **query)
    assert response.status_code == 400
    assert response.json()["error"]["message"].startswith(message)


async def test_days_that_a_wrong_clock_left_in_the_future_are_shown(
    api: Api, acme: Customer
) -> None:
    api.clock.forward(400 * MS_PER_DAY)
    await spend(api, acme.account_id, acme.inference, Usage(input=7))
    api.clock.forward(-400 * MS_PER_DAY)
    await spend(api, acme.account_id, acme.inference, Usage(input=2))
    listed = await rows(api, acme.viewer)
    assert costs(listed) == [("2027-12-28", 7), ("2026-11-23", 2)]
    assert [row["partial"] for row in listed] == [True, True]
    assert costs(await rows(api, acme.viewer, date="2027-12-28")) == [("2027-12-28", 7)]
    refused = await ask(api, acme.viewer, date="2027-12-27")
    assert (refused.status_code, refused.json()["error"]["message"]) == (400, OUT_OF_RANGE)
