"""Holds: set aside the worst-case cost of a call before it is sent, and end once its cost is known.

A hold has the id of the generation that it pays for. References are derived from that id, so
repeating a step of the same call is always a replay.
"""

from modelgates_server.core.ledger.commands import (
    CaptureHold,
    CaptureLate,
    CommandResult,
    ExpireHold,
    ExtendHold,
    HoldCommand,
    PlaceHold,
    VoidHold,
)
from modelgates_server.core.ledger.records import Hold, HoldState
from modelgates_server.core.metering.generations import Generation, StoredAnswer, late_usage_pico
from modelgates_server.service.ports import Clock, Ledger


class Holds:
    """Places and ends holds; each step saves the current generation in the same commit."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    async def place(self, generation: Generation, ttl_s: int) -> CommandResult:
        """Set `hold_pico` aside; maintenance may resolve the hold after `ttl_s` seconds."""
        command = PlaceHold(
            account_id=generation.account_id,
            reference=f"hold:{generation.id}",
            at_ms=generation.created_at_ms,
            hold_id=generation.id,
            key_hash=generation.key_hash,
            amount_pico=generation.hold_pico,
            expires_at_ms=generation.created_at_ms + ttl_s * 1000,
        )
        return await self._ledger.execute(command, generation)

    async def extend(self, generation: Generation, step: int, ttl_s: int) -> CommandResult:
        """Extend the hold of a running call: it expires `ttl_s` seconds from now.

        `step` counts the extensions of this hold. The generation is saved as a checkpoint.
        """
        assert generation.state is HoldState.OPEN, "an ended generation can never end its hold"
        now_ms = self._clock()
        command = ExtendHold(
            account_id=generation.account_id,
            reference=f"extend:{generation.id}:{step}",
            at_ms=now_ms,
            hold_id=generation.id,
            key_hash=generation.key_hash,
            amount_pico=0,
            expires_at_ms=now_ms + ttl_s * 1000,
        )
        return await self._ledger.execute(command, generation)

    async def end(
        self, generation: Generation, answer: StoredAnswer | None = None
    ) -> CommandResult:
        """End the hold in the state of the generation: charge its cost and free the rest."""
        attachments = (generation,) if answer is None else (generation, answer)
        return await self._ledger.execute(_ending(generation), *attachments)

    async def capture_late(
        self, ended: Generation, expired: Generation, answer: StoredAnswer | None = None
    ) -> CommandResult:
        """Charge the usage of a captured call that its expiry did not know.

        The generation stays as it expired. The entry has the current time, so it counts in the
        key's windows of today.
        """
        assert ended.state is HoldState.CAPTURED, "only captured calls have late usage"
        command = CaptureLate(
            account_id=ended.account_id,
            reference=f"late:{ended.id}",
            at_ms=self._clock(),
            hold_id=ended.id,
            key_hash=ended.key_hash,
            amount_pico=late_usage_pico(ended, expired),
        )
        attachments = () if answer is None else (answer,)
        return await self._ledger.execute(command, *attachments)

    async def expire(self, hold: Hold) -> CommandResult:
        """Free an expired hold that has no generation."""
        command = ExpireHold(
            account_id=hold.account_id,
            reference=f"expire:{hold.id}",
            at_ms=self._clock(),
            hold_id=hold.id,
            key_hash=hold.key_hash,
        )
        return await self._ledger.execute(command)


def _ending(generation: Generation) -> HoldCommand:
    at_ms = generation.ended_at_ms
    assert at_ms is not None, "only an ended call ends its hold"
    account_id, hold_id, key_hash = generation.account_id, generation.id, generation.key_hash
    used_pico = generation.cost_pico + generation.overrun_pico
    match generation.state:
        case HoldState.CAPTURED:
            return CaptureHold(
                account_id=account_id,
                reference=f"capture:{hold_id}",
                at_ms=at_ms,
                hold_id=hold_id,
                key_hash=key_hash,
                amount_pico=used_pico,
            )
        case HoldState.VOIDED:
            return VoidHold(
                account_id=account_id,
                reference=f"void:{hold_id}",
                at_ms=at_ms,
                hold_id=hold_id,
                key_hash=key_hash,
            )
        case HoldState.EXPIRED:
            return ExpireHold(
                account_id=account_id,
                reference=f"expire:{hold_id}",
                at_ms=at_ms,
                hold_id=hold_id,
                key_hash=key_hash,
                amount_pico=used_pico,
            )
        case HoldState.OPEN:
            raise AssertionError("an open hold has no end")
