"""The memory that a process gives to the outputs of its calls, shared fairly between accounts.

An account may have at most as much as stays free. One account alone therefore gets half of the
memory and two get a third each, so a new one always finds some, and nothing is ever evicted.
"""

OUTPUT_MAX_BYTES = 1024 * 1024
"""The longest output that is kept for repeats of its call."""

OUTPUTS_MAX_BYTES = 64 * 1024 * 1024
"""The outputs that a process keeps at once."""

_BLOCK_BYTES = 4096


class OutputMemory:
    """Counts the bytes that are in use, in all and by account."""

    def __init__(self, most_bytes: int = OUTPUTS_MAX_BYTES) -> None:
        self.free_bytes = most_bytes
        self._used_bytes: dict[str, int] = {}

    def lease(self, account_id: str, most_bytes: int = OUTPUT_MAX_BYTES) -> "Lease":
        """Returns an empty lease for one output of an account."""
        return Lease(self, account_id, most_bytes)

    def take(self, account_id: str, size: int) -> bool:
        """Take `size` bytes, unless the account would then have more than stays free."""
        used_bytes = self._used_bytes.get(account_id, 0) + size
        if used_bytes > self.free_bytes - size:
            return False
        self.free_bytes -= size
        self._used_bytes[account_id] = used_bytes
        return True

    def give_back(self, account_id: str, size: int) -> None:
        """Give back bytes that were taken."""
        self.free_bytes += size
        self._used_bytes[account_id] -= size
        if not self._used_bytes[account_id]:
            del self._used_bytes[account_id]


class Lease:
    """The memory of one output. It grows by blocks, so most pieces need nothing from it."""

    __slots__ = ("_account_id", "_memory", "_most_bytes", "_taken_bytes")

    def __init__(self, memory: OutputMemory, account_id: str, most_bytes: int) -> None:
        self._memory = memory
        self._account_id = account_id
        self._most_bytes = most_bytes
        self._taken_bytes = 0

    def grow(self, lacking_bytes: int) -> int:
        """Take at least `lacking_bytes`; returns the bytes taken, 0 if there are not enough."""
        blocks = -(-lacking_bytes // _BLOCK_BYTES)
        size = min(blocks * _BLOCK_BYTES, self._most_bytes - self._taken_bytes)
        if size < lacking_bytes or not self._memory.take(self._account_id, size):
            return 0
        self._taken_bytes += size
        return size

    def release(self) -> None:
        """Give back everything."""
        if self._taken_bytes:
            self._memory.give_back(self._account_id, self._taken_bytes)
            self._taken_bytes = 0
