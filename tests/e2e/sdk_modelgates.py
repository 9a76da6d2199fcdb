"""Uses the ModelGates client for credits and keys, as an application does.

Arguments: base URL, management key, inference key. Prints the client's version on success.
"""

import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import httpx
import openai
from modelgates import ModelGates

UNKNOWN_KEY = "sk-mg-v1-" + "0" * 49


def connect(base_url: str, key: str) -> ModelGates:
    """A client with workarounds for two bugs of its version 0.1.0."""
    # Without `max_retries` it passes None to the client it extends, which rejects that.
    client = ModelGates(api_key=key, base_url=base_url, max_retries=0)
    # It stores text where the client it extends expects a URL, so inherited calls fail.
    client._base_url = openai.OpenAI(api_key=key, base_url=base_url).base_url
    return client


def use_own_methods(client: ModelGates) -> None:
    """Uses the client's methods for credits and keys, which return dictionaries."""
    assert client.get_credits() == {"data": {"total_credits": 100, "total_usage": 0}}
    created = client.create_key({"name": "sdk", "limit": 5.5, "limit_reset": "monthly"})
    key = created["data"]
    assert created["key"].startswith("sk-mg-v1-")
    assert key in client.list_keys()["data"]
    assert client.delete_key(key["hash"]) == {"deleted": True}
    assert refused(httpx.HTTPStatusError, lambda: client.delete_key(key["hash"])) == 404
    assert refused(httpx.HTTPStatusError, client.create_key) == 400


def use_inherited_methods(client: ModelGates) -> None:
    """Uses inherited methods, for operations without a method of the client."""
    created = client.create_key({"name": "inherited"})
    path = f"/keys/{created['data']['hash']}"
    got: Any = client.get(path, cast_to=object)
    assert got == {"data": created["data"]}
    changed: Any = client.patch(path, body={"name": "renamed", "disabled": True}, cast_to=object)
    assert (changed["data"]["name"], changed["data"]["disabled"]) == ("renamed", True)
    own: Any = client.get("/key", cast_to=object)
    assert own["data"]["is_management_key"]
    client.delete_key(created["data"]["hash"])
    assert refused(openai.NotFoundError, lambda: client.get(path, cast_to=object)) == 404


def check_errors(base_url: str, inference: str) -> None:
    """Checks the errors of both kinds of methods."""
    for key, status, kind in (
        (UNKNOWN_KEY, 401, openai.AuthenticationError),
        (inference, 403, openai.PermissionDeniedError),
    ):
        client = connect(base_url, key)
        assert refused(httpx.HTTPStatusError, client.get_credits) == status
        assert refused(httpx.HTTPStatusError, client.list_keys) == status
        assert refused(kind, lambda: client.get("/credits", cast_to=object)) == status  # noqa: B023


def refused(
    kind: type[httpx.HTTPStatusError | openai.APIStatusError], call: Callable[[], object]
) -> int:
    """The status of a refused call; fails if there is no error of this kind."""
    try:
        call()
    except kind as error:
        return error.response.status_code
    raise AssertionError(f"expected {kind.__name__}")


def main(base_url: str, management: str, inference: str) -> None:
    """Runs all checks with one account."""
    client = connect(base_url, management)
    use_own_methods(client)
    use_inherited_methods(client)
    check_errors(base_url, inference)


if __name__ == "__main__":
    main(*sys.argv[1:])
    print(version("modelgates"))
