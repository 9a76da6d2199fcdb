"""/keys: create, list, get, change, delete."""

import json
import re
from typing import Any

import pytest

from modelgates_server.core.keys import KeyKind, key_hash
from tests.server import Customer
from tests.support import DOLLAR
from tests.web.harness import Api

KEYS = "/api/v1/keys"
NEVER = "00" * 32


async def create(api: Api, acme: Customer, **body: Any) -> dict[str, Any]:
    answer = await api.call("POST", KEYS, acme.management, json={"name": "new", **body})
    assert answer.status_code == 201, answer.text
    row: dict[str, Any] = answer.json()["data"]
    return row


async def test_new_key_works_and_its_text_is_shown_once(api: Api, acme: Customer) -> None:
    answer = await api.call("POST", KEYS, acme.management, json={"name": "new"})
    assert answer.status_code == 201
    assert list(answer.json()) == ["data", "key"]
    text, row = answer.json()["key"], answer.json()["data"]
    assert re.fullmatch(r"sk-mg-v1-[0-9A-Za-z]{49}", text)
    assert row["hash"] == key_hash(text)
    assert row["label"] == f"{text[:12]}...{text[-3:]}"
    assert text not in json.dumps(row)
    assert (await api.call("GET", "/api/v1/key", text)).status_code == 200
    shown = await api.call("GET", f"{KEYS}/{row['hash']}", acme.management)
    assert shown.json() == {"data": row}
    assert text not in (await api.call("GET", KEYS, acme.management)).text


async def test_key_has_all_fields_that_old_and_new_clients_require(
    api: Api, acme: Customer
) -> None:
    row = await create(api, acme, limit=5, limit_reset="monthly", include_byok_in_limit=True)
    workspace = row.pop("workspace_id")
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", workspace)
    assert re.fullmatch(r"[0-9a-f]{64}", row.pop("hash"))
    assert re.fullmatch(r"sk-mg-v1-\w{3}\.\.\.\w{3}", row.pop("label"))
    assert row == {
        "name": "new",
        "kind": "inference",
        "disabled": False,
        "limit": 5,
        "limit_remaining": 5,
        "limit_reset": "monthly",
        "include_byok_in_limit": True,
        **{
            f"{of}usage{window}": 0
            for of in ("", "byok_")
            for window in ("", "_daily", "_weekly", "_monthly")
        },
        "created_at": "2026-11-23T13:12:00.000Z",
        "updated_at": None,
        "expires_at": None,
        "last_used_at": None,
        "creator_user_id": acme.account_id,
        "external_user": None,
    }


async def test_viewer_key_can_be_created_but_management_key_cannot(
    api: Api, acme: Customer
) -> None:
    assert (await create(api, acme, kind="viewer"))["kind"] == "viewer"
    for kind in ("management", "admin", None, 1):
        answer = await api.call("POST", KEYS, acme.management, json={"name": "x", "kind": kind})
        assert answer.status_code == 400


async def test_own_workspace_and_user_may_be_given(api: Api, acme: Customer) -> None:
    row = await create(api, acme, workspace_id=None, creator_user_id=None)
    same = await create(
        api, acme, workspace_id=row["workspace_id"], creator_user_id=acme.account_id
    )
    assert same["workspace_id"] == row["workspace_id"]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("null", "null"),
        ("0", "0"),
        ("0.0", "0"),
        ("-0", "0"),
        ("5", "5"),
        ("5.0", "5"),
        ("5e0", "5"),
        ("1E2", "100"),
        ("25.75", "25.75"),
        ("0.000000000001", "0.000000000001"),
        ("1.23456e-7", "0.000000123456"),
        ("9007.199254740993", "9007.199254740993"),
        ("9223372.036854775807", "9223372.036854775807"),
    ],
)
async def test_limit_is_kept_exactly(written: str, shown: str, api: Api, acme: Customer) -> None:
    body = f'{{"name":"exact","limit": {written} }}'
    answer = await api.call("POST", KEYS, acme.management, content=body)
    assert answer.status_code == 201, answer.text
    assert f'"limit":{shown},"limit_remaining":{shown},' in answer.text


