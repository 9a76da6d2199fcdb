"""How the books of every account must be when a test of calls has ended."""

from typing import Any

from modelgates_server.core.ledger.records import HoldState
from modelgates_server.service.accounts import every_account
from modelgates_server.service.ports import Store
from modelgates_server.service.verify import verify


async def check_books(store: Store, *, holds_open: bool = False) -> None:
    """`ledger verify` passes, costs add up to the usage to the pico, and no hold is open.

    `holds_open`: a test may leave calls that run, or were lost; their costs are not charged yet.
    """
    assert (await verify(store)).findings == []
    async for account in every_account(store):
        figures = await figures_of(store, account.id)
        assert figures["costs_pico"] == figures["usage_pico"], figures
        assert holds_open or (figures["held_pico"], figures["open"]) == (0, []), figures


async def figures_of(store: Store, account_id: str) -> dict[str, Any]:
    """An account's own figures, and what its generations come to, as of one moment."""
    async with store.account_snapshot(account_id) as snapshot:
        records = [row.record async for page in snapshot.generations() for row in page]
        ended = [one for one in records if one.state is not HoldState.OPEN]
        return {
            "account": account_id,
            "usage_pico": snapshot.account.usage_pico,
            "held_pico": snapshot.account.held_pico,
            "costs_pico": sum(one.cost_pico for one in ended),
            "open": [one.id for one in records if one.state is HoldState.OPEN],
        }
