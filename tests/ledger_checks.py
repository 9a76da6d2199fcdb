"""The state that the ledger must be in when a test of calls has ended."""

from typing import Any

from modelgates_server.core.ledger.records import EntryKind, HoldState
from modelgates_server.service.accounts import every_account
from modelgates_server.service.ports import Store
from modelgates_server.service.verify import verify


async def check_ledger(store: Store, *, holds_open: bool = False) -> None:
    """Asserts that the ledger is valid, costs add up to the usage and no hold is open.

    `holds_open`: calls may still run or be lost, so that their costs are not charged yet.
    """
    assert (await verify(store)).findings == []
    async for account in every_account(store):
        figures = await figures_of(store, account.id)
        assert figures["costs_pico"] == figures["usage_pico"], figures
        assert holds_open or (figures["held_pico"], figures["open"]) == (0, []), figures


async def figures_of(store: Store, account_id: str) -> dict[str, Any]:
    """Returns the amounts of an account and the sums of its generations at one moment."""
    async with store.account_snapshot(account_id) as snapshot:
        records = [row.record async for page in snapshot.generations() for row in page]
        entries = [entry async for page in snapshot.hold_entries() for entry in page]
        late_pico = -sum(e.amount_pico for e in entries if e.kind is EntryKind.LATE_USAGE)
        archived = [row async for page in snapshot.archived() for row in page]
        ended = [record for record in records if record.state is not HoldState.OPEN]
        return {
            "account": account_id,
            "usage_pico": snapshot.account.usage_pico,
            "held_pico": snapshot.account.held_pico,
            "costs_pico": sum(each.cost_pico for each in ended)
            + sum(row.cost_pico for row in archived)
            + late_pico,
            "open": [record.id for record in records if record.state is HoldState.OPEN],
        }
