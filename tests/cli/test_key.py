import hashlib
import re
from typing import Any

import pytest

from modelgates_server import bootstrap
from modelgates_server.core.errors import KeyReplaced
from modelgates_server.service.services import LedgerServices
from tests.cli.console import Console
from tests.support import DOLLAR, capture, place

MEMBERS = [
    "hash",
    "account_id",
    "kind",
    "name",
    "label",
    "disabled",
    "limit",
    "limit_reset",
    "limit_remaining",
    "usage",
    "usage_daily",
    "usage_weekly",
    "usage_monthly",
    "held",
    "created_at",
    "updated_at",
    "last_used_at",
    "expires_at",
]
UNKNOWN = "user_0000000000000000000000"


def test_fields_of_a_key_are_stable(console: Console) -> None:
    account = console.account()
    created = console.key(account, "inference", "--limit", "5", "--limit-reset", "monthly")
    assert list(created) == ["key", *MEMBERS]
    text = created.pop("key")
    assert created["hash"] == hashlib.sha256(text.encode()).hexdigest()
    assert (created["account_id"], created["kind"]) == (account, "inference")
    assert (created["limit"], created["limit_remaining"]) == ("5", "5")
    assert console.call("key", "show", created["hash"], "--json").json == created
    assert console.call("key", "list", "--account", account, "--json").json == [created]


def test_key_text_is_shown_once(console: Console) -> None:
    account = console.account()
    ended = console.call("key", "create", "--account", account, "--kind", "viewer")
    assert "cannot be shown again" in ended.err
    (text,) = re.findall(r"sk-mg-v1-\w{49}", ended.out)
    assert text not in ended.err
    (key,) = console.call("key", "list", "--account", account, "--json").json
    others = [
        console.call("key", "show", key["hash"]),
        console.call("key", "show", text),
        console.call("key", "list", "--account", account),
        console.call("key", "disable", key["hash"], "--json"),
        console.call("key", "delete", key["hash"], "--yes"),
    ]
    assert not any(text in ended.out + ended.err for ended in others)
    assert text.encode() not in console.path.read_bytes()


@pytest.mark.parametrize("kind", ["management", "inference", "viewer"])
def test_default_name_of_a_key_is_its_kind(console: Console, kind: str) -> None:
    account = console.account()
    assert console.key(account, kind)["name"] == kind
    assert console.key(account, kind, "--name", "mine")["name"] == "mine"


def test_list_contains_the_keys_of_one_account_newest_first(console: Console) -> None:
    account, other = console.account(), console.account()
    console.key(other)
    keys = [console.key(account)["hash"] for _ in range(3)]
    console.call("key", "disable", keys[1])
    console.call("key", "delete", keys[0], "--yes")
    listed = console.call("key", "list", "--account", account, "--json").json
    assert {key["hash"]: key["disabled"] for key in listed} == {keys[2]: False, keys[1]: True}
    created = [key["created_at"] for key in listed]
    assert created == sorted(created, reverse=True)


def test_disabled_key_works_again_when_enabled(console: Console) -> None:
    account = console.account()
    created = console.key(account)

    async def opens(gateway: Any) -> bool:
        caller = await gateway.keys.identify(created["key"])
        return bool(caller.account_id == account)

    assert console.call("key", "disable", created["hash"], "--json").json["disabled"] is True
    with pytest.raises(Exception, match="disabled"):
        console.do(opens)
    assert console.call("key", "enable", created["hash"], "--json").json["disabled"] is False
    assert console.do(opens)


async def works(gateway: Any, text: str) -> bool:
    try:
        await gateway.keys.identify(text)
    except KeyReplaced:
        return False
    return True


@pytest.mark.parametrize(("hours", "old_works"), [((), True), (("--grace-hours", "0"), False)])
def test_old_text_of_a_rotated_key_works_for_the_grace_period(
    console: Console, hours: tuple[str, ...], old_works: bool
) -> None:
    created = console.key(console.account(), "inference", "--limit", "5")
    rotated = console.call("key", "rotate", created["hash"], *hours, "--json").json
    changed = {"key", "label", "updated_at", "old_key_ends_at"}
    assert {name for name in rotated if rotated[name] != created.get(name)} == changed
    shown = console.call("key", "show", created["hash"], "--json").json
    assert shown == {name: rotated[name] for name in rotated if name != "key"}
    assert console.do(lambda gateway: works(gateway, rotated["key"]))
    assert console.do(lambda gateway: works(gateway, created["key"])) is old_works


def test_grace_period_longer_than_a_month_is_rejected(console: Console) -> None:
    key = console.key(console.account())["hash"]
    ended = console.call("key", "rotate", key, "--grace-hours", "721")
    assert ended.code == 2
    assert "720" in ended.err
    assert "old_key_ends_at" not in console.call("key", "show", key, "--json").json


def test_deleted_key_is_not_found(console: Console) -> None:
    key = console.key(console.account())["hash"]
    assert "pass --yes" in console.call("key", "delete", key).refusal
    assert console.call("key", "delete", key, "--yes", "--json").json == {
        "hash": key,
        "deleted": True,
    }
    for verb in ("show", "rotate", "disable", "enable"):
        assert "not found" in console.call("key", verb, key).refusal
    assert "not found" in console.call("key", "delete", key, "--yes").refusal


