"""A generation and its answer are saved together with their command, or not at all."""

import asyncio
from collections import Counter

import pytest
from msgspec.structs import replace

from modelgates_server.core.errors import HoldEnded, InsufficientCredits
from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.metering.generations import (
    Attempt,
    DailyActivity,
    Generation,
    Origin,
    StoredAnswer,
)
from modelgates_server.core.pricing.usage import Usage
from modelgates_server.core.times import MS_PER_DAY, day_of
from modelgates_server.service.ports import OpenHolds, Store
from modelgates_server.service.verify import verify
from tests.support import (
    HOLD_MS,
    HOUR_MS,
    T0_MS,
    capture,
    expire,
    extend,
    finished,
    make_key,
    new_account_id,
    open_account,
    open_database,
    open_generation,
    place,
    void,
    voided_generation,
)

TODAY = day_of(T0_MS)
SMALL = Usage(input=3, output=2)  # costs 7 picos


async def account_with_key(store: Store, credits_pico: int = 1000) -> tuple[str, str]:
    account_id = await open_account(store, credits_pico)
    _, key = await make_key(store, account_id)
    return account_id, key.hash


async def start(
    store: Store, account_id: str, key_hash: str, hold_id: str, amount_pico: int = 10
) -> Generation:
    generation = open_generation(account_id, key_hash, hold_id, amount_pico)
    await store.execute(place(account_id, key_hash, hold_id, amount_pico), generation)
    return generation


async def end(
    store: Store, generation: Generation, usage: Usage = SMALL, at_ms: int = T0_MS
) -> Generation:
    ended = finished(generation, usage, at_ms)
    used_pico = ended.cost_pico + ended.overrun_pico
    await store.execute(
        capture(ended.account_id, ended.key_hash, ended.id, used_pico, at_ms), ended
    )
    return ended


async def activity(store: Store, account_id: str) -> list[DailyActivity]:
    return await store.activity(account_id, from_day=0, limit=100)


def answer_of(generation: Generation, at_ms: int = T0_MS) -> StoredAnswer:
    return StoredAnswer(generation.account_id, generation.id, b'{"id":"\xc3\xa9"}\x00', at_ms)


async def test_unknown_account_has_no_generations_answers_activity_or_holds(store: Store) -> None:
    nobody = new_account_id()
    assert await store.generation(nobody, "gen-1") is None
    assert await store.latest_by_idempotency_key(nobody, "digest") is None
    assert await store.answer(nobody, "gen-1") is None
    assert await store.forget_answers(T0_MS) == 0
    assert await activity(store, nobody) == []
    assert await store.open_holds(nobody, limit=10) == []
    assert await store.all_open_holds() == OpenHolds(0, 0, None)


async def test_generation_is_read_back_with_every_field(store: Store) -> None:
    account_id, key_hash = await account_with_key(store)
    whole = open_generation(
        account_id,
        key_hash,
        "gen-1",
        5,
        origin=Origin(
            request_id="req-1",
            user="Žofie 株式会社 🙂 '; --\x00",
            session_id="s",
            title="t",
            referer="r",
            user_agent="u",
        ),
        markup_bp=1,
        cancelled=True,
        reported={"prompt_tokens": 3, "details": [None, True, -1, 0.5, "x", {"deep": 10**18}]},
        finish_reason="stop",
        error="server_stopping",
        attempts=(
            Attempt(
                provider="maker",
                upstream_model="model-1",
                started_at_ms=T0_MS,
                first_byte_at_ms=T0_MS + 1,
                ended_at_ms=T0_MS + 2,
                status=200,
                upstream_id="up",
                error="none",
            ),
        ),
        idempotency="digest",
        request_digest="of the body",
    )
    await store.execute(place(account_id, key_hash, "gen-1", 5), whole)
    assert await store.generation(account_id, "gen-1") == whole
    ended = await end(store, whole, Usage(input=9, cache_read=1, output=2, estimated=True))
    assert {line.meter for line in ended.lines} >= {"input", "rounding", "overrun"}
    assert await store.generation(account_id, "gen-1") == ended
    assert await store.latest_by_idempotency_key(account_id, "digest") == ended


