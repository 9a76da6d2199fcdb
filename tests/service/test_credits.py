"""References that operators choose, next to those of the gateway."""

import os

import pytest

from modelgates_server.core.errors import InvalidInput
from modelgates_server.service.accounts import Accounts
from modelgates_server.service.credits import Credits
from modelgates_server.service.ports import Store
from tests.support import DOLLAR, ManualClock


@pytest.mark.parametrize("reference", ["close", "open", "capture:gen-1", "expire:gen-1", ""])
async def test_reference_that_starts_like_one_of_the_gateway_is_refused(
    store: Store, clock: ManualClock, reference: str
) -> None:
    accounts = Accounts(store, clock, os.urandom)
    account = await accounts.open("Acme")
    with pytest.raises(InvalidInput):
        await Credits(store, clock, os.urandom).grant(account.id, DOLLAR, "r", reference)
    assert (await accounts.close(account.id)).closed_at_ms == clock()


async def test_grants_without_a_reference_are_never_repeats(
    store: Store, clock: ManualClock
) -> None:
    accounts, credit = Accounts(store, clock, os.urandom), Credits(store, clock, os.urandom)
    account = await accounts.open("Acme")
    for _ in range(2):
        assert not (await credit.grant(account.id, DOLLAR, "r")).replayed
    assert (await accounts.get(account.id)).credits_pico == 2 * DOLLAR