def test_usage_of_a_key_counts_against_its_limit(console: Console) -> None:
    account = console.account("10")
    key = console.key(account, "inference", "--limit", "5", "--limit-reset", "daily")["hash"]

    async def spend(gateway: Any) -> None:
        now_ms = bootstrap.now_ms()
        await gateway.store.execute(place(account, key, "gen-1", 2 * 10**12, now_ms))
        await gateway.store.execute(capture(account, key, "gen-1", 10**9, now_ms))
        await gateway.store.execute(place(account, key, "gen-2", 3 * 10**12, now_ms))

    console.do(spend)
    shown = console.call("key", "show", key, "--json").json
    assert (shown["usage"], shown["usage_daily"], shown["usage_monthly"]) == ("0.001",) * 3
    assert (shown["limit_remaining"], shown["held"]) == ("4.999", "3")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--kind", "inference", "--limit", "-1"], "The limit must not be negative: -1."),
        (["--kind", "inference", "--limit", " -001.50\n"], "negative: -1.5. Give zero or more."),
        (["--kind", "inference", "--limit", "1e3"], "'1e3' is not an exact decimal"),
        (["--kind", "inference", "--limit", "nan"], "'nan' is not an exact decimal"),
        (["--kind", "inference", "--limit", "0.0000000000001"], "more than 12 decimal places"),
        (["--kind", "inference", "--limit-reset", "daily"], "there is no `limit` to reset"),
        (["--kind", "management", "--limit", "5"], "Only inference keys can have a limit"),
        (["--kind", "viewer", "--name", ""], "The name must have 1 to 255 characters"),
        (
            ["--kind", "viewer", "--expires-at", "2020-01-01T00:00:00Z"],
            "`expires_at` is in the past: 2020",
        ),
        (
            ["--kind", "viewer", "--expires-at", f"2020-01-01\x1b00:00:00.{'1' * 60_000}Z"],
            "`expires_at` is in the past: 2020-01-01T00:00:00.111Z. Give",
        ),
        (["--kind", "viewer", "--expires-at", "tomorrow"], "is not an ISO 8601 time"),
        (["--kind", "viewer", "--account", UNKNOWN], "does not exist"),
        (["--kind", "viewer", "--account", "Acme Lab"], "does not exist"),
    ],
)
def test_invalid_key_is_rejected(console: Console, words: list[str], why: str) -> None:
    account = console.account()
    assert why in console.call("key", "create", "--account", account, *words).refusal
    assert console.call("key", "list", "--account", account, "--json").json == []


def test_key_list_of_an_unknown_account_is_an_error(console: Console) -> None:
    console.call("db", "migrate")
    assert (
        "does not exist. `modelgates account list`"
        in console.call("key", "list", "--account", UNKNOWN).refusal
    )


@pytest.mark.parametrize("verb", ["show", "rotate", "disable", "enable", "delete"])
def test_key_is_identified_by_its_hash_only(console: Console, verb: str) -> None:
    created = console.key(console.account())
    for wrong in (created["key"], created["label"], created["hash"].upper(), "", "x"):
        assert "must be given by its hash" in console.call("key", verb, wrong).refusal
    assert (
        f"The key with the hash `{'0' * 64}` was not found. `modelgates key list"
        in console.call("key", verb, "0" * 64, *_yes(verb)).refusal
    )


def _yes(verb: str) -> list[str]:
    return ["--yes"] if verb == "delete" else []


def test_key_that_a_wrong_clock_shut_is_repaired(
    console: Console,
) -> None:
    account = console.account("10")
    key = console.key(account, "inference", "--limit", "5", "--limit-reset", "daily")["hash"]
    day_ms = 86_400_000
    now_ms = bootstrap.now_ms()

    async def charge_ahead(services: LedgerServices) -> None:
        for days, dollars in ((0, 1), (60, 4)):
            at_ms, hold_id = now_ms + days * day_ms, f"in {days} days"
            amount_pico = dollars * DOLLAR
            await services.store.execute(place(account, key, hold_id, amount_pico, at_ms))
            await services.store.execute(capture(account, key, hold_id, amount_pico, at_ms))

    console.do(charge_ahead)
    planned = console.call("key", "repair", key, "--dry-run", "--json").json
    assert (planned["is_shut"], planned["seq"], planned["replayed"]) == (True, None, False)
    assert (planned["usage_daily_before"], planned["usage_daily"]) == ("4", "1")
    assert console.call("key", "show", key, "--json").json["usage_daily"] == "4"
    ref = ("--reason", "clock was in 2027", "--ref", "incident-12", "--json")
    repaired = console.call("key", "repair", key, *ref).json
    assert repaired == {
        **planned,
        "seq": 7,
        "reference": "incident-12",
        "reason": "clock was in 2027",
    }
    assert console.call("key", "repair", key, *ref).json["replayed"]
    shown = console.call("key", "show", key, "--json").json
    assert (shown["usage"], shown["usage_daily"], shown["limit_remaining"]) == ("5", "1", "4")
    assert console.call("ledger", "verify", "--json").json["ok"]
    refusal = console.call("key", "repair", key).refusal
    assert refusal == (
        f"Key `{key}` has no charge that is dated after today, so no window to open."
    )
