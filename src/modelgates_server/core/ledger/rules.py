"""The rules of money: `apply(state, command)` returns the change to save, or raises an error.

The journal is complete: every accepted command becomes one entry, even if it moves no money, and
the amounts of an account are the sums of its entries. Each entry balances by itself: the customer's
side gains what the platform's side loses. No rule reads a clock, a database or a random number.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from modelgates_server.core.errors import (
    AccountClosed,
    AccountExists,
    AccountNotEmpty,
    AccountNotFound,
    Conflict,
    HoldEnded,
    HoldNotExpired,
    HoldNotFound,
    InsufficientCredits,
    KeyNotFound,
    NotPermitted,
    TotalTooLarge,
)
from modelgates_server.core.keys import (
    Key,
    KeyKind,
    charge_key,
    check_usable,
    is_dated_ahead,
    key_limit_exceeded,
    spent_pico,
    with_windows,
)
from modelgates_server.core.ledger import commands as c
from modelgates_server.core.ledger.records import (
    ENDS_AS,
    MAY_FOLLOW_CLOSING,
    Account,
    Entry,
    EntryKind,
    Hold,
    HoldState,
    PlatformAccount,
)
from modelgates_server.core.ledger.references import check_new_reference
from modelgates_server.core.money import format_pico

replace = msgspec.structs.replace


class State(msgspec.Struct, frozen=True):
    """The rows that one command concerns, before it is applied."""

    account: Account | None = None
    key: Key | None = None
    hold: Hold | None = None


class Change(msgspec.Struct, frozen=True):
    """The data to save: the new entry, and the rows after it."""

    entry: Entry
    account: Account
    key: Key | None = None
    hold: Hold | None = None


def apply(state: State, command: c.Command, total_cap_pico: int | None = None) -> Change:
    """Returns the change that a command makes, or raises a `GatewayError`.

    `total_cap_pico` limits lifetime totals for a database that cannot store larger ones. For a
    command whose reference has an entry already, call `references.replay` instead.
    """
    check_new_reference(command)
    account = state.account
    if isinstance(command, c.OpenAccount):
        return _open(account, command)
    if account is None:
        raise AccountNotFound(f"Account `{command.account_id}` does not exist. Check the ID.")
    # A free call may outlive its account, because its hold of 0 does not prevent closing, and so
    # may a call whose hold has expired.
    if account.closed_at_ms is not None and command.kind not in MAY_FOLLOW_CLOSING:
        raise AccountClosed(f"Account `{account.id}` is closed. Use another account.")
    change = _RULES[type(command)](state, account, command)
    _check_totals(change.account, total_cap_pico)
    return change


def _open(account: Account | None, command: c.OpenAccount) -> Change:
    if account is not None:
        raise AccountExists(f"Account `{account.id}` exists already. Use another ID.")
    opened = Account(
        id=command.account_id,
        name=command.name,
        min_balance_pico=command.min_balance_pico,
        created_at_ms=command.at_ms,
    )
    return _post(opened, command, reason=command.name, min_balance_pico=command.min_balance_pico)


def _close(_: State, account: Account, command: c.CloseAccount) -> Change:
    if account.balance_pico or account.held_pico:
        raise AccountNotEmpty(
            f"Account `{account.id}` has a balance of {format_pico(account.balance_pico)} and "
            f"{format_pico(account.held_pico)} held. Wait until its calls have ended, and adjust "
            "its balance to 0."
        )
    return _post(replace(account, closed_at_ms=command.at_ms), command)


def _grant(_: State, account: Account, command: c.Grant) -> Change:
    return _post(
        replace(account, credits_pico=account.credits_pico + command.amount_pico),
        command,
        amount_pico=command.amount_pico,
        platform=PlatformAccount.GRANTS,
        platform_pico=-command.amount_pico,
        reason=command.reason,
    )


def _adjust(_: State, account: Account, command: c.Adjust) -> Change:
    if command.amount_pico < 0:
        _check_available(account, -command.amount_pico)
    return _post(
        replace(account, credits_pico=account.credits_pico + command.amount_pico),
        command,
        amount_pico=command.amount_pico,
        platform=PlatformAccount.ADJUSTMENTS,
        platform_pico=-command.amount_pico,
        reason=command.reason,
    )


def _repair_key(state: State, account: Account, command: c.RepairKey) -> Change:
    """A window of the present is never opened: that would be a second budget."""
    key = _key_of(state, account)
    if not is_dated_ahead(key, command.at_ms):
        raise Conflict(
            f"Key `{key.hash}` has no charge that is dated after today, so no window to open."
        )
    if key.usage_pico != command.usage_pico:
        raise Conflict(f"Key `{key.hash}` was charged meanwhile. Repeat the repair.")
    repaired = with_windows(key, command.windows, command.at_ms)
    return _post(account, command, key=repaired, reason=command.reason)


def _hold(state: State, account: Account, command: c.PlaceHold) -> Change:
    if state.hold is not None:
        raise HoldEnded(
            f"Hold `{command.hold_id}` was placed before under another reference. Use a new ID."
        )
    key = _key_of(state, account)
    if key.kind is not KeyKind.INFERENCE:
        raise NotPermitted(f"{key.kind.capitalize()} keys cannot spend. Create an inference key.")
    check_usable(
        disabled=key.disabled,
        deleted=key.deleted_at_ms is not None,
        expires_at_ms=key.expires_at_ms,
        closed=False,
        at_ms=command.at_ms,
    )
    hold = Hold(
        account_id=account.id,
        id=command.hold_id,
        key_hash=key.hash,
        state=HoldState.OPEN,
        amount_pico=0,
        created_at_ms=command.at_ms,
        expires_at_ms=command.expires_at_ms,
    )
    return _hold_more(account, replace(key, last_used_at_ms=command.at_ms), hold, command)


def _extend(state: State, account: Account, command: c.ExtendHold) -> Change:
    hold = _open_hold(state, command)
    return _hold_more(account, _key_of(state, account), hold, command)


def _hold_more(
    account: Account, key: Key, hold: Hold, command: c.PlaceHold | c.ExtendHold
) -> Change:
    """Sets `amount_pico` aside, after checking the account and the key's limit in the same step."""
    amount = command.amount_pico
    _check_available(account, amount)
    _check_key_limit(key, amount, command.at_ms)
    return _post(
        replace(account, held_pico=account.held_pico + amount),
        command,
        held_pico=amount,
        key=replace(key, held_pico=key.held_pico + amount),
        hold=replace(
            hold,
            amount_pico=hold.amount_pico + amount,
            expires_at_ms=max(hold.expires_at_ms, command.expires_at_ms),
        ),
    )


