"""Request ids, and how a key may be written into the Authorization header."""

import re

import pytest

from tests.server import Customer
from tests.web.harness import Api

CREDITS = "/api/v1/credits"


@pytest.mark.parametrize("path", [CREDITS, "/api/v1/nothing", "/healthz"])
async def test_an_answer_without_a_request_id_cannot_be_found_in_the_log(
    path: str, api: Api
) -> None:
    first, second = [await api.call("GET", path) for _ in range(2)]
    assert re.fullmatch(r"req_[0-9a-f]{12}_[0-9a-f]+", first.headers["x-request-id"])
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


@pytest.mark.parametrize("sane", ["a", "req-1/2:3+4=5._", "x" * 128])
async def test_a_sane_request_id_comes_back(sane: str, api: Api) -> None:
    answer = await api.call("GET", CREDITS, headers={"X-Request-Id": sane})
    assert answer.headers["x-request-id"] == sane


@pytest.mark.parametrize("insane", ["", "x" * 129, "two words", "<script>", "semi;colon", "ä"])
async def test_an_insane_request_id_is_replaced(insane: str, api: Api) -> None:
    headers = {b"X-Request-Id": insane.encode()}
    answer = await api.client.get(CREDITS, headers=headers)
    assert answer.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    "written", ["Bearer {}", "bearer {}", "BEARER {}", "bEaReR {}", "Bearer   {}", "Bearer {} "]
)
async def test_a_scheme_in_other_letters_is_the_same_scheme(
    written: str, api: Api, acme: Customer
) -> None:
    headers = {"Authorization": written.format(acme.viewer)}
    assert (await api.call("GET", CREDITS, headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "written",
    [
        "{}",
        "Bearer",
        "Bearer ",
        "Bearer{}",
        "Bearer\t{}",
        "Basic {}",
        "Token {}",
        "Bearer: {}",
        'Bearer "{}"',
        "Bearer '{}'",
        "Bearer <{}>",
        "Bearer Bearer {}",
        "Bearer {} x",
        "Bearer {}x",
        "Bearer {},",
        "Bearer sk-or-v1-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "Bearer sk-proj-abc",
        "Bearer null",
        "Bearer undefined",
        "Bearer Ключ",
    ],
)
async def test_what_is_no_bearer_key_counts_as_no_key(
    written: str, api: Api, acme: Customer
) -> None:
    headers = {b"Authorization": written.format(acme.viewer).encode()}
    answer = await api.client.get(CREDITS, headers=headers)
    assert answer.status_code == 401
    assert answer.text == '{"error":{"message":"Missing Authentication header","code":401}}'
    assert answer.headers["www-authenticate"] == 'Bearer realm="ModelGates"'


async def test_two_keys_in_one_request_leave_no_doubt_who_is_calling(
    api: Api, acme: Customer, other: Customer
) -> None:
    twice = [("Authorization", f"Bearer {key}") for key in (acme.viewer, other.viewer)]
    answer = await api.client.get(CREDITS, headers=twice)
    assert answer.status_code == 401
    assert answer.json()["error"]["message"] == "Missing Authentication header"


async def test_a_typo_in_a_key_is_not_told_from_a_key_never_issued(
    api: Api, acme: Customer
) -> None:
    last = "0" if acme.viewer[-1] != "0" else "1"
    answer = await api.call("GET", CREDITS, acme.viewer[:-1] + last)
    assert answer.status_code == 401
    assert answer.text == '{"error":{"message":"User not found.","code":401}}'
    challenge = 'Bearer realm="ModelGates", error="invalid_token"'
    assert answer.headers["www-authenticate"] == challenge
