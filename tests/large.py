"""A database and a catalog as large as years of traffic make them, filled in seconds."""

import asyncio
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import msgspec

from modelgates_server.core.keys import key_hash
from modelgates_server.core.pricing.catalog import Api, Catalog, Endpoint, Model
from modelgates_server.core.pricing.prices import Price, Tier
from modelgates_server.core.pricing.usage import Meter
from modelgates_server.core.times import quarter_hour_of
from modelgates_server.store.sqlite.opening import open_store
from tests.gateway import sandbox_catalog
from tests.server import Customer, open_customer
from tests.support import HOLD_MS, T0_MS, open_generation

ACTIVITY = 300_000
"""Rows of activity in the last 31 days, each of another day, key and model, so none is added up."""

KEYS = 100_000
HOLDS = 20_000
MODELS = 600


class Large(NamedTuple):
    """The file, and the account that all rows belong to."""

    path: Path
    customer: Customer


def fill_large(path: Path) -> Large:
    """Creates the database."""
    open_store_once(path)
    customer = asyncio.run(open_customer(path))
    names = {
        "account": customer.account_id,
        "key": key_hash(customer.inference),
        "today": quarter_hour_of(T0_MS),
        "at_ms": T0_MS,
        "expires_ms": T0_MS + HOLD_MS,
        "record": msgspec.json.encode(
            open_generation(customer.account_id, key_hash(customer.inference), "ID", 1)
        ).decode(),
    }
    with closing(sqlite3.connect(path)) as connection:
        for count, statement in ((KEYS, _KEYS), (ACTIVITY, _ACTIVITY), (HOLDS, _HOLDS), *_RECORDS):
            connection.execute(_NUMBERS + statement, {**names, "count": count})
        for table, column in (("account", "id"), ("api_key", "hash")):
            name = names["account" if table == "account" else "key"]
            connection.execute(
                f"update {table} set held_pico = {HOLDS} where {column} = ?", (name,)
            )
        connection.commit()
    return Large(path, customer)


def open_store_once(path: Path) -> None:
    """Creates the tables."""

    async def create() -> None:
        await open_store(path).close()

    asyncio.run(create())


_NUMBERS = """
with recursive numbers(n) as
  (select 0 union all select n + 1 from numbers where n + 1 < :count) """

_KEYS = """
insert into api_key (hash, account_id, kind, name, label, created_at_ms, include_byok_in_limit,
                     disabled)
select printf('%064x', n), :account, 'inference', 'key ' || n, 'sk-…' || n, :at_ms + n, 0, n % 2
  from numbers where n >= 0"""

_ACTIVITY = """
insert into activity (account_id, quarter_hour, key_hash, endpoint_id, model, provider, requests,
                      usage_pico, prompt_tokens, completion_tokens, reasoning_tokens, cached_tokens)
select :account, :today - n % 31 * 96, printf('%064x', n / 31 % 1000), 'maker:' || (n / 31000),
       'maker/model-' || (n / 31000), 'maker', 1, n, n, n, 0, 0
  from numbers"""

_HOLDS = """
insert into hold (account_id, id, key_hash, state, amount_pico, created_at_ms, expires_at_ms)
select :account, printf('gen-%08d', n), :key, 'open', 1, :at_ms + n % 1000, :expires_ms + n % 1000
  from numbers"""

_RECORDS = (
    (
        HOLDS,
        """
insert into generation (account_id, id, state, cost_pico, record)
select :account, printf('gen-%08d', n), 'open', 0,
       json_set(:record, '$.id', printf('gen-%08d', n))
  from numbers""",
    ),
)


def large_catalog() -> Catalog:
    """600 models, each with a price."""
    models = [
        Model(
            id=f"maker-{number % 40}/model-{number}",
            name=f"Maker: Model {number}",
            endpoint=Endpoint(
                id=f"maker:model-{number}", provider="maker", upstream_model=f"model-{number}"
            ),
            context_tokens=1000,
            output_tokens=100,
            created_at_s=T0_MS // 1000,
            apis=frozenset(Api),
        )
        for number in range(MODELS)
    ]
    rates = {Meter.INPUT: Decimal("0.0001"), Meter.OUTPUT: Decimal("0.01")}
    prices = [
        Price(
            id=f"price_{model.endpoint.id}",
            endpoint_id=model.endpoint.id,
            from_ms=0,
            source="test",
            tiers=(Tier(0, rates),),
        )
        for model in models
    ]
    return sandbox_catalog(models, prices)
