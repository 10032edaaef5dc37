"""Accounts: names and password hashes in the record store."""

import pytest
from argon2 import PasswordHasher
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import RecordStore
from astrolens.usecases.accounts import Accounts

PASSWORD = "correct horse battery"


@pytest.fixture
def accounts(records: RecordStore, monkeypatch: pytest.MonkeyPatch) -> Accounts:
    """Accounts with argon2 at a cost for tests."""
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr("astrolens.usecases.accounts.PasswordHasher", lambda: quick)
    return Accounts(records)


@pytest.mark.parametrize(
    ("name", "password", "word"),
    [
        ("vera", "short", "10 characters"),
        ("", PASSWORD, "account name"),
        ("../x", PASSWORD, "account name"),
        ("a" * 65, PASSWORD, "account name"),
    ],
)
async def test_a_name_or_password_that_cannot_be_used_is_refused(
    accounts: Accounts, name: str, password: str, word: str
) -> None:
    with pytest.raises(ConfigurationError, match=word):
        await accounts.add(name, password)
    assert await accounts.hashes() == {}


async def test_only_the_right_password_of_a_known_name_is_verified(accounts: Accounts) -> None:
    await accounts.add("vera", PASSWORD)
    assert await accounts.verify("vera", PASSWORD)
    assert not await accounts.verify("vera", PASSWORD + "x")
    assert not await accounts.verify("fritz", PASSWORD)
    await accounts.add("vera", "another long password")
    assert not await accounts.verify("vera", PASSWORD)
    assert await accounts.verify("vera", "another long password")
    assert await accounts.remove("vera")
    assert not await accounts.remove("vera")
    assert not await accounts.verify("vera", "another long password")


async def test_passwords_are_stored_as_argon2id_hashes_only(accounts: Accounts, records: RecordStore) -> None:
    await accounts.add("vera", PASSWORD)
    document = (await records.get(Collection.ACCOUNTS, ["vera"]))["vera"]
    assert document["password_hash"].startswith("$argon2id$")
    assert PASSWORD not in str(document)


async def test_a_damaged_hash_verifies_nothing(accounts: Accounts, records: RecordStore) -> None:
    await records.upsert(Collection.ACCOUNTS, [{"name": "vera", "password_hash": "damaged"}])
    assert not await accounts.verify("vera", PASSWORD)


async def test_more_accounts_than_a_page_are_all_known(accounts: Accounts, records: RecordStore) -> None:
    documents = [{"name": f"user-{n:04}", "password_hash": "x"} for n in range(1200)]
    await records.upsert(Collection.ACCOUNTS, documents)
    assert len(await accounts.hashes()) == 1200