def _capture(state: State, account: Account, command: c.CaptureHold) -> Change:
    hold = _open_hold(state, command)
    return _end(state, account, hold, command, command.amount_pico)


def _void(state: State, account: Account, command: c.VoidHold) -> Change:
    hold = _open_hold(state, command)
    return _end(state, account, hold, command, 0)


def _expire(state: State, account: Account, command: c.ExpireHold) -> Change:
    hold = _open_hold(state, command)
    if command.at_ms < hold.expires_at_ms:
        raise HoldNotExpired(f"Hold `{hold.id}` has not expired yet. Resolve it after its expiry.")
    return _end(state, account, hold, command, command.amount_pico)


def _end(  # one mechanism for all three endings
    state: State, account: Account, hold: Hold, command: c.Command, used_pico: int
) -> Change:
    """Ends a hold. The account pays at most the held amount, and the platform any overrun."""
    charged = min(used_pico, hold.amount_pico)
    key = charge_key(
        _key_of(state, account),
        charged_pico=charged,
        released_pico=hold.amount_pico,
        at_ms=command.at_ms,
    )
    return _post(
        replace(
            account,
            usage_pico=account.usage_pico + charged,
            held_pico=account.held_pico - hold.amount_pico,
        ),
        command,
        amount_pico=-charged,
        held_pico=-hold.amount_pico,
        platform=None if command.kind is EntryKind.VOID else PlatformAccount.REVENUE,
        platform_pico=used_pico,
        overrun_pico=charged - used_pico,
        key=key,
        hold=replace(
            hold, state=ENDS_AS[command.kind], charged_pico=charged, ended_at_ms=command.at_ms
        ),
    )


