"""The headers that may have the key: which one wins, and what an unusable one gets."""

import json

import httpx
import pytest

from modelgates_server.core.keys import key_text
from tests.server import Customer
from tests.web.harness import Api

CREDITS = "/api/v1/credits"
UNSENT = '{"error":{"message":"Missing Authentication header","code":401}}'


async def get(api: Api, *headers: tuple[str, str], path: str = CREDITS) -> httpx.Response:
    return await api.client.get(path, headers=[*headers])


@pytest.mark.parametrize(
    "header",
    [
        ("Authorization", "Bearer {}"),
        ("x-api-key", "{}"),
        ("X-API-Key", " {} "),
        ("api-key", "{}"),
        ("Api-Key", "{}"),
    ],
)
async def test_key_is_read_from_each_header(
    header: tuple[str, str], api: Api, acme: Customer
) -> None:
    name, written = header
    assert (await get(api, (name, written.format(acme.viewer)))).status_code == 200
    refused = await get(api, (name, written.format(acme.inference)))
    assert refused.status_code == 403
    assert refused.json()["user_id"] == acme.account_id


@pytest.mark.parametrize(
    "others",
    [
        [("x-api-key", "dummy")],
        [("x-api-key", "sk-ant-abcdefgh"), ("api-key", "not-needed")],
        [("x-api-key", "")],
    ],
)
async def test_bearer_token_wins_over_other_texts(
    others: list[tuple[str, str]], api: Api, acme: Customer
) -> None:
    bearer = ("Authorization", f"Bearer {acme.viewer}")
    for headers in ([bearer, *others], [*others, bearer]):
        assert (await get(api, *headers)).status_code == 200


async def test_x_api_key_wins_over_api_key(api: Api, acme: Customer) -> None:
    for headers in ([("api-key", "dummy"), ("x-api-key", acme.viewer)],):
        assert (await get(api, *headers)).status_code == 200
    refused = await get(api, ("x-api-key", "dummy"), ("api-key", acme.viewer))
    assert refused.status_code == 401


@pytest.mark.parametrize("scheme", ["Basic dXNlcg==", "Bearer", "Bearer ", ""])
async def test_key_is_read_when_authorization_has_none(
    scheme: str, api: Api, acme: Customer
) -> None:
    headers = [("Authorization", scheme), ("x-api-key", acme.viewer)]
    assert (await get(api, *headers)).status_code == 200


async def test_same_key_may_be_sent_in_every_header(api: Api, acme: Customer) -> None:
    bearer = ("Authorization", f"Bearer {acme.viewer}")
    both = [("x-api-key", acme.viewer), ("api-key", acme.viewer)]
    assert (await get(api, bearer, bearer, *both)).status_code == 200


@pytest.mark.parametrize(
    "names",
    [
        ("Authorization", "Authorization"),
        ("Authorization", "x-api-key"),
        ("Authorization", "api-key"),
        ("x-api-key", "api-key"),
        ("api-key", "api-key"),
    ],
)
async def test_two_different_keys_are_a_400_on_every_route_with_a_key(
    names: tuple[str, str], api: Api, acme: Customer, other: Customer
) -> None:
    keys = [acme.viewer, other.viewer]
    headers = [
        (name, f"Bearer {key}" if name == "Authorization" else key)
        for name, key in zip(names, keys, strict=True)
    ]
    for path in (CREDITS, "/api/v1/key", "/v1/key", "/api/v1/activity"):
        answer = await get(api, *headers, path=path)
        assert answer.status_code == 400
        error = json.loads(answer.content)
        assert error == {
            "error": {
                "message": "The request has two different keys. Send one of them, as "
                "`Authorization: Bearer`, `x-api-key` or `api-key`.",
                "code": 400,
            }
        }
    assert (await get(api, *headers, path="/api/v1/models")).status_code == 200


@pytest.mark.parametrize("other", ["Basic dXNlcg==", "Bearer x", "Bearer", ""])
async def test_header_with_two_values_counts_as_missing(
    other: str, api: Api, acme: Customer
) -> None:
    values = [("Authorization", f"Bearer {acme.viewer}"), ("Authorization", other)]
    for headers in (values, values[::-1]):
        answer = await get(api, *headers)
        assert answer.status_code == 401
        hint = answer.json()["error"]["metadata"]["remedy_hint"]
        assert hint == "The header for the key is sent twice, with two values. Send it once."


async def test_tool_call_is_made_with_the_key_of_any_header(api: Api, acme: Customer) -> None:
    params = {"name": "get_credits", "arguments": {}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    for path in ("/api/v1/mcp", "/v1/mcp"):
        answer = await api.client.post(path, json=message, headers={"x-api-key": acme.viewer})
        assert answer.json()["result"]["isError"] is False


@pytest.mark.parametrize("headers", [[], [("x-api-keys", "x")], [("X-Auth", "x")]])
async def test_request_without_a_key_gets_no_hint(headers: list[tuple[str, str]], api: Api) -> None:
    answer = await get(api, *headers)
    assert (answer.status_code, answer.text) == (401, UNSENT)


@pytest.mark.parametrize(
    ("header", "hint"),
    [
        (("Authorization", "Basic dXNlcg=="), "`Authorization` must be `Bearer`, one space, and"),
        (("Authorization", "Bearer"), "The header for the key has no key."),
        (("api-key", ""), "The header for the key has no key."),
        (("Authorization", "Bearer sk-or-v1-0123456789abcdef"), "This is a key of OpenRouter."),
        (("x-api-key", "Bearer {}"), "The key begins with `Bearer`."),
        (("Authorization", 'Bearer "{}"'), "The key is in quotes or brackets."),
        (("Authorization", "Bearer YOUR_API_KEY"), "The key is a placeholder."),
    ],
)
async def test_malformed_key_gets_a_hint(
    header: tuple[str, str], hint: str, api: Api, acme: Customer
) -> None:
    answer = await get(api, (header[0], header[1].format(acme.viewer)))
    assert answer.status_code == 401
    error = answer.json()["error"]
    assert (error["message"], error["code"]) == ("Missing Authentication header", 401)
    assert error["metadata"]["error_type"] == "authentication"
    assert error["metadata"]["remedy_hint"].startswith(hint)
    assert acme.viewer[9:] not in answer.text


async def test_hint_does_not_depend_on_stored_keys(api: Api, acme: Customer) -> None:
    never = key_text(bytes(range(32)))
    for wrong in (lambda key: key[:-1], lambda key: key + "x", lambda key: f"{key[:-6]}000000"):
        answers = {(await get(api, ("x-api-key", wrong(key)))).text for key in (acme.viewer, never)}
        assert len(answers) == 1
    assert "metadata" not in (await get(api, ("x-api-key", never))).json()["error"]


async def test_preflight_allows_the_headers_of_all_clients(api: Api) -> None:
    answer = await api.client.options(CREDITS)
    allowed = answer.headers["access-control-allow-headers"]
    assert allowed == "authorization, x-api-key, api-key, content-type"
