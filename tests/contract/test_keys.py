import asyncio

import msgspec
import pytest

from modelgates_server.core.errors import (
    AccountClosed,
    AccountNotFound,
    CreatedKeyDeleted,
    KeyDisabled,
    KeyLimitExceeded,
    KeyNotFound,
    ReferenceReused,
    UnknownKey,
)
from modelgates_server.core.keys import IssuedKey, Key, KeyChange, KeyCreationRecord, KeyKind
from modelgates_server.core.times import LimitReset
from modelgates_server.service.ports import AuthenticatedKey, Store
from tests.support import (
    DOLLAR,
    T0_MS,
    adjust,
    capture,
    closing,
    make_key,
    new_account_id,
    new_key,
    open_account,
    place,
)

DAY_MS = 86_400_000


async def page(store: Store, account_id: str, **options: object) -> list[Key]:
    everything = {"kinds": list(KeyKind), "include_disabled": True, "offset": 0, "limit": 100}
    return await store.keys(account_id, **{**everything, **options})  # type: ignore[arg-type]


async def test_unknown_key_is_none_and_lists_are_empty(store: Store) -> None:
    assert await store.key("0" * 64) is None
    assert await store.authenticated_key("0" * 64) is None
    assert await page(store, new_account_id()) == []
    assert await store.forget_key_creation_records(T0_MS) == 0


async def test_key_is_read_back_as_saved(store: Store) -> None:
    account_id = await open_account(store)
    _, plain = await make_key(store, account_id)
    _, full = await make_key(
        store,
        account_id,
        kind=KeyKind.VIEWER,
        name="Žofie 🙂",
        limit_pico=5,
        limit_reset=LimitReset.WEEKLY,
        include_byok_in_limit=True,
        disabled=True,
        expires_at="2030-01-01T00:00:00Z",
        expires_at_ms=1_893_456_000_000,
    )
    assert await store.key(plain.hash) == plain
    assert await store.key(full.hash) == full


async def test_authenticated_key_has_the_current_amounts_of_its_account(store: Store) -> None:
    account_id = await open_account(store, 10, min_balance_pico=-5)
    _, key = await make_key(store, account_id, expires_at_ms=T0_MS + DAY_MS)
    await store.execute(place(account_id, key.hash, "spent", 3))
    await store.execute(capture(account_id, key.hash, "spent", 2))
    await store.execute(place(account_id, key.hash, "held", 4))
    assert await store.authenticated_key(key.hash) == AuthenticatedKey(
        key_hash=key.hash,
        account_id=account_id,
        kind=KeyKind.INFERENCE,
        disabled=False,
        deleted_at_ms=None,
        expires_at_ms=T0_MS + DAY_MS,
        closed_at_ms=None,
        credits_pico=10,
        usage_pico=2,
        held_pico=4,
        min_balance_pico=-5,
        secret_ends_at_ms=None,
    )


async def test_authenticated_key_is_returned_when_disabled_deleted_or_closed(store: Store) -> None:
    account_id = await open_account(store)
    _, key = await make_key(store, account_id)
    await store.change_key(key.hash, KeyChange(disabled=True), T0_MS)
    caller = await store.authenticated_key(key.hash)
    assert caller is not None
    assert caller.disabled is True
    await store.change_key(key.hash, KeyChange(deleted=True), T0_MS + 1)
    await store.execute(closing(account_id))
    caller = await store.authenticated_key(key.hash)
    assert caller is not None
    assert (caller.deleted_at_ms, caller.closed_at_ms) == (T0_MS + 1, T0_MS)


