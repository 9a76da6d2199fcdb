"""How often one client may ask."""

from modelgates_server.web.mcp import rate_limit as limits
from modelgates_server.web.mcp.rate_limit import RateLimiter
from tests.support import HOUR_MS, ManualClock

BURST, EVERY_MS = 3, 500


def throttle(clock: ManualClock) -> RateLimiter:
    return RateLimiter(clock, burst=BURST, every_ms=EVERY_MS)


def spend(asked: RateLimiter, address: str) -> None:
    assert [asked.wait_s(address, 1) for _ in range(BURST)] == [0] * BURST


def test_a_burst_is_granted_and_then_one_at_a_time(clock: ManualClock) -> None:
    asked = throttle(clock)
    spend(asked, "192.0.2.1")
    assert asked.wait_s("192.0.2.1", 1) == 1
    clock.forward(EVERY_MS - 1)
    assert asked.wait_s("192.0.2.1", 1) == 1, "being refused costs nothing, and gains nothing"
    clock.forward(1)
    assert asked.wait_s("192.0.2.1", 1) == 0
    assert asked.wait_s("192.0.2.1", 1) == 1


def test_many_at_once_cost_as_much_as_one_after_the_other(clock: ManualClock) -> None:
    asked = throttle(clock)
    assert asked.wait_s("192.0.2.1", BURST + 1) == 1
    assert asked.wait_s("192.0.2.1", BURST) == 0
    assert asked.wait_s("192.0.2.1", BURST) == 2, "three times half a second"
    clock.forward(2000)
    assert asked.wait_s("192.0.2.1", BURST) == 0


def test_who_waits_as_long_as_told_is_granted(clock: ManualClock) -> None:
    asked = RateLimiter(clock, burst=1, every_ms=2500)
    assert asked.wait_s("192.0.2.1", 1) == 0
    wait_s = asked.wait_s("192.0.2.1", 1)
    assert wait_s == 3
    clock.forward(wait_s * 1000)
    assert asked.wait_s("192.0.2.1", 1) == 0


def test_a_pause_grants_no_more_than_a_burst(clock: ManualClock) -> None:
    asked = throttle(clock)
    spend(asked, "192.0.2.1")
    clock.forward(HOUR_MS)
    spend(asked, "192.0.2.1")
    assert asked.wait_s("192.0.2.1", 1) > 0


def test_one_client_does_not_take_from_another(clock: ManualClock) -> None:
    asked = throttle(clock)
    spend(asked, "192.0.2.1")
    spend(asked, "192.0.2.2")


def test_a_network_of_ipv6_is_one_client(clock: ManualClock) -> None:
    asked = throttle(clock)
    spend(asked, "2001:db8:1:2::1")
    assert asked.wait_s("2001:db8:1:2:ffff::9", 1) > 0
    spend(asked, "2001:db8:1:3::1")
    spend(asked, "::ffff:192.0.2.1")
    spend(asked, "::ffff:192.0.2.2")


def test_connections_without_an_address_are_one_client(clock: ManualClock) -> None:
    asked = throttle(clock)
    spend(asked, "")
    assert asked.wait_s("", 1) > 0


def test_a_clock_set_back_locks_nobody_out(clock: ManualClock) -> None:
    asked = throttle(clock)
    spend(asked, "192.0.2.1")
    clock.forward(-HOUR_MS)
    assert asked.wait_s("192.0.2.1", 1) == 1
    clock.forward(EVERY_MS)
    assert asked.wait_s("192.0.2.1", 1) == 0


def test_many_addresses_do_not_fill_the_memory(clock: ManualClock) -> None:
    asked = throttle(clock)
    for number in range(limits.ADDRESSES_MAX + 10):
        asked.wait_s(f"10.0.{number >> 8}.{number & 255}", 1)
    assert len(asked._used_until_ms) == limits.ADDRESSES_MAX
    spend(asked, "10.0.0.0")
