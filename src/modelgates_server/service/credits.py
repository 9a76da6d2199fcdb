"""Credits that operators post to an account: grants and adjustments."""

from modelgates_server.core.errors import InvalidInput
from modelgates_server.core.ledger.commands import Adjust, CommandResult, Grant
from modelgates_server.service.accounts import Accounts
from modelgates_server.service.ports import Clock, Ledger, RandomBytes

_REFERENCE_BYTES = 12
_GATEWAY_KINDS = frozenset(
    {"open", "close", "hold", "extend", "capture", "void", "expire", "late", "repair"}
)
"""First words of the references that `accounts`, `holds` and `key_repair` use."""


class Credits:
    """Grants and adjusts credits. Without a reference, each posting is a new one."""

    def __init__(self, ledger: Ledger, clock: Clock, random_bytes: RandomBytes) -> None:
        self._ledger = ledger
        self._clock = clock
        self._random_bytes = random_bytes
        self._accounts = Accounts(ledger, clock, random_bytes)

    async def grant(
        self, account_id: str, amount_pico: int, reason: str, reference: str | None = None
    ) -> CommandResult:
        """Grant credits; the amount must be positive."""
        account = await self._accounts.get(account_id)
        return await self._ledger.execute(
            Grant(
                account_id=account.id,
                reference=self._reference("grant", reference),
                at_ms=self._clock(),
                amount_pico=amount_pico,
                reason=reason,
            )
        )

    async def adjust(
        self, account_id: str, amount_pico: int, reason: str, reference: str | None = None
    ) -> CommandResult:
        """Correct credits up or down; raises `InsufficientCredits` below the account's floor."""
        account = await self._accounts.get(account_id)
        return await self._ledger.execute(
            Adjust(
                account_id=account.id,
                reference=self._reference("adjustment", reference),
                at_ms=self._clock(),
                amount_pico=amount_pico,
                reason=reason,
            )
        )

    def _reference(self, kind: str, given: str | None) -> str:
        if given is not None:
            if given.partition(":")[0] in _GATEWAY_KINDS:
                raise InvalidInput(
                    f"References that start with {given.partition(':')[0]!r} belong to ModelGates. "
                    "Choose another, for example one that starts with the name of your system."
                )
            return given
        return f"{kind}:{self._random_bytes(_REFERENCE_BYTES).hex()}"
