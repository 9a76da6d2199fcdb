"""A second implementation of the ledger's promises (design, sections 3 and 4).

It shares no rule with the ledger. Money is fractions of dollars. Nothing is cached: held is the sum
of the open holds, and a window is a sum over dated charges. A refused command returns all reasons
that apply to it, and the ledger can raise any of them.
"""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from fractions import Fraction

from msgspec import UNSET

from modelgates_server.core.keys import Key, KeyChange, KeyKind
from modelgates_server.core.ledger import commands as c

DONE = frozenset({"done"})
AGAIN = frozenset({"again"})
TIMES = {"at_ms", "expires_at_ms"}


def dollars(pico: int) -> Fraction:
    return Fraction(pico, 10**12)


def utc_day(at_ms: int) -> date:
    return datetime.fromtimestamp(at_ms // 1000, tz=UTC).date()


def same_window(reset: str, one: date, other: date) -> bool:
    if reset == "daily":
        return one == other
    if reset == "weekly":
        return one.isocalendar()[:2] == other.isocalendar()[:2]
    return (one.year, one.month) == (other.year, other.month)


@dataclass
class Hold:
    key_hash: str
    amount: Fraction
    expires_at_ms: int
    is_open: bool = True
    charged_at_expiry: Fraction | None = None


@dataclass
class Account:
    floor: Fraction
    credits: Fraction = Fraction(0)
    usage: Fraction = Fraction(0)
    closed: bool = False
    holds: dict[str, Hold] = field(default_factory=dict)

    @property
    def held(self) -> Fraction:
        return sum((hold.amount for hold in self.holds.values() if hold.is_open), Fraction(0))

    @property
    def available(self) -> Fraction:
        return self.credits - self.usage - self.held


@dataclass
class KeyUse:
    """A key, and its charges with the days that they count for."""

    row: Key
    charges: list[tuple[date, Fraction]] = field(default_factory=list)
    entries: list[tuple[date, Fraction]] = field(default_factory=list)
    repaired: date = date.min

    @property
    def usage(self) -> Fraction:
        return sum((amount for _, amount in self.entries), Fraction(0))

    def today(self, at_ms: int) -> date:
        """The current day, but never before a charge: a past window does not come back."""
        return max([utc_day(at_ms), self.repaired, *(day for day, _ in self.charges)])

    def charge(self, amount: Fraction, at_ms: int) -> None:
        if amount:
            self.charges.append((self.today(at_ms), amount))
            self.entries.append((utc_day(at_ms), amount))

    def is_ahead(self, at_ms: int) -> bool:
        return self.today(at_ms) > utc_day(at_ms)

    def repair(self, at_ms: int) -> None:
        """Charges count for the days of their entries again, unless those are in the future."""
        self.charges = self.dated(at_ms)
        self.repaired = utc_day(at_ms)

    def dated(self, at_ms: int) -> list[tuple[date, Fraction]]:
        return [(day, amount) for day, amount in self.entries if day <= utc_day(at_ms)]

    def spent(self, reset: str | None, at_ms: int) -> Fraction:
        today = self.today(at_ms)
        counted = (
            amount
            for day, amount in self.charges
            if reset is None or same_window(reset, day, today)
        )
        return sum(counted, Fraction(0))


class Model:
    """The ledger of several accounts."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.keys: dict[str, KeyUse] = {}
        self.sent: dict[tuple[str, str], object] = {}

    def ask(self, command: c.Command) -> frozenset[str]:
        """The outcomes that a command can have; the model changes if they are `DONE`."""
        name = (command.account_id, command.reference)
        content = (
            type(command),
            {
                member: getattr(command, member)
                for member in command.__struct_fields__
                if member not in TIMES
            },
        )
        if name in self.sent:
            return AGAIN if self.sent[name] == content else frozenset({"ReferenceReused"})
        if isinstance(command, c.OpenAccount):
            reasons = {"AccountExists"} if command.account_id in self.accounts else set()
        elif command.account_id not in self.accounts:
            reasons = {"AccountNotFound"}
        else:
            reasons = self._reasons(self.accounts[command.account_id], command)
        if reasons:
            return frozenset(reasons)
        self.sent[name] = content
        self._do(command)
        return DONE

    def change_key(self, key_hash: str, change: KeyChange, at_ms: int) -> frozenset[str]:
        """The outcomes that a change can have, for a key that is not deleted."""
        row = self.keys[key_hash].row
        members = {name: getattr(row, name) for name in row.__struct_fields__}
        changed = {name: getattr(change, name) for name in members if hasattr(change, name)}
        changed = {name: value for name, value in changed.items() if value is not UNSET}
        members |= changed | {"deleted_at_ms": at_ms if change.deleted else None}
        if members["limit_pico"] is None and "limit_reset" not in changed:
            members["limit_reset"] = None
        if changed.keys() & {"limit_pico", "limit_reset"}:
            if members["limit_pico"] is None and members["limit_reset"] is not None:
                return frozenset({"InvalidInput"})
            if members["limit_pico"] is not None and row.kind is not KeyKind.INFERENCE:
                return frozenset({"InvalidInput"})
        self.keys[key_hash].row = Key(**members)
        return DONE

    def held_by(self, key_hash: str) -> Fraction:
        return sum(
            (
                hold.amount
                for account in self.accounts.values()
                for hold in account.holds.values()
                if hold.is_open and hold.key_hash == key_hash
            ),
            Fraction(0),
        )

    def _reasons(self, account: Account, command: c.Command) -> set[str]:
        reasons = set()
        ends = isinstance(command, c.CaptureHold | c.VoidHold | c.ExpireHold | c.CaptureLate)
        if account.closed and not ends:
            reasons.add("AccountClosed")
        match command:
            case c.CloseAccount():
                if account.credits != account.usage or account.held:
                    reasons.add("AccountNotEmpty")
            case c.Adjust():
                if command.amount_pico < 0:
                    reasons |= self._cannot_afford(account, -command.amount_pico)
            case c.KeyCommand():
                reasons |= self._cannot_use_key(account, command)
        return reasons

    def _cannot_use_key(self, account: Account, command: c.KeyCommand) -> set[str]:
        match command:
            case c.RepairKey():
                return self._cannot_repair(command)
            case c.PlaceHold():
                return self._cannot_place(account, command)
            case c.HoldCommand():
                return self._cannot_touch(account, command)
        raise AssertionError(command)

    def _cannot_repair(self, command: c.RepairKey) -> set[str]:
        key = self.keys.get(command.key_hash)
        if key is None or key.row.account_id != command.account_id:
            return {"KeyNotFound"}
        is_stale = key.usage != dollars(command.usage_pico)
        return {"Conflict"} if is_stale or not key.is_ahead(command.at_ms) else set()

    def _cannot_place(self, account: Account, command: c.PlaceHold) -> set[str]:
        reasons = self._cannot_afford(account, command.amount_pico)
        if command.hold_id in account.holds:
            reasons.add("HoldEnded")
        key = self.keys.get(command.key_hash)
        if key is None or key.row.account_id != command.account_id:
            return reasons | {"KeyNotFound"}
        if key.row.kind is not KeyKind.INFERENCE:
            reasons.add("NotPermitted")
        if key.row.deleted_at_ms is not None:
            reasons.add("UnknownKey")
        if key.row.disabled:
            reasons.add("KeyDisabled")
        if key.row.expires_at_ms is not None and command.at_ms >= key.row.expires_at_ms:
            reasons.add("KeyExpired")
        return reasons | self._beyond_limit(key, command)

    def _cannot_touch(self, account: Account, command: c.HoldCommand) -> set[str]:
        hold = account.holds.get(command.hold_id)
        if hold is None or hold.key_hash != command.key_hash:
            return {"HoldNotFound"}
        if isinstance(command, c.CaptureLate):
            has_expired = hold.charged_at_expiry is not None
            return set() if has_expired else {"HoldNotExpired" if hold.is_open else "HoldEnded"}
        if not hold.is_open:
            return {"HoldEnded"}
        if isinstance(command, c.ExpireHold) and command.at_ms < hold.expires_at_ms:
            return {"HoldNotExpired"}
        if isinstance(command, c.ExtendHold):
            more = self._beyond_limit(self.keys[hold.key_hash], command)
            return self._cannot_afford(account, command.amount_pico) | more
        return set()

    def _cannot_afford(self, account: Account, amount_pico: int) -> set[str]:
        left = account.available - dollars(amount_pico)
        return {"InsufficientCredits"} if left < account.floor else set()

    def _beyond_limit(self, key: KeyUse, command: c.PlaceHold | c.ExtendHold) -> set[str]:
        if key.row.limit_pico is None or command.amount_pico == 0:
            return set()
        total = (
            key.spent(key.row.limit_reset, command.at_ms)
            + self.held_by(key.row.hash)
            + dollars(command.amount_pico)
        )
        return {"KeyLimitExceeded"} if total > dollars(key.row.limit_pico) else set()

    def _do(self, command: c.Command) -> None:
        if isinstance(command, c.OpenAccount):
            floor = dollars(command.min_balance_pico)
            self.accounts[command.account_id] = Account(floor)
            return
        account = self.accounts[command.account_id]
        match command:
            case c.CloseAccount():
                account.closed = True
            case c.Grant() | c.Adjust():
                account.credits += dollars(command.amount_pico)
            case c.RepairKey():
                self.keys[command.key_hash].repair(command.at_ms)
            case c.HoldCommand():
                self._do_hold(account, command)

    def _do_hold(self, account: Account, command: c.HoldCommand) -> None:
        match command:
            case c.PlaceHold():
                amount = dollars(command.amount_pico)
                hold = Hold(command.key_hash, amount, command.expires_at_ms)
                account.holds[command.hold_id] = hold
            case c.ExtendHold():
                hold = account.holds[command.hold_id]
                hold.amount += dollars(command.amount_pico)
                hold.expires_at_ms = max(hold.expires_at_ms, command.expires_at_ms)
            case c.VoidHold():
                self._end(account, command, Fraction(0))
            case c.CaptureHold():
                self._end(account, command, dollars(command.amount_pico))
            case c.ExpireHold():
                charged = self._end(account, command, dollars(command.amount_pico))
                account.holds[command.hold_id].charged_at_expiry = charged
            case c.CaptureLate():
                self._end_late(account, command)

    def _end(self, account: Account, command: c.HoldCommand, used: Fraction) -> Fraction:
        hold = account.holds[command.hold_id]
        key = self.keys[hold.key_hash]
        charged = min(used, hold.amount)
        hold.is_open = False
        account.usage += charged
        key.charge(charged, command.at_ms)
        return charged

    def _end_late(self, account: Account, command: c.CaptureLate) -> None:
        """The customer pays the rest of the hold at most, from credits that nothing else holds."""
        hold = account.holds[command.hold_id]
        assert hold.charged_at_expiry is not None
        spare = Fraction(0) if account.closed else account.available - account.floor
        unpaid = hold.amount - hold.charged_at_expiry
        charged = max(Fraction(0), min(dollars(command.amount_pico), unpaid, spare))
        account.usage += charged
        self.keys[hold.key_hash].charge(charged, command.at_ms)
