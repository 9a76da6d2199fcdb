"""GET /credits conforms to the specification of the seed: 200, 401, 403 and 500."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from modelgates_server.service.ports import Store
from tests.deadlines import http_request
from tests.server import Customer, RunningServer, new_customer
from tests.support import ManualClock
from tests.web.document import SEED, validator
from tests.web.harness import Api

CREDITS = "/api/v1/credits"
OPERATION: dict[str, Any] = SEED["paths"]["/credits"]["get"]


def check(answer: httpx.Response, status: int) -> None:
    """Asserts that a response is the one that the seed describes for a status, and no more."""
    assert answer.status_code == status
    content = OPERATION["responses"][str(status)]["content"]
    assert [answer.headers["content-type"]] == list(content)
    validator(SEED, content["application/json"]["schema"]).validate(answer.json())
    if status == 200:
        assert list(answer.json()) == ["data"]
        assert list(answer.json()["data"]) == ["total_credits", "total_usage"]
    else:
        assert list(answer.json()["error"]) == ["message", "code"]
        assert answer.json()["error"]["code"] == status


def ask(server: RunningServer, key: str | None) -> httpx.Response:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    return http_request("GET", f"{server.api}/credits", headers=headers)


def test_management_key_gets_the_two_totals(server: RunningServer, customer: Customer) -> None:
    answer = ask(server, customer.management)
    check(answer, 200)
    assert answer.text == '{"data":{"total_credits":100,"total_usage":0}}'


def test_request_without_key_is_unauthorized(server: RunningServer) -> None:
    answer = ask(server, None)
    check(answer, 401)
    assert answer.text == '{"error":{"message":"Missing Authentication header","code":401}}'


def test_inference_key_is_forbidden_and_gets_no_zeros(
    server: RunningServer, customer: Customer
) -> None:
    answer = ask(server, customer.inference)
    check(answer, 403)
    assert answer.text == (
        '{"error":{"message":"Only management keys can perform this operation","code":403},'
        f'"user_id":"{customer.account_id}"}}'
    )


async def test_bug_is_an_internal_server_error_without_details(
    store: Store, clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = Api(store, clock, tmp_path / "spool")
    acme = await new_customer(api.services)

    async def fail(_: str) -> None:
        raise ZeroDivisionError("/var/lib/secret")

    monkeypatch.setattr(store, "authenticated_key", fail)
    async with api.client:
        answer = await api.call("GET", CREDITS, acme.management)
    check(answer, 500)
    assert answer.text == '{"error":{"message":"Internal Server Error","code":500}}'


@pytest.mark.parametrize("status", [200, 401, 403, 500])
def test_seed_schemas_reject_other_bodies(status: int) -> None:
    schema = OPERATION["responses"][str(status)]["content"]["application/json"]["schema"]
    others: list[Any] = [
        {},
        [],
        {"data": {"total_credits": "5", "total_usage": 0}},
        {"data": {"total_credits": 5}},
        {"data": {"total_credits": None, "total_usage": 0}},
        {"error": {"message": "x"}},
        {"error": {"message": "x", "code": "401"}},
        {"error": "x"},
    ]
    for other in others:
        assert not validator(SEED, schema).is_valid(other), other
