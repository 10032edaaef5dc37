"""Accounts of people: names and argon2id hashes in the record store, shared by the console and the command line."""

import asyncio
import re
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from astrolens.contracts.base import utc_now
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.paging import pages
from astrolens.platform.stores.records import Query, RecordStore

MIN_PASSWORD_LENGTH = 10
"""NIST SP 800-63B asks for eight; argon2 makes ten a long search."""

_PAGE = 200

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")


class Accounts:
    """Names and argon2id hashes in the record store."""

    def __init__(self, records: RecordStore) -> None:
        self._records = records
        self._hasher = PasswordHasher()
        # One at a time: each verification takes 64 MiB of memory by design.
        self._hashing = asyncio.Semaphore(1)
        self._dummy = ""

    async def hashes(self) -> dict[str, str]:
        """Password hashes by name."""
        return {
            document["name"]: document["password_hash"]
            async for page in pages(self._records, Collection.ACCOUNTS, Query(limit=_PAGE))
            for document in page
        }

    async def add(self, name: str, password: str) -> None:
        """Add an account, or give an existing one a new password; its old sessions end.

        Raises:
            ConfigurationError: The name or the password cannot be used.
        """
        if not _NAME.match(name):
            raise ConfigurationError(
                f"the account name {name[:80]!r} cannot be used: take up to 64 letters, digits and . _ @ -"
            )
        if len(password) < MIN_PASSWORD_LENGTH:
            raise ConfigurationError(f"the password is too short: take at least {MIN_PASSWORD_LENGTH} characters")
        hashed = await self._hashed(password)
        document = {"name": name, "password_hash": hashed, "created_at": utc_now().isoformat()}
        await self._records.upsert(Collection.ACCOUNTS, [document])

    async def remove(self, name: str) -> bool:
        """Remove an account; its sessions end. Returns whether there was one."""
        return bool(await self._records.delete(Collection.ACCOUNTS, [name]))

    async def verify(self, name: str, password: str) -> bool:
        """Whether the password is right; an unknown name takes as long as a wrong password."""
        known = (await self._records.get(Collection.ACCOUNTS, [name])).get(name)
        if known is None and not self._dummy:
            self._dummy = await self._hashed(secrets.token_hex(16))
        hashed = known["password_hash"] if known else self._dummy
        async with self._hashing:
            try:
                await asyncio.to_thread(self._hasher.verify, hashed, password)
            except (VerificationError, InvalidHashError):
                return False
        return known is not None

    async def _hashed(self, password: str) -> str:
        async with self._hashing:
            return await asyncio.to_thread(self._hasher.hash, password)