async def test_generation_is_saved_at_every_step_of_a_call(store: Store) -> None:
    account_id, key_hash = await account_with_key(store)
    generation = await start(store, account_id, key_hash, "gen-1")
    checkpoint = replace(
        finished(generation, Usage(output=1)), state=HoldState.OPEN, ended_at_ms=None
    )
    await store.execute(extend(account_id, key_hash, "gen-1", "1", 0, T0_MS + 1), checkpoint)
    assert await store.generation(account_id, "gen-1") == checkpoint
    assert await activity(store, account_id) == [], "a checkpoint is not charged yet"
    late_ms = T0_MS + 1 + HOLD_MS
    lost = replace(checkpoint, state=HoldState.EXPIRED, ended_at_ms=late_ms)
    await store.execute(expire(account_id, key_hash, "gen-1", late_ms, 2), lost)
    assert await store.generation(account_id, "gen-1") == lost
    assert [row.usage_pico for row in await activity(store, account_id)] == [2]
    assert (await verify(store)).findings == []


async def test_refused_command_saves_neither_generation_nor_answer(store: Store) -> None:
    account_id, key_hash = await account_with_key(store, 10)
    with pytest.raises(InsufficientCredits):
        await start(store, account_id, key_hash, "gen-1", 11)
    assert await store.generation(account_id, "gen-1") is None
    voided = voided_generation(await start(store, account_id, key_hash, "gen-2"))
    await store.execute(void(account_id, key_hash, "gen-2"), voided)
    late = finished(open_generation(account_id, key_hash, "gen-2", 10), SMALL)
    command = replace(capture(account_id, key_hash, "gen-2", 7), reference="late")
    with pytest.raises(HoldEnded):
        await store.execute(command, late, answer_of(late))
    assert await store.generation(account_id, "gen-2") == voided
    assert await store.answer(account_id, "gen-2") is None
    assert await activity(store, account_id) == [], "a voided call is none"


async def test_replayed_command_changes_nothing(store: Store, database_url: str) -> None:
    account_id, key_hash = await account_with_key(store)
    generation = await start(store, account_id, key_hash, "gen-1")
    ended = await end(store, generation)
    before = await activity(store, account_id)
    other = open_database(database_url)
    changed = replace(ended, finish_reason="another")
    for again in (store, other, store):
        receipts = [
            await again.execute(place(account_id, key_hash, "gen-1", 10), generation),
            await again.execute(
                capture(account_id, key_hash, "gen-1", 7), changed, answer_of(changed)
            ),
        ]
        assert all(receipt.replayed for receipt in receipts)
    await other.close()
    assert await store.generation(account_id, "gen-1") == ended
    assert await store.answer(account_id, "gen-1") is None
    assert await activity(store, account_id) == before
    assert [row.requests for row in before] == [1]


async def test_call_ended_many_times_at_once_is_counted_once(store: Store) -> None:
    account_id, key_hash = await account_with_key(store)
    ended = finished(await start(store, account_id, key_hash, "gen-1"), SMALL)
    many = (
        store.execute(capture(account_id, key_hash, "gen-1", 7), ended, answer_of(ended))
        for _ in range(50)
    )
    receipts = await asyncio.gather(*many)
    assert Counter(receipt.replayed for receipt in receipts) == {True: 49, False: 1}
    assert [row.requests for row in await activity(store, account_id)] == [1]
    assert await store.answer(account_id, "gen-1") == answer_of(ended)


async def test_steps_of_a_call_in_one_commit_are_all_saved(store: Store) -> None:
    account_id, key_hash = await account_with_key(store)
    generation = open_generation(account_id, key_hash, "gen-1", 10)
    ended = finished(generation, SMALL)
    await asyncio.gather(
        store.execute(place(account_id, key_hash, "gen-1", 10), generation),
        store.execute(extend(account_id, key_hash, "gen-1", "1", 0), generation),
        store.execute(capture(account_id, key_hash, "gen-1", 7), ended, answer_of(ended)),
    )
    assert await store.generation(account_id, "gen-1") == ended
    assert await store.answer(account_id, "gen-1") == answer_of(ended)
    assert [row.usage_pico for row in await activity(store, account_id)] == [7]