@pytest.mark.parametrize(
    "body",
    [
        '{"name":"x","limit":-0.01}',
        '{"name":"x","limit":-1e-12}',
        '{"name":"x","limit":0.0000000000001}',
        '{"name":"x","limit":9223372.036854775808}',
        '{"name":"x","limit":1e30}',
        '{"name":"x","limit":1e999999999}',
        '{"name":"x","limit":1e-999999999}',
        '{"name":"x","limit":1e99999999999999999999}',
        '{"name":"x","limit":' + "9" * 5000 + "}",
        '{"name":"x","limit":NaN}',
        '{"name":"x","limit":Infinity}',
        '{"name":"x","limit":01}',
        '{"name":"x","limit":1_0}',
        '{"name":"x","limit":0x10}',
        '{"name":"x","limit":+1}',
        '{"name":"x","limit":.5}',
        '{"name":"x","limit":5.}',
        '{"name":"x","limit":"5"}',
        '{"name":"x","limit":true}',
        '{"name":"x","limit":[5]}',
        '{"name":"x","limit":{}}',
        '{"name":"x","limit":}',
        '{"name":"x","limit_reset":"monthly"}',
        '{"name":"x","limit":5,"limit_reset":"yearly"}',
        '{"name":"x","limit":5,"limit_reset":"Daily"}',
        '{"name":"x","limit":5,"kind":"viewer"}',
        '{"name":"x","expires_at":"2026-11-23T13:12:00Z"}',
        '{"name":"x","expires_at":"2030-01-01"}',
        '{"name":"x","expires_at":"2030-01-01T00:00:00"}',
        '{"name":"x","expires_at":"tomorrow"}',
        '{"name":"x","expires_at":"10000-01-01T00:00:00Z"}',
        '{"name":"x","expires_at":1893456000}',
        '{"name":""}',
        '{"name":null}',
        '{"name":5}',
        '{"name":"' + "x" * 256 + '"}',
        r'{"name":"a\u0000b"}',
        r'{"name":"a\u001b[2Jb"}',
        r'{"name":"\ud800"}',
        '{"limit":5}',
        '{"name":"x","include_byok_in_limit":1}',
        '{"name":"x","workspace_id":"93f54ea2-9a0c-5e2b-8b1c-3b8f4a8a7d10"}',
        '{"name":"x","creator_user_id":"user_somebody_else"}',
        "{}",
        "[]",
        "null",
        '"x"',
        "5",
        '{"name":"x"',
        '{"name":"x"}{"name":"y"}',
        "name=x",
        "",
        " ",
    ],
)
async def test_invalid_body_is_a_400_that_creates_nothing(
    body: str, api: Api, acme: Customer
) -> None:
    answer = await api.call("POST", KEYS, acme.management, content=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["code"] == 400
    assert answer.json()["error"]["message"]
    assert answer.json()["user_id"] == acme.account_id
    assert len(await api.services.keys.page(acme.account_id, limit=100)) == 3


async def test_invalid_utf_8_is_a_400(api: Api, acme: Customer) -> None:
    for body in (b'{"name":"\xff"}', b'{"name":"\xc3"}', b"\xff\xfe", b'{"name":"\xed\xa0\x80"}'):
        answer = await api.call("POST", KEYS, acme.management, content=body)
        assert answer.status_code == 400, body


async def test_post_without_body_is_a_400_in_json(api: Api, acme: Customer) -> None:
    for headers in ({}, {"Content-Type": "application/json"}, {"Content-Type": "text/plain"}):
        answer = await api.call("POST", KEYS, acme.management, headers=headers)
        assert answer.status_code == 400
        assert answer.json() == {
            "error": {"message": "The request body is empty. Send a JSON object.", "code": 400},
            "user_id": acme.account_id,
        }


@pytest.mark.parametrize(
    ("media_type", "status"),
    [
        ("application/json", 201),
        ("application/json; charset=utf-8", 201),
        ("Application/JSON", 201),
        (None, 201),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/jsonp", 415),
        ("", 415),
    ],
)
async def test_body_is_refused_when_its_content_type_is_not_json(
    media_type: str | None, status: int, api: Api, acme: Customer
) -> None:
    headers = {} if media_type is None else {"Content-Type": media_type}
    answer = await api.call("POST", KEYS, acme.management, content=b'{"name":"x"}', headers=headers)
    assert answer.status_code == status
    if status == 415:
        shown = media_type or '""'
        assert answer.json()["error"]["message"] == (
            f"`Content-Type` must be `application/json`, not `{shown}`."
        )


async def test_oversized_body_is_a_413(api: Api, acme: Customer) -> None:
    fits = json.dumps({"name": "x", "external": {"user": ""}})
    fits = fits.replace('""', f'"{"p" * (64 * 1024 - len(fits))}"')
    assert len(fits) == 64 * 1024
    for body, status in ((fits, 201), (fits + " ", 413), ("[" * 10**6, 413)):
        answer = await api.call("POST", KEYS, acme.management, content=body)
        assert answer.status_code == status


async def test_deeply_nested_body_is_a_400(api: Api, acme: Customer) -> None:
    for opening in ('{"name":', '{"limit":[', "["):
        answer = await api.call("POST", KEYS, acme.management, content=opening * 5000)
        assert answer.status_code == 400


@pytest.mark.parametrize(
    "written",
    [
        "2030-01-01T00:00:00Z",
        "2030-01-01T00:00:00.000Z",
        "2030-01-01T00:00:00+00:00",
        "2030-01-01T05:30:00+05:30",
        "2030-01-01 00:00:00Z",
        "9999-12-31T23:59:59Z",
    ],
)
async def test_expires_at_is_returned_byte_for_byte(written: str, api: Api, acme: Customer) -> None:
    row = await create(api, acme, expires_at=written)
    shown = await api.call("GET", f"{KEYS}/{row['hash']}", acme.management)
    assert f'"expires_at":"{written}"' in shown.text
    listed = await api.call("GET", KEYS, acme.management)
    assert f'"expires_at":"{written}"' in listed.text


async def test_expires_at_cannot_be_changed_but_may_be_repeated(api: Api, acme: Customer) -> None:
    row = await create(api, acme, expires_at="2030-01-01T00:00:00Z")
    path = f"{KEYS}/{row['hash']}"
    for other in ("2031-01-01T00:00:00Z", "2030-01-01T00:00:00.000Z", None):
        answer = await api.call("PATCH", path, acme.management, json={"expires_at": other})
        assert answer.status_code == 400
        assert "cannot be changed" in answer.json()["error"]["message"]
    same = {"expires_at": "2030-01-01T00:00:00Z", "name": "renamed"}
    answer = await api.call("PATCH", path, acme.management, json=same)
    assert answer.json()["data"]["name"] == "renamed"


async def test_change_keeps_parameters_that_it_leaves_out(api: Api, acme: Customer) -> None:
    row = await create(api, acme, limit=5, limit_reset="weekly", include_byok_in_limit=True)
    path = f"{KEYS}/{row['hash']}"
    api.clock.forward(1000)
    steps: list[dict[str, Any]] = [
        {"name": "renamed"},
        {"disabled": True},
        {"disabled": False},
        {"limit": 0, "limit_remaining": 0},
        {"limit_reset": "daily"},
        {"limit": 2.5, "limit_remaining": 2.5, "limit_reset": None},
        {"include_byok_in_limit": False},
        {"limit": None, "limit_remaining": None},
        {},
    ]
    for step in steps:
        sent = {name: value for name, value in step.items() if name != "limit_remaining"}
        answer = await api.call("PATCH", path, acme.management, json=sent)
        assert answer.status_code == 200, answer.text
        row = {**row, **step, "updated_at": "2026-11-23T13:12:01.000Z"}
        assert answer.json() == {"data": row}
        assert (await api.call("GET", path, acme.management)).json() == {"data": row}


@pytest.mark.parametrize(
    "body",
    ['{"limit":-1}', '{"limit":"5"}', '{"limit_reset":"yearly"}', '{"name":""}', '{"name":null}',
     '{"disabled":null}', '{"disabled":"true"}', '{"workspace_id":"another"}', "", "[]", "{"],
)  # fmt: skip
async def test_invalid_change_changes_nothing(body: str, api: Api, acme: Customer) -> None:
    path = f"{KEYS}/{key_hash(acme.inference)}"
    before = (await api.call("GET", path, acme.management)).json()
    answer = await api.call("PATCH", path, acme.management, content=body)
    assert answer.status_code == 400
    assert (await api.call("GET", path, acme.management)).json() == before


@pytest.mark.parametrize("spelling", ["path", "query"])
async def test_deleted_key_is_not_found(spelling: str, api: Api, acme: Customer) -> None:
    named = key_hash(acme.inference)
    path = f"{KEYS}/{named}" if spelling == "path" else f"{KEYS}?id={named}"
    answer = await api.call("DELETE", path, acme.management)
    assert (answer.status_code, answer.text) == (200, '{"deleted":true}')
    for method, target in (("DELETE", path), ("GET", f"{KEYS}/{named}")):
        again = await api.call(method, target, acme.management)
        assert again.status_code == 404
        assert again.json()["error"]["message"] == "API key not found"
    assert (await api.call("GET", "/api/v1/key", acme.inference)).status_code == 401
    assert named not in (await api.call("GET", KEYS, acme.management)).text


@pytest.mark.parametrize(
    "named", [NEVER, NEVER.replace("0", "A"), "x", "0" * 63, "0" * 65, "' or 1"]
)
async def test_unknown_hash_is_not_found(named: str, api: Api, acme: Customer) -> None:
    for method in ("GET", "PATCH", "DELETE"):
        body = {"json": {"name": "x"}} if method == "PATCH" else {}
        answer = await api.call(method, f"{KEYS}/{named}", acme.management, **body)
        assert answer.status_code == 404


@pytest.mark.parametrize("query", ["", "?id=", "?hash=x"])
async def test_delete_without_a_hash_deletes_no_key(query: str, api: Api, acme: Customer) -> None:
    answer = await api.call("DELETE", KEYS + query, acme.management)
    assert answer.status_code == 400
    assert len((await api.call("GET", KEYS, acme.management)).json()["data"]) == 2


async def test_usage_of_a_deleted_key_stays_on_the_account(api: Api, acme: Customer) -> None:
    await api.spend(acme.account_id, acme.inference, DOLLAR)
    await api.call("DELETE", f"{KEYS}/{key_hash(acme.inference)}", acme.management)
    data = (await api.call("GET", "/api/v1/credits", acme.viewer)).json()["data"]
    assert data == {"total_credits": 100, "total_usage": 1}


async def test_viewer_key_can_be_disabled(api: Api, acme: Customer) -> None:
    viewer, named = await api.issue(acme.account_id, KeyKind.VIEWER)
    body = {"disabled": True}
    await api.call("PATCH", f"{KEYS}/{named}", acme.management, json=body)
    answer = await api.call("GET", "/api/v1/credits", viewer)
    assert answer.json()["error"]["message"] == "API key is disabled."


async def test_limit_with_invalid_utf_8_is_a_400(api: Api, acme: Customer) -> None:
    answer = await api.call("POST", KEYS, acme.management, content=b'{"name":"x","limit":"\xff"}')
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, 400)
