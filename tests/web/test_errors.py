"""Trouble inside: nothing of it reaches the client, and the client can act on what does."""

from collections.abc import Callable

import pytest

from modelgates_server.core import errors as e
from modelgates_server.web.errors import STATUS
from tests.server import Customer
from tests.web.harness import Api

CREDITS, KEYS = "/api/v1/credits", "/api/v1/keys"
SECRET = "/var/lib/modelgates/modelgates.db"


def fails(error: Exception) -> Callable[..., object]:
    async def fail(*_: object, **__: object) -> object:
        raise error

    return fail


async def test_a_mistake_of_ours_does_not_tell_its_details(
    api: Api, acme: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.store, "authenticated_key", fails(RuntimeError(SECRET)))
    answer = await api.call("GET", CREDITS, acme.management)
    assert answer.status_code == 500
    assert answer.text == '{"error":{"message":"Internal Server Error","code":500}}'
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_a_mistake_after_the_caller_is_known_names_the_caller_and_nothing_else(
    api: Api, acme: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.store, "keys", fails(KeyError(SECRET)))
    answer = await api.call("GET", KEYS, acme.management)
    assert answer.status_code == 500
    assert answer.json() == {
        "error": {"message": "Internal Server Error", "code": 500},
        "user_id": acme.account_id,
    }


@pytest.mark.parametrize(("method", "path"), [("GET", CREDITS), ("GET", KEYS), ("POST", KEYS)])
async def test_a_database_that_is_away_is_a_503_that_says_when_to_come_back(
    method: str, path: str, api: Api, acme: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        api.store, "authenticated_key", fails(e.StoreUnavailable(f"{SECRET} is locked"))
    )
    answer = await api.call(method, path, acme.management, json={"name": "x"})
    assert answer.status_code == 503
    assert answer.text == '{"error":{"message":"Service temporarily unavailable","code":503}}'
    assert answer.headers["retry-after"] == "1"


async def test_a_write_that_cannot_be_kept_is_not_acknowledged(
    api: Api, acme: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.store, "create_key", fails(e.StoreUnavailable(SECRET)))
    answer = await api.call("POST", KEYS, acme.management, json={"name": "x"})
    assert answer.status_code == 503
    assert SECRET not in answer.text
    assert "sk-mg-v1-" not in answer.text


async def test_every_refusal_has_its_http_status(subtests: pytest.Subtests) -> None:
    def leaves(kind: type[e.GatewayError]) -> list[type[e.GatewayError]]:
        return [kind, *(leaf for child in kind.__subclasses__() for leaf in leaves(child))]

    groups = {e.GatewayError, e.Unauthenticated, e.NotFound, e.Conflict, e.ProviderError}
    for kind in set(leaves(e.GatewayError)) - groups:
        with subtests.test(kind.__name__):
            assert STATUS[kind] in range(400, 600)
