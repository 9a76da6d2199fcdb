"""The room for the bodies of all running requests of a process, and who may use how much of it."""

from modelgates_server.web.errors import HttpError

SMALL_MAX_BYTES = 64 * 1024
"""Up to this size, a body may use the part of the room that large ones leave free."""

_ANONYMOUS_MAX_BYTES = 4 * 1024 * 1024
"""Separate room for bodies of clients without a key. Only POST /docs/_mcp/server reads them."""

_RETRY = (b"retry-after", b"1")
_MIB = 1024 * 1024


class BodyBudget:
    """The bytes of request bodies that this process holds at once, and their limits.

    Of `most_bytes`, a quarter is for bodies of at most `SMALL_MAX_BYTES`, and one account may use a
    quarter, but always one body of `body_max_bytes`. A body counts as it arrives: a client that
    declares much and sends nothing takes nothing.
    """

    def __init__(self, most_bytes: int, body_max_bytes: int = 0) -> None:
        share = most_bytes // 4
        self._most_bytes = most_bytes
        self._large_most_bytes = max(most_bytes - share, body_max_bytes)
        self._account_most_bytes = max(share, body_max_bytes)
        self._held_bytes = 0
        self._large_bytes = 0
        self._anonymous_bytes = 0
        self._by_account = dict[str, int]()

    def check(self, account_id: str | None, held: int, size: int) -> None:
        """Raise a 503 if a body of which `held` bytes are counted cannot grow by `size` bytes."""
        if account_id is None:
            if self._anonymous_bytes + size > _ANONYMOUS_MAX_BYTES:
                raise _used_up("Too many requests without a key are arriving at once.")
            return
        if self._by_account.get(account_id, 0) + size > self._account_most_bytes:
            most = self._account_most_bytes // _MIB
            raise _used_up(
                f"The running requests of this account are too large together. It may have {most} "
                "MiB of request bodies at once: wait until some requests have ended."
            )
        if self._large_bytes + _growth_of_large(held, size) > self._large_most_bytes:
            raise _used_up("The server is processing too many large requests.")
        if self._held_bytes + size > self._most_bytes:
            raise _used_up("The server is processing too many requests.")

    def take(self, account_id: str | None, held: int, size: int) -> None:
        """Count `size` more bytes of a body of which `held` are counted; raises as `check` does."""
        self.check(account_id, held, size)
        self._add(account_id, held, size)

    def give_back(self, account_id: str | None, held: int) -> None:
        """Release all `held` bytes of a body."""
        self._add(account_id, held, -held)

    def _add(self, account_id: str | None, held: int, size: int) -> None:
        if account_id is None:
            self._anonymous_bytes += size
            return
        self._held_bytes += size
        self._large_bytes += _growth_of_large(held, size)
        of_account = self._by_account.pop(account_id, 0) + size
        if of_account:
            self._by_account[account_id] = of_account


def _growth_of_large(held: int, size: int) -> int:
    """The bytes by which large bodies grow if one of `held` bytes grows by `size`."""
    return _large(held + size) - _large(held)


def _large(size: int) -> int:
    return size if size > SMALL_MAX_BYTES else 0


def _used_up(reason: str) -> HttpError:
    return HttpError(503, f"{reason} Retry in one second.", [_RETRY])
