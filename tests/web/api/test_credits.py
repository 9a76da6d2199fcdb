"""GET /credits: the exact text of its numbers, which are always up to date."""

import pytest

from modelgates_server.core.keys import KeyKind
from modelgates_server.core.money import ENTRY_MAX_PICO
from tests.server import Customer, new_customer
from tests.support import DOLLAR
from tests.web.harness import Api

CREDITS = "/api/v1/credits"
WITH_METADATA = {"X-ModelGates-Metadata": "enabled"}


@pytest.mark.parametrize(
    ("credits_pico", "usage_pico", "text"),
    [
        (0, 0, '{"data":{"total_credits":0,"total_usage":0}}'),
        (5 * DOLLAR, 0, '{"data":{"total_credits":5,"total_usage":0}}'),
        (
            100_500_000_000_000,
            25_750_000_000_000,
            '{"data":{"total_credits":100.5,"total_usage":25.75}}',
        ),
        (5 * DOLLAR, 123_456, '{"data":{"total_credits":5,"total_usage":0.000000123456}}'),
        (1, 1, '{"data":{"total_credits":0.000000000001,"total_usage":0.000000000001}}'),
        (
            20_013_879_769_999,
            1_689_119_140_000,
            '{"data":{"total_credits":20.013879769999,"total_usage":1.68911914}}',
        ),
        (
            # Above 2**53 picos, a double cannot represent every amount.
            2**53 + 1,
            2**53 + 1,
            '{"data":{"total_credits":9007.199254740993,"total_usage":9007.199254740993}}',
        ),
        (
            ENTRY_MAX_PICO,
            ENTRY_MAX_PICO - 1,
            '{"data":{"total_credits":9223372.036854775807,"total_usage":9223372.036854775806}}',
        ),
    ],
)
async def test_total_has_no_rounding_exponent_or_padding(
    credits_pico: int, usage_pico: int, text: str, api: Api
) -> None:
    acme = await new_customer(api.services, credits_pico)
    if usage_pico:
        await api.spend(acme.account_id, acme.inference, usage_pico)
    for key in (acme.management, acme.viewer):
        assert (await api.call("GET", CREDITS, key)).text == text


async def test_totals_are_exact_sums(api: Api) -> None:
    acme = await new_customer(api.services, 0)
    for _ in range(10):
        await api.services.credits.grant(acme.account_id, DOLLAR // 10, "a tenth of a dollar")
        await api.spend(acme.account_id, acme.inference, DOLLAR // 100)
    text = (await api.call("GET", CREDITS, acme.viewer)).text
    assert text == '{"data":{"total_credits":1,"total_usage":0.1}}'


async def test_next_response_includes_everything_posted(api: Api, acme: Customer) -> None:
    for step in range(1, 20):
        await api.services.credits.grant(acme.account_id, DOLLAR, "one more")
        await api.spend(acme.account_id, acme.inference, DOLLAR // 4)
        data = (await api.call("GET", CREDITS, acme.viewer)).json()["data"]
        assert data == {"total_credits": 100 + step, "total_usage": step / 4}


async def test_negative_adjustment_lowers_total_credits(api: Api, acme: Customer) -> None:
    await api.services.credits.adjust(acme.account_id, -DOLLAR // 2, "given by mistake")
    text = (await api.call("GET", CREDITS, acme.viewer)).text
    assert text == '{"data":{"total_credits":99.5,"total_usage":0}}'


async def test_credits_of_one_account_are_not_shown_to_another(
    api: Api, acme: Customer, other: Customer
) -> None:
    await api.services.credits.grant(other.account_id, DOLLAR, "to the other")
    assert (await api.call("GET", CREDITS, acme.viewer)).json()["data"]["total_credits"] == 100
    assert (await api.call("GET", CREDITS, other.viewer)).json()["data"]["total_credits"] == 101


async def test_metadata_has_exact_balance_held_and_available(api: Api, acme: Customer) -> None:
    await api.spend(acme.account_id, acme.inference, 123_456)
    await api.hold(acme.account_id, acme.inference, "running", DOLLAR // 4)
    answer = await api.call("GET", CREDITS, acme.viewer, headers=WITH_METADATA)
    assert answer.json() == {
        "data": {"total_credits": 100, "total_usage": 0.000000123456},
        "modelgates_metadata": {
            "balance": "99.999999876544",
            "held": "0.25",
            "available": "99.749999876544",
            "as_of": "2026-11-23T13:12:00.000Z",
        },
    }
    other_case = {"x-modelgates-metadata": "Enabled"}
    again = await api.call("GET", CREDITS, acme.viewer, headers=other_case)
    assert again.text == answer.text


@pytest.mark.parametrize("value", [None, "", "true", "1", "disabled", "enabled, please"])
async def test_metadata_is_returned_only_on_request(
    value: str | None, api: Api, acme: Customer
) -> None:
    headers = {} if value is None else {"X-ModelGates-Metadata": value}
    answer = await api.call("GET", CREDITS, acme.viewer, headers=headers)
    assert answer.text == '{"data":{"total_credits":100,"total_usage":0}}'


async def test_account_in_debt_has_a_negative_balance(api: Api) -> None:
    account = await api.services.accounts.open("In debt", min_balance_pico=-10 * DOLLAR)
    spender, _ = await api.issue(account.id)
    viewer, _ = await api.issue(account.id, KeyKind.VIEWER)
    await api.spend(account.id, spender, 3 * DOLLAR // 2)
    answer = await api.call("GET", CREDITS, viewer, headers=WITH_METADATA)
    assert answer.json()["data"] == {"total_credits": 0, "total_usage": 1.5}
    assert answer.json()["modelgates_metadata"]["balance"] == "-1.5"
