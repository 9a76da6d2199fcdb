"""A compressed request body is rejected before it is read, on every route that has one."""

import gzip
import json

import pytest

from tests.server import Customer
from tests.web.harness import Api
from tests.web.test_routes import BODIES, PLACES

WITH_BODY = sorted(BODIES)


async def send(
    api: Api, acme: Customer, name: str, encodings: list[str], body: bytes
) -> tuple[int, str, str]:
    method, path = PLACES[name]
    key = (
        acme.inference
        if name.startswith(("create-", "count-")) and name != "create-key"
        else acme.management
    )
    _, named = await api.issue(acme.account_id)
    headers = [
        ("Authorization", f"Bearer {key}"),
        ("Content-Type", "application/json"),
        *(("Content-Encoding", encoding) for encoding in encodings),
    ]
    answer = await api.client.request(
        method, path.replace("{hash}", named), content=body, headers=headers
    )
    message = answer.json()["error"]["message"] if answer.status_code >= 400 else ""
    return answer.status_code, message, answer.headers.get("accept-encoding", "")


@pytest.mark.parametrize("name", WITH_BODY)
@pytest.mark.parametrize(
    "encoding", ["gzip", "br", "zstd", "deflate", "x", "GZIP", "identity, gzip"]
)
async def test_compressed_body_is_a_415_that_names_the_encoding(
    name: str, encoding: str, api: Api, acme: Customer
) -> None:
    body = gzip.compress(json.dumps(BODIES[name]).encode())
    shown = encoding.rpartition(", ")[2]
    expected = f"`Content-Encoding` `{shown}` is not supported. Send the body uncompressed."
    assert await send(api, acme, name, [encoding], body) == (415, expected, "identity")


@pytest.mark.parametrize("name", WITH_BODY)
@pytest.mark.parametrize("encodings", [["identity"], ["Identity"], [""], ["identity", "identity"]])
async def test_uncompressed_body_may_say_so(
    name: str, encodings: list[str], api: Api, acme: Customer
) -> None:
    status, _, _ = await send(api, acme, name, encodings, json.dumps(BODIES[name]).encode())
    assert status in (200, 201)


async def test_encoding_in_the_first_of_two_headers_is_noticed(api: Api, acme: Customer) -> None:
    status, _, _ = await send(api, acme, "create-key", ["gzip", "identity"], b"{}")
    assert status == 415