def _capture_late(state: State, account: Account, command: c.CaptureLate) -> Change:
    """Charges what an expired hold did not. The hold stays as it ended."""
    hold = _hold_of(state, command)
    if hold.state is HoldState.OPEN:
        raise HoldNotExpired(f"Hold `{hold.id}` is open. Capture it.")
    if hold.state is not HoldState.EXPIRED:
        raise _ended(hold)
    charged = min(command.amount_pico, _late_limit_pico(account, hold))
    key = charge_key(
        _key_of(state, account), charged_pico=charged, released_pico=0, at_ms=command.at_ms
    )
    change = _post(
        replace(account, usage_pico=account.usage_pico + charged),
        command,
        amount_pico=-charged,
        platform=PlatformAccount.REVENUE,
        platform_pico=command.amount_pico,
        overrun_pico=charged - command.amount_pico,
        key=key,
        hold=hold,
    )
    return replace(change, hold=None)


def _late_limit_pico(account: Account, hold: Hold) -> int:
    """Returns the most that late usage may charge for an expired hold, given its account before.

    The expiry freed the hold, so its credits may have been spent since. A closed account pays
    nothing.
    """
    if account.closed_at_ms is not None:
        return 0
    unpaid_pico = hold.amount_pico - (hold.charged_pico or 0)
    return max(0, min(unpaid_pico, account.available_pico - account.min_balance_pico))


def _post(
    account: Account,
    command: c.Command,
    *,
    key: Key | None = None,
    hold: Hold | None = None,
    **members: Any,
) -> Change:
    entry = Entry(
        account_id=account.id,
        seq=account.last_seq + 1,
        kind=command.kind,
        reference=command.reference,
        at_ms=command.at_ms,
        balance_after_pico=account.balance_pico,
        held_after_pico=account.held_pico,
        hold_id=None if hold is None else hold.id,
        key_hash=None if key is None else key.hash,
        **members,
    )
    assert entry.amount_pico + entry.platform_pico + entry.overrun_pico == 0, "entries balance"
    assert account.held_pico >= 0, "no more is released than was held"
    return Change(entry, replace(account, last_seq=entry.seq), key, hold)


def _check_available(account: Account, amount_pico: int) -> None:
    """Rejects even an amount of 0 for an account in debt: it cannot call free models either."""
    if account.available_pico - amount_pico < account.min_balance_pico:
        raise InsufficientCredits(
            f"Account `{account.id}` has {format_pico(account.available_pico)} available "
            f"({format_pico(account.held_pico)} is held), which does not cover "
            f"{format_pico(amount_pico)}. Add credits."
        )


def _check_key_limit(key: Key, amount_pico: int, at_ms: int) -> None:
    """Accepts every free call: it spends nothing, so no limit applies."""
    if key.limit_pico is None or amount_pico == 0:
        return
    if spent_pico(key, at_ms) + key.held_pico + amount_pico > key.limit_pico:
        raise key_limit_exceeded(key, amount_pico, at_ms)


def _check_totals(account: Account, cap_pico: int | None) -> None:
    # The floor counts as well: usage may reach credits - floor, which must fit.
    if cap_pico is not None and account.credits_pico - account.min_balance_pico > cap_pico:
        raise TotalTooLarge(
            f"Account `{account.id}` would exceed {format_pico(cap_pico)} dollars of lifetime "
            "credits, the most that this database stores exactly. Open another account."
        )


def _key_of(state: State, account: Account) -> Key:
    if state.key is None or state.key.account_id != account.id:
        raise KeyNotFound(
            f"Account `{account.id}` does not have this key. Use a key of the account."
        )
    return state.key


def _hold_of(state: State, command: c.HoldCommand) -> Hold:
    hold = state.hold
    if hold is None:
        raise HoldNotFound(f"Hold `{command.hold_id}` does not exist. Check the ID.")
    if hold.key_hash != command.key_hash:
        raise HoldNotFound(
            f"Hold `{command.hold_id}` does not belong to key `{command.key_hash}`. Check both IDs."
        )
    return hold


def _open_hold(state: State, command: c.HoldCommand) -> Hold:
    hold = _hold_of(state, command)
    if hold.state is not HoldState.OPEN:
        raise _ended(hold)
    return hold


def _ended(hold: Hold) -> HoldEnded:
    return HoldEnded(f"Hold `{hold.id}` has ended already: it is {hold.state}. A hold ends once.")


_RULES: dict[type[c.Command], Callable[[State, Account, Any], Change]] = {
    c.CloseAccount: _close,
    c.Grant: _grant,
    c.Adjust: _adjust,
    c.RepairKey: _repair_key,
    c.PlaceHold: _hold,
    c.ExtendHold: _extend,
    c.CaptureHold: _capture,
    c.VoidHold: _void,
    c.ExpireHold: _expire,
    c.CaptureLate: _capture_late,
}
