import msgspec
import pytest

from modelgates_server.core.errors import (
    AccountClosed,
    AccountNotFound,
    CreatedKeyDeleted,
    ReferenceReused,
)
from modelgates_server.core.keys import IssuedKey, Key, KeyCreationRecord, issue_key
from modelgates_server.core.ledger.records import Account
from tests.support import T0_MS, new_account_id, new_key

ACCOUNT = Account(new_account_id(), "test", 0, T0_MS)
_, KEY = new_key(ACCOUNT.id)
_, PRIOR_KEY = new_key(ACCOUNT.id)


def record(key: Key, digest: str = "digest", nonce: bytes = b"now") -> KeyCreationRecord:
    return KeyCreationRecord(ACCOUNT.id, "reference", digest, nonce, key.hash, T0_MS)


PRIOR = record(PRIOR_KEY, nonce=b"then")


def issued(
    account: Account | None = ACCOUNT,
    of: KeyCreationRecord | None = None,
    prior: KeyCreationRecord | None = None,
    prior_key: Key | None = None,
) -> IssuedKey:
    return issue_key(KEY, of, account=account, prior=prior, prior_key=prior_key)


def test_key_is_new_when_its_request_cannot_be_repeated() -> None:
    assert issued() == IssuedKey(KEY, None, replayed=False)


def test_key_is_new_when_its_request_is_the_first() -> None:
    assert issued(of=record(KEY)) == IssuedKey(KEY, b"now", replayed=False)


def test_key_is_the_first_one_when_its_request_is_repeated() -> None:
    again = issued(of=record(KEY), prior=PRIOR, prior_key=PRIOR_KEY)
    assert again == IssuedKey(PRIOR_KEY, b"then", replayed=True)


def test_key_is_refused_when_its_reference_had_other_parameters() -> None:
    with pytest.raises(ReferenceReused):
        issued(of=record(KEY, digest="other"), prior=PRIOR, prior_key=PRIOR_KEY)


def test_key_is_refused_when_the_first_one_was_deleted() -> None:
    deleted = msgspec.structs.replace(PRIOR_KEY, deleted_at_ms=T0_MS)
    with pytest.raises(CreatedKeyDeleted):
        issued(of=record(KEY), prior=PRIOR, prior_key=deleted)


def test_key_is_refused_when_its_account_does_not_exist() -> None:
    with pytest.raises(AccountNotFound):
        issued(account=None)


def test_key_is_refused_when_its_account_is_closed() -> None:
    with pytest.raises(AccountClosed):
        issued(account=msgspec.structs.replace(ACCOUNT, closed_at_ms=T0_MS))
