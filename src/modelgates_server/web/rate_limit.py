"""Limits the rate of messages that one client may send without a key."""

from ipaddress import IPv6Address, ip_address

from modelgates_server.service.ports import Clock

ADDRESSES_MAX = 4096
_NETWORK_BITS = 64
_MS_PER_S = 1000


class RateLimiter:
    """Allows each address `burst` messages at once, and one more every `every_ms`.

    Stores one number per address, for the addresses that sent messages last.
    """

    def __init__(self, clock: Clock, *, burst: int, every_ms: int) -> None:
        self._clock = clock
        self._every_ms = every_ms
        self._most_ms = burst * every_ms
        self._used_until_ms: dict[str, int] = {}

    def wait_s(self, address: str, count: int) -> int:
        """0 if `count` messages are allowed, otherwise the seconds after which they will be."""
        now_ms = self._clock()
        client = _client_of(address)
        # At most a whole burst ahead: the clock may have been set back.
        used_until_ms = min(
            max(self._used_until_ms.pop(client, now_ms), now_ms), now_ms + self._most_ms
        )
        requested_ms = count * self._every_ms
        excess_ms = used_until_ms + requested_ms - now_ms - self._most_ms
        allowed = excess_ms <= 0
        self._used_until_ms[client] = used_until_ms + (requested_ms if allowed else 0)
        if len(self._used_until_ms) > ADDRESSES_MAX:
            del self._used_until_ms[next(iter(self._used_until_ms))]
        return 0 if allowed else -(-excess_ms // _MS_PER_S)


def _client_of(address: str) -> str:
    """The address, or the network of an IPv6 address: one client has all addresses of a network."""
    try:
        parsed = ip_address(address)
    except ValueError:  # a connection without an address, such as a Unix socket
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(int(parsed) >> _NETWORK_BITS)
    return address
