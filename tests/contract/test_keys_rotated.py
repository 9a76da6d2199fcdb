import asyncio

import pytest

from modelgates_server.core.errors import KeyNotFound
from modelgates_server.core.key_rotation import KeySecret
from modelgates_server.core.keys import Key, KeyChange
from modelgates_server.service.ports import Store
from tests.support import T0_MS, capture, make_key, new_key, open_account, place

DAY_MS = 86_400_000


def secret(key: Key, at_ms: int) -> KeySecret:
    return KeySecret(new_key(key.account_id)[1].hash, key.hash, at_ms)


async def end_of(store: Store, secret_hash: str) -> int | None:
    """The end of a secret that still identifies its key."""
    caller = await store.authenticated_key(secret_hash)
    assert caller is not None
    return caller.secret_ends_at_ms


async def test_rotated_key_keeps_hash_and_usage_and_has_two_secrets(store: Store) -> None:
    account_id = await open_account(store, 10)
    _, key = await make_key(store, account_id, limit_pico=5)
    await store.execute(place(account_id, key.hash, "spent", 3))
    await store.execute(capture(account_id, key.hash, "spent", 2))
    new = secret(key, T0_MS + 10)
    rotation = await store.rotate_key(new, "sk-mg-v1-new...new", DAY_MS)
    assert rotation.key == await store.key(key.hash)
    assert (rotation.key.usage_pico, rotation.key.limit_pico) == (2, 5)
    assert rotation.key.label == "sk-mg-v1-new...new"
    assert await store.key_secrets(key.hash) == rotation.secrets
    for name, end in ((key.hash, T0_MS + 10 + DAY_MS), (new.hash, None)):
        caller = await store.authenticated_key(name)
        assert caller is not None
        assert (caller.key_hash, caller.usage_pico) == (key.hash, 2)
        assert caller.secret_ends_at_ms == end


async def test_secret_before_the_replaced_one_ends_when_a_key_is_rotated_again(
    store: Store,
) -> None:
    _, key = await make_key(store, await open_account(store))
    first, second = secret(key, T0_MS + 10), secret(key, T0_MS + 20)
    await store.rotate_key(first, "label", DAY_MS)
    await store.rotate_key(second, "label", DAY_MS)
    ends = [await end_of(store, each) for each in (key.hash, first.hash, second.hash)]
    assert ends == [T0_MS + 20, T0_MS + 20 + DAY_MS, None]


async def test_rotations_at_once_leave_one_current_secret(store: Store) -> None:
    _, key = await make_key(store, await open_account(store))
    new = [secret(key, T0_MS + number) for number in range(20)]
    await asyncio.gather(*(store.rotate_key(each, "label", DAY_MS) for each in new))
    ends = [each.ends_at_ms for each in await store.key_secrets(key.hash)]
    assert len(ends) == 21
    assert ends.count(None) == 1


async def test_deleted_or_unknown_key_is_not_rotated(store: Store) -> None:
    account_id = await open_account(store)
    _, unknown = new_key(account_id)
    _, key = await make_key(store, account_id)
    await store.change_key(key.hash, KeyChange(deleted=True), T0_MS)
    for each in (key, unknown):
        new = secret(each, T0_MS)
        with pytest.raises(KeyNotFound):
            await store.rotate_key(new, "label", 0)
        assert await store.authenticated_key(new.hash) is None
        assert await store.key_secrets(each.hash) == []
