"""Uses an old or a new version of OpenRouter's client for credits and keys, as an application does.

Arguments: base URL, management key, inference key. Prints the client's version on success.
"""

import asyncio
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from openrouter import OpenRouter, errors
from openrouter._version import __version__

UNKNOWN_KEY = "sk-mg-v1-" + "0" * 49
UNKNOWN_HASH = "0" * 64
IN_2030 = datetime(2030, 1, 1, tzinfo=UTC)


def read_credits(client: OpenRouter) -> None:
    """Reads the totals, with the synchronous and the asynchronous method."""
    for data in (
        client.credits.get_credits().data,
        asyncio.run(client.credits.get_credits_async()).data,
    ):
        assert (data.total_credits, data.total_usage) == (100, 0)


def administer_keys(client: OpenRouter) -> None:
    """Creates, reads, lists, uses, changes and deletes a key."""
    keys = client.api_keys
    created = keys.create(name="sdk", limit=5.5, limit_reset="monthly", expires_at=IN_2030)
    row, text = created.data, created.key
    assert text.startswith("sk-mg-v1-")
    assert (row.name, row.limit, row.limit_reset) == ("sdk", 5.5, "monthly")
    assert row.limit_remaining == 5.5
    assert row.expires_at == IN_2030
    fields = row.model_dump()
    assert keys.get(hash=row.hash).data.model_dump() == fields
    assert fields in [listed.model_dump() for listed in keys.list(offset=0).data]
    assert keys.list(offset=100).data == []
    use_new_key(client, text, row.hash)
    changed = keys.update(hash=row.hash, name="renamed", limit=None, disabled=True).data
    assert (changed.name, changed.limit, changed.disabled) == ("renamed", None, True)
    assert row.hash not in {listed.hash for listed in keys.list().data}
    assert row.hash in {listed.hash for listed in keys.list(include_disabled=True).data}
    assert keys.delete(hash=row.hash).DELETED is True
    error = refused(errors.NotFoundResponseError, lambda: keys.delete(hash=row.hash))
    assert error.data.error.message == "API key not found"


def use_new_key(manager: OpenRouter, text: str, key_hash: str) -> None:
    """Reads a new key with that key; a change of it applies at once."""
    with OpenRouter(api_key=text, server_url=manager.sdk_configuration.server_url) as client:
        read_key = client.api_keys.get_current_key_metadata
        key = read_key().data
        assert (key.limit, key.is_management_key, key.expires_at) == (5.5, False, IN_2030)
        manager.api_keys.update(hash=key_hash, disabled=True)
        error = refused(errors.UnauthorizedResponseError, read_key)
        assert error.data.error.message == "API key is disabled."
        manager.api_keys.update(hash=key_hash, disabled=False)
        assert read_key().data == key


def read_current_key(client: OpenRouter) -> None:
    """Reads a management key with that key."""
    key = client.api_keys.get_current_key_metadata().data
    assert key.is_management_key
    assert key.rate_limit.requests == -1
    assert key.limit is None


def check_errors(client: OpenRouter, server_url: str, inference: str) -> None:
    """Checks that every error is the client's typed error for it."""
    error = refused(errors.NotFoundResponseError, lambda: client.api_keys.get(hash=UNKNOWN_HASH))
    assert error.data.error.code == 404
    refused(errors.BadRequestResponseError, lambda: client.api_keys.create(name=""))
    with OpenRouter(api_key=UNKNOWN_KEY, server_url=server_url) as stranger:
        error = refused(errors.UnauthorizedResponseError, stranger.credits.get_credits)
        assert error.data.error.message == "User not found."
        assert "user_id" not in error.body
        refused(errors.UnauthorizedResponseError, stranger.api_keys.list)
    with OpenRouter(api_key=inference, server_url=server_url) as user:
        error = refused(errors.ForbiddenResponseError, user.credits.get_credits)
        message = "Only management keys can perform this operation"
        assert error.data.error.message == message
        assert error.data.user_id.startswith("user_")
        refused(errors.ForbiddenResponseError, lambda: user.api_keys.create(name="x"))


def refused(kind: type[Exception], call: Callable[[], object]) -> Any:
    """The error of a call; fails if there is no error of this kind."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"expected {kind.__name__}")


def main(server_url: str, management: str, inference: str) -> None:
    """Runs all checks with one account."""
    with OpenRouter(api_key=management, server_url=server_url) as client:
        read_credits(client)
        administer_keys(client)
        read_current_key(client)
        check_errors(client, server_url, inference)


if __name__ == "__main__":
    main(*sys.argv[1:])
    print(__version__)