async def test_generations_of_two_accounts_can_share_an_id(store: Store) -> None:
    one, other = await account_with_key(store), await account_with_key(store)
    first = await start(store, *one, "gen-1")
    second = await end(store, await start(store, *other, "gen-1"))
    assert await store.generation(one[0], "gen-1") == first
    assert await store.generation(other[0], "gen-1") == second
    assert await activity(store, one[0]) == []
    await end(store, first, Usage(input=1))
    assert [row.usage_pico for row in await activity(store, other[0])] == [7]
    assert (await verify(store)).findings == []


async def test_hold_without_generation_is_captured_without_activity(store: Store) -> None:
    account_id, key_hash = await account_with_key(store)
    await store.execute(place(account_id, key_hash, "old", 10))
    await store.execute(capture(account_id, key_hash, "old", 7))
    assert await store.generation(account_id, "old") is None
    assert await activity(store, account_id) == []
    assert (await verify(store)).findings == []


@pytest.mark.parametrize("wrong", ["id", "account_id"])
async def test_generation_of_another_hold_is_rejected(store: Store, wrong: str) -> None:
    account_id, key_hash = await account_with_key(store)
    generation = replace(
        open_generation(account_id, key_hash, "gen-1", 10), **{wrong: new_account_id()}
    )
    with pytest.raises(AssertionError, match="own"):
        await store.execute(place(account_id, key_hash, "gen-1", 10), generation)
    account = await store.account(account_id)
    assert account is not None
    assert account.held_pico == 0


async def test_latest_call_by_idempotency_key_is_the_one_placed_last(store: Store) -> None:
    one, other = await account_with_key(store), await account_with_key(store)
    made: list[Generation] = []
    for account_id, key_hash in (one, other, one):
        # Ids descend as time passes, so the order is not that of the ids.
        for number in (2, 1):
            hold_id = f"gen-{number}-{len(made)}"
            generation = open_generation(account_id, key_hash, hold_id, 1, idempotency="digest")
            await store.execute(place(account_id, key_hash, hold_id, 1), generation)
            made.append(generation)
    await start(store, *one, "gen-0")
    assert await store.latest_by_idempotency_key(one[0], "digest") == made[5]
    assert await store.latest_by_idempotency_key(other[0], "digest") == made[3]
    ended = replace(voided_generation(made[5]), error="x")
    await store.execute(void(one[0], one[1], ended.id), ended)
    assert await store.latest_by_idempotency_key(one[0], "digest") == ended


async def test_answers_are_stored_byte_for_byte_and_forgotten_when_old(store: Store) -> None:
    account_id, key_hash = await account_with_key(store)
    kept = []
    for number in range(3):
        generation = await start(store, account_id, key_hash, f"gen-{number}")
        ended, at_ms = finished(generation, SMALL), T0_MS + number * HOUR_MS
        kept.append(replace(answer_of(ended, at_ms), body=bytes(range(256)) * 100 * number))
        await store.execute(capture(account_id, key_hash, ended.id, 7), ended, kept[-1])
    assert [await store.answer(account_id, f"gen-{n}") for n in range(3)] == kept
    assert await store.forget_answers(T0_MS) == 0
    assert await store.forget_answers(T0_MS + HOUR_MS) == 1
    assert await store.forget_answers(T0_MS + HOUR_MS) == 0
    assert [await store.answer(account_id, f"gen-{n}") for n in range(3)] == [None, *kept[1:]]
    assert (await store.generation(account_id, "gen-0")) is not None
    assert (await verify(store)).findings == []


async def test_at_most_50_answers_are_forgotten_per_commit(store: Store) -> None:
    account_id, key_hash = await account_with_key(store, 100_000)

    async def answered(number: int) -> None:
        ended = finished(await start(store, account_id, key_hash, f"gen-{number}"), SMALL)
        await store.execute(capture(account_id, key_hash, ended.id, 7), ended, answer_of(ended))

    await asyncio.gather(*(answered(number) for number in range(51)))
    assert [await store.forget_answers(T0_MS + 1) for _ in range(3)] == [50, 1, 0]


