"""Request ids, and the accepted forms of the Authorization header."""

import re

import pytest

from tests.server import Customer
from tests.web.harness import Api

CREDITS = "/api/v1/credits"


@pytest.mark.parametrize("path", [CREDITS, "/api/v1/nothing", "/healthz"])
async def test_request_without_id_gets_a_new_one(path: str, api: Api) -> None:
    first, second = [await api.call("GET", path) for _ in range(2)]
    assert re.fullmatch(r"req_[0-9a-f]{12}_[0-9a-f]+", first.headers["x-request-id"])
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


@pytest.mark.parametrize("valid", ["a", "req-1/2:3+4=5._", "x" * 128])
async def test_valid_request_id_is_returned(valid: str, api: Api) -> None:
    answer = await api.call("GET", CREDITS, headers={"X-Request-Id": valid})
    assert answer.headers["x-request-id"] == valid


@pytest.mark.parametrize("invalid", ["", "x" * 129, "two words", "<script>", "semi;colon", "ä"])
async def test_invalid_request_id_is_replaced(invalid: str, api: Api) -> None:
    headers = {b"X-Request-Id": invalid.encode()}
    answer = await api.client.get(CREDITS, headers=headers)
    assert answer.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    "written", ["Bearer {}", "bearer {}", "BEARER {}", "bEaReR {}", "Bearer   {}", "Bearer {} "]
)
async def test_bearer_scheme_ignores_case_and_extra_spaces(
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
async def test_malformed_key_counts_as_missing(written: str, api: Api, acme: Customer) -> None:
    headers = {b"Authorization": written.format(acme.viewer).encode()}
    answer = await api.client.get(CREDITS, headers=headers)
    assert answer.status_code == 401
    error = answer.json()["error"]
    assert (error["message"], error["code"]) == ("Missing Authentication header", 401)
    assert error["metadata"]["remedy_hint"]
    assert answer.headers["www-authenticate"] == 'Bearer realm="ModelGates"'


async def test_mistyped_key_gets_the_same_error_as_an_unknown_key(api: Api, acme: Customer) -> None:
    last = "0" if acme.viewer[-1] != "0" else "1"
    answer = await api.call("GET", CREDITS, acme.viewer[:-1] + last)
    assert answer.status_code == 401
    error = answer.json()["error"]
    assert (error["message"], error["code"]) == ("User not found.", 401)
    assert error["metadata"]["remedy_hint"].startswith("The checksum of the key is wrong.")
    challenge = 'Bearer realm="ModelGates", error="invalid_token"'
    assert answer.headers["www-authenticate"] == challenge
