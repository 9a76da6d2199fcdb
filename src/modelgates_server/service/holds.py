"""Holds: the worst case of a call is set aside before it leaves, and ended when its cost is known.

References follow from the hold's id, so a repeated step of the same call is a replay by itself.
"""

from modelgates_server.core.commands import CaptureHold, ExpireHold, ExtendHold, PlaceHold, VoidHold
from modelgates_server.core.ledger import Receipt
from modelgates_server.service.ports import Clock, Ledger


class Holds:
    """Places and ends holds. `hold_id` is the id of the generation it pays for."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    async def place(
        self, account_id: str, key_hash: str, hold_id: str, amount_pico: int, ttl_s: int
    ) -> Receipt:
        """Set the worst case aside; the sweeper may resolve the hold after `ttl_s` seconds."""
        now_ms = self._clock()
        return await self._ledger.execute(
            PlaceHold(
                account_id=account_id,
                reference=f"hold:{hold_id}",
                at_ms=now_ms,
                hold_id=hold_id,
                key_hash=key_hash,
                amount_pico=amount_pico,
                expires_at_ms=now_ms + ttl_s * 1000,
            )
        )

    async def extend(
        self, account_id: str, hold_id: str, step: str, amount_pico: int, ttl_s: int
    ) -> Receipt:
        """Add to a hold; `step` names the extension among those of the hold."""
        now_ms = self._clock()
        return await self._ledger.execute(
            ExtendHold(
                account_id=account_id,
                reference=f"extend:{hold_id}:{step}",
                at_ms=now_ms,
                hold_id=hold_id,
                amount_pico=amount_pico,
                expires_at_ms=now_ms + ttl_s * 1000,
            )
        )

    async def capture(self, account_id: str, hold_id: str, amount_pico: int) -> Receipt:
        """Charge what was used, free the rest."""
        return await self._ledger.execute(
            CaptureHold(
                account_id=account_id,
                reference=f"capture:{hold_id}",
                at_ms=self._clock(),
                hold_id=hold_id,
                amount_pico=amount_pico,
            )
        )

    async def void(self, account_id: str, hold_id: str) -> Receipt:
        """Free all of it."""
        return await self._ledger.execute(
            VoidHold(
                account_id=account_id,
                reference=f"void:{hold_id}",
                at_ms=self._clock(),
                hold_id=hold_id,
            )
        )

    async def expire(self, account_id: str, hold_id: str) -> Receipt:
        """Free a hold whose call was never heard of again."""
        return await self._ledger.execute(
            ExpireHold(
                account_id=account_id,
                reference=f"expire:{hold_id}",
                at_ms=self._clock(),
                hold_id=hold_id,
            )
        )