async def test_usage_of_key_is_read_back_by_window(store: Store) -> None:
    account_id = await open_account(store, 10 * DOLLAR)
    _, key = await make_key(store, account_id)
    await store.execute(place(account_id, key.hash, "a", DOLLAR))
    await store.execute(capture(account_id, key.hash, "a", DOLLAR))
    tomorrow = T0_MS + DAY_MS
    await store.execute(place(account_id, key.hash, "b", 9, tomorrow))
    await store.execute(capture(account_id, key.hash, "b", 5, tomorrow))
    await store.execute(place(account_id, key.hash, "c", 7, tomorrow))
    assert await store.key(key.hash) == msgspec.structs.replace(
        key,
        last_used_at_ms=tomorrow,
        held_pico=7,
        usage_pico=DOLLAR + 5,
        usage_day=tomorrow // DAY_MS,
        usage_daily_pico=5,
        usage_weekly_pico=DOLLAR + 5,
        usage_monthly_pico=DOLLAR + 5,
    )


async def test_keys_are_listed_newest_first_in_pages(store: Store) -> None:
    account_id, other = await open_account(store), await open_account(store)
    await make_key(store, other)
    made = [
        (await make_key(store, account_id, name=str(n), created_at_ms=T0_MS + n // 4))[1]
        for n in range(8)
    ]
    expected = sorted(made, key=lambda key: (-key.created_at_ms, key.hash))
    assert await page(store, account_id) == expected
    paged = [
        key for n in range(0, 9, 3) for key in await page(store, account_id, offset=n, limit=3)
    ]
    assert paged == expected
    assert await page(store, account_id, limit=0) == []


async def test_keys_are_listed_by_kind_without_deleted_or_unwanted_disabled_ones(
    store: Store,
) -> None:
    account_id = await open_account(store)
    by_kind = {kind: (await make_key(store, account_id, kind=kind))[1] for kind in KeyKind}
    _, disabled = await make_key(store, account_id, disabled=True)
    _, deleted = await make_key(store, account_id)
    await store.change_key(deleted.hash, KeyChange(deleted=True), T0_MS)
    for kind, key in by_kind.items():
        assert await page(store, account_id, kinds=[kind], include_disabled=False) == [key]
    everything = {key.hash for key in await page(store, account_id)}
    assert everything == {disabled.hash, *(key.hash for key in by_kind.values())}
    enabled = {key.hash for key in await page(store, account_id, include_disabled=False)}
    assert enabled == everything - {disabled.hash}
    assert await page(store, account_id, kinds=()) == []


async def test_expired_keys_are_left_out_of_the_list_on_request(store: Store) -> None:
    account_id = await open_account(store)
    made = {
        (await make_key(store, account_id, expires_at_ms=expires_at_ms))[1].hash: expires_at_ms
        for expires_at_ms in (None, T0_MS, T0_MS + 1)
    }
    for at_ms in (None, T0_MS - 1, T0_MS, T0_MS + 1):
        listed = {key.hash for key in await page(store, account_id, unexpired_at_ms=at_ms)}
        assert listed == {
            hash_
            for hash_, expires_at_ms in made.items()
            if at_ms is None or expires_at_ms is None or expires_at_ms > at_ms
        }


async def test_change_returns_the_key_as_it_is_read_back(store: Store) -> None:
    account_id = await open_account(store, 10)
    _, key = await make_key(store, account_id, limit_pico=5)
    await store.execute(place(account_id, key.hash, "h", 3))
    changes = [
        KeyChange(name="other"),
        KeyChange(disabled=True),
        KeyChange(limit_pico=7, limit_reset=LimitReset.DAILY, include_byok_in_limit=True),
        KeyChange(limit_pico=None, limit_reset=None, disabled=False),
        KeyChange(),
    ]
    for number, change in enumerate(changes):
        changed = await store.change_key(key.hash, change, T0_MS + number)
        assert changed == await store.key(key.hash)
        assert changed.updated_at_ms == T0_MS + number
        assert changed.held_pico == 3
    assert (changed.name, changed.limit_pico, changed.include_byok_in_limit) == (
        "other",
        None,
        True,
    )


async def test_deleted_key_is_not_found_and_cannot_be_restored(store: Store) -> None:
    account_id = await open_account(store)
    _, key = await make_key(store, account_id)
    await store.change_key(key.hash, KeyChange(deleted=True), T0_MS)
    assert await store.key(key.hash) is None
    for change in (KeyChange(disabled=False), KeyChange(deleted=True)):
        with pytest.raises(KeyNotFound):
            await store.change_key(key.hash, change, T0_MS)
    with pytest.raises(KeyNotFound):
        await store.change_key("0" * 64, KeyChange(), T0_MS)


async def test_concurrent_limit_changes_and_charges_are_all_kept(store: Store) -> None:
    account_id = await open_account(store, 100)
    _, key = await make_key(store, account_id)
    for number in range(30):
        hold_id = str(number)
        await asyncio.gather(
            store.execute(place(account_id, key.hash, hold_id, 2)),
            store.change_key(key.hash, KeyChange(limit_pico=100 + number), T0_MS),
            store.execute(capture(account_id, key.hash, hold_id, 1)),
        )
    saved = await store.key(key.hash)
    assert saved is not None
    assert (saved.limit_pico, saved.usage_pico, saved.held_pico) == (129, 30, 0)


async def test_change_of_key_applies_to_the_next_hold(store: Store) -> None:
    account_id = await open_account(store, 100)
    _, key = await make_key(store, account_id)
    await store.execute(place(account_id, key.hash, "first", 5))
    await store.change_key(key.hash, KeyChange(limit_pico=7), T0_MS)
    with pytest.raises(KeyLimitExceeded):
        await store.execute(place(account_id, key.hash, "over", 3))
    await store.change_key(key.hash, KeyChange(disabled=True), T0_MS)
    with pytest.raises(KeyDisabled):
        await store.execute(place(account_id, key.hash, "disabled", 1))
    await store.change_key(key.hash, KeyChange(deleted=True), T0_MS)
    with pytest.raises(UnknownKey):
        await store.execute(place(account_id, key.hash, "deleted", 1))
    await store.execute(capture(account_id, key.hash, "first", 5))


async def test_key_creation_is_refused_when_account_is_unknown_or_closed(store: Store) -> None:
    _, stray = new_key(new_account_id())
    with pytest.raises(AccountNotFound):
        await store.create_key(stray)
    account_id = await open_account(store)
    await store.execute(closing(account_id))
    _, late = new_key(account_id)
    with pytest.raises(AccountClosed):
        await store.create_key(late)
    assert await store.key(stray.hash) is None
    assert await store.key(late.hash) is None


async def test_second_key_with_the_same_hash_is_rejected(store: Store) -> None:
    account_id = await open_account(store)
    _, key = await make_key(store, account_id)
    with pytest.raises(Exception, match=r"(?i)unique"):
        await store.create_key(msgspec.structs.replace(key, name="other"))
    assert await store.key(key.hash) == key
    await store.execute(adjust(account_id, 1))


async def create(
    store: Store, key: Key, reference: str = "r", digest: str = "d", nonce: bytes = b"\x00n"
) -> IssuedKey:
    """Creates a key by a request that can be repeated under its reference."""
    record = KeyCreationRecord(
        key.account_id, reference, digest, nonce, key.hash, key.created_at_ms
    )
    return await store.create_key(key, record)


async def test_repeated_creation_returns_the_first_key(store: Store) -> None:
    account_id = await open_account(store)
    _, first = new_key(account_id)
    issued = await create(store, first, nonce=b"one")
    assert (issued.key, issued.nonce) == (first, b"one")
    for _ in range(3):
        _, again = new_key(account_id)
        issued = await create(store, again, nonce=b"two")
        assert (issued.key, issued.nonce) == (first, b"one")
    assert await page(store, account_id) == [first]


async def test_creation_repeated_many_times_at_once_makes_one_key(store: Store) -> None:
    account_id = await open_account(store)
    issued = await asyncio.gather(
        *(create(store, new_key(account_id)[1], nonce=bytes([n])) for n in range(20))
    )
    assert len({(each.key.hash, each.nonce) for each in issued}) == 1
    assert [key.hash for key in await page(store, account_id)] == [issued[0].key.hash]


async def test_creation_repeated_with_other_parameters_is_refused(store: Store) -> None:
    account_id = await open_account(store)
    _, first = new_key(account_id)
    await create(store, first)
    with pytest.raises(ReferenceReused):
        await create(store, new_key(account_id)[1], digest="other")
    assert await page(store, account_id) == [first]


async def test_key_creation_records_of_two_accounts_are_separate(store: Store) -> None:
    for account_id in (await open_account(store), await open_account(store)):
        _, key = new_key(account_id)
        assert (await create(store, key)).key == key


async def test_repeated_creation_returns_the_current_state_of_the_key(store: Store) -> None:
    account_id = await open_account(store)
    _, first = new_key(account_id)
    await create(store, first)
    changed = await store.change_key(first.hash, KeyChange(name="renamed"), T0_MS)
    assert (await create(store, new_key(account_id)[1])).key == changed


async def test_repeated_creation_is_refused_when_the_key_was_deleted(store: Store) -> None:
    account_id = await open_account(store)
    _, first = new_key(account_id)
    await create(store, first)
    await store.change_key(first.hash, KeyChange(deleted=True), T0_MS)
    for _ in range(2):
        with pytest.raises(CreatedKeyDeleted, match=r"was deleted\. Send a new"):
            await create(store, new_key(account_id)[1])
    with pytest.raises(ReferenceReused):
        await create(store, new_key(account_id)[1], digest="other")
    assert await page(store, account_id) == []
    _, second = new_key(account_id)
    assert (await create(store, second, "new")).key == second


async def test_repeated_creation_returns_key_that_is_disabled_or_expired(
    store: Store,
) -> None:
    account_id = await open_account(store)
    _, first = new_key(account_id, expires_at_ms=T0_MS)
    await create(store, first)
    disabled = await store.change_key(first.hash, KeyChange(disabled=True), T0_MS + DAY_MS)
    _, again = new_key(account_id, created_at_ms=T0_MS + DAY_MS)
    assert (await create(store, again)).key == disabled


async def test_creation_repeated_during_deletion_never_makes_a_second_key(
    store: Store,
) -> None:
    account_id = await open_account(store)
    _, first = new_key(account_id)
    await create(store, first)
    repeats = [create(store, new_key(account_id)[1]) for _ in range(10)]
    results = await asyncio.gather(
        *repeats[:5],
        store.change_key(first.hash, KeyChange(deleted=True), T0_MS),
        *repeats[5:],
        return_exceptions=True,
    )
    returned = [result for result in results if isinstance(result, IssuedKey)]
    refused = [result for result in results if isinstance(result, Exception)]
    assert {issued.key.hash for issued in returned} <= {first.hash}
    assert {type(refusal) for refusal in refused} <= {CreatedKeyDeleted}
    assert await page(store, account_id) == []


async def test_key_creation_records_are_forgotten_only_when_old(store: Store) -> None:
    account_id = await open_account(store)
    _, old = new_key(account_id)
    _, young = new_key(account_id, created_at_ms=T0_MS + 1)
    await create(store, old, "old")
    await create(store, young, "young")
    assert await store.forget_key_creation_records(T0_MS) == 0
    assert await store.forget_key_creation_records(T0_MS + 1) == 1
    assert await store.forget_key_creation_records(T0_MS + 1) == 0
    _, fresh = new_key(account_id)
    assert (await create(store, fresh, "old")).key == fresh
    assert (await create(store, new_key(account_id)[1], "young")).key == young
    assert await store.key(old.hash) == old


async def test_old_key_creation_records_are_forgotten_1000_at_a_time(store: Store) -> None:
    account_id = await open_account(store)
    await asyncio.gather(*(create(store, new_key(account_id)[1], str(n)) for n in range(1001)))
    assert await store.forget_key_creation_records(T0_MS + 1) == 1000
    assert await store.forget_key_creation_records(T0_MS + 1) == 1
