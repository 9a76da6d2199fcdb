"""The rate limit of one client."""

from modelgates_server.web import rate_limit as limits
from modelgates_server.web.rate_limit import RateLimiter
from tests.support import HOUR_MS, ManualClock

BURST, EVERY_MS = 3, 500


def new_limiter(clock: ManualClock) -> RateLimiter:
    return RateLimiter(clock, burst=BURST, every_ms=EVERY_MS)


def use_burst(limiter: RateLimiter, address: str) -> None:
    assert [limiter.wait_s(address, 1) for _ in range(BURST)] == [0] * BURST


def test_burst_is_allowed_and_then_one_message_at_a_time(clock: ManualClock) -> None:
    limiter = new_limiter(clock)
    use_burst(limiter, "192.0.2.1")
    assert limiter.wait_s("192.0.2.1", 1) == 1
    clock.forward(EVERY_MS - 1)
    assert limiter.wait_s("192.0.2.1", 1) == 1, "a refused message does not count"
    clock.forward(1)
    assert limiter.wait_s("192.0.2.1", 1) == 0
    assert limiter.wait_s("192.0.2.1", 1) == 1


def test_messages_in_a_batch_count_like_single_ones(clock: ManualClock) -> None:
    limiter = new_limiter(clock)
    assert limiter.wait_s("192.0.2.1", BURST + 1) == 1
    assert limiter.wait_s("192.0.2.1", BURST) == 0
    assert limiter.wait_s("192.0.2.1", BURST) == 2, "three times half a second"
    clock.forward(2000)
    assert limiter.wait_s("192.0.2.1", BURST) == 0


def test_message_is_allowed_after_the_returned_wait(clock: ManualClock) -> None:
    limiter = RateLimiter(clock, burst=1, every_ms=2500)
    assert limiter.wait_s("192.0.2.1", 1) == 0
    wait_s = limiter.wait_s("192.0.2.1", 1)
    assert wait_s == 3
    clock.forward(wait_s * 1000)
    assert limiter.wait_s("192.0.2.1", 1) == 0


def test_pause_allows_no_more_than_a_burst(clock: ManualClock) -> None:
    limiter = new_limiter(clock)
    use_burst(limiter, "192.0.2.1")
    clock.forward(HOUR_MS)
    use_burst(limiter, "192.0.2.1")
    assert limiter.wait_s("192.0.2.1", 1) > 0


def test_clients_have_separate_limits(clock: ManualClock) -> None:
    limiter = new_limiter(clock)
    use_burst(limiter, "192.0.2.1")
    use_burst(limiter, "192.0.2.2")


def test_ipv6_network_counts_as_one_client(clock: ManualClock) -> None:
    limiter = new_limiter(clock)
    use_burst(limiter, "2001:db8:1:2::1")
    assert limiter.wait_s("2001:db8:1:2:ffff::9", 1) > 0
    use_burst(limiter, "2001:db8:1:3::1")
    use_burst(limiter, "::ffff:192.0.2.1")
    use_burst(limiter, "::ffff:192.0.2.2")


def test_connections_without_address_count_as_one_client(clock: ManualClock) -> None:
    limiter = new_limiter(clock)
    use_burst(limiter, "")
    assert limiter.wait_s("", 1) > 0


def test_clients_are_not_locked_out_when_the_clock_is_set_back(clock: ManualClock) -> None:
    limiter = new_limiter(clock)
    use_burst(limiter, "192.0.2.1")
    clock.forward(-HOUR_MS)
    assert limiter.wait_s("192.0.2.1", 1) == 1
    clock.forward(EVERY_MS)
    assert limiter.wait_s("192.0.2.1", 1) == 0


def test_stored_addresses_are_limited(clock: ManualClock) -> None:
    limiter = new_limiter(clock)
    for number in range(limits.ADDRESSES_MAX + 10):
        limiter.wait_s(f"10.0.{number >> 8}.{number & 255}", 1)
    assert len(limiter._used_until_ms) == limits.ADDRESSES_MAX
    use_burst(limiter, "10.0.0.0")