async def test_activity_of_concurrent_calls_adds_up_to_account_usage(
    store: Store,
) -> None:
    account_id = await open_account(store, 100_000)
    keys = [(await make_key(store, account_id))[1] for _ in range(3)]

    async def call(number: int) -> None:
        generation = await start(store, account_id, keys[number % 3].hash, f"gen-{number}", 500)
        usage = Usage(input=number, cache_read=1, output=number % 7, reasoning=2)
        await end(store, generation, usage, T0_MS + number % 2 * MS_PER_DAY)

    await asyncio.gather(*(call(number) for number in range(50)))
    rows = await activity(store, account_id)
    account = await store.account(account_id)
    assert account is not None
    assert sum(row.usage_pico for row in rows) == account.usage_pico > 0
    assert sum(row.requests for row in rows) == 50
    assert sum(row.prompt_tokens for row in rows) == sum(range(50)) + 50
    assert sum(row.completion_tokens for row in rows) == sum(n % 7 for n in range(50)) + 100
    assert sum(row.reasoning_tokens for row in rows) == 100
    assert sum(row.cached_tokens for row in rows) == 50
    by_key = Counter[str]()
    for row in rows:
        by_key[row.key_hash] += row.usage_pico
    for key in keys:
        saved = await store.key(key.hash)
        assert saved is not None
        assert saved.usage_pico == by_key[key.hash]
    assert (await verify(store)).findings == []


async def test_activity_is_grouped_by_day_key_and_model_newest_first(store: Store) -> None:
    account_id = await open_account(store, 1000)
    hashes = sorted([(await make_key(store, account_id))[1].hash for _ in range(2)])
    for number, (day, key_hash, model) in enumerate(
        [(0, hashes[0], "b"), (2, hashes[1], "a"), (2, hashes[0], "a"), (1, hashes[0], "a")] * 2
    ):
        at_ms, hold_id = T0_MS + day * MS_PER_DAY, f"gen-{number}"
        generation = open_generation(account_id, key_hash, hold_id, 10, model=model)
        await store.execute(place(account_id, key_hash, hold_id, 10), generation)
        await end(store, generation, at_ms=at_ms)
    rows = await activity(store, account_id)
    assert [(row.day - TODAY, row.key_hash, row.model) for row in rows] == [
        (2, hashes[1], "a"),
        (2, hashes[0], "a"),
        (1, hashes[0], "a"),
        (0, hashes[0], "b"),
    ]
    assert {(row.requests, row.usage_pico) for row in rows} == {(2, 14)}
    assert await store.activity(account_id, from_day=TODAY, to_day=TODAY + 1, limit=9) == rows[2:]
    assert await store.activity(account_id, from_day=TODAY + 3, limit=9) == []


async def test_stores_on_one_database_see_each_others_generations(
    store: Store, database_url: str
) -> None:
    other = open_database(database_url)
    account_id, key_hash = await account_with_key(store)
    for number in range(10):
        one, two = (store, other) if number % 2 else (other, store)
        generation = await start(one, account_id, key_hash, f"gen-{number}")
        assert await two.generation(account_id, generation.id) == generation
        ended = await end(two, generation)
        assert await one.generation(account_id, generation.id) == ended
        assert [row.requests for row in await activity(one, account_id)] == [number + 1]
    await other.close()


async def test_generation_is_found_by_its_id_alone(store: Store) -> None:
    accounts = sorted([await account_with_key(store) for _ in range(3)])
    for names in accounts[1:]:
        await start(store, *names, "gen-shared")
    ended = await end(store, await start(store, *accounts[2], "gen-own"))
    assert await store.generation_by_id("gen-own") == ended
    first = await store.generation_by_id("gen-shared")
    assert first is not None
    assert first.account_id == accounts[1][0], "of two, that of the first account"
    assert await store.generation_by_id("gen-none") is None
