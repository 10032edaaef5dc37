"""`astrolens account`: who may log in. It works on the record store itself, so that the first can be made."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from rich.console import Console

from astrolens.platform.settings import load_settings
from astrolens.platform.stores.open import record_store
from astrolens.usecases.accounts import Accounts

T = TypeVar("T")


def add(name: str, password: str) -> None:
    """Add an account or change its password."""
    _with_accounts(lambda accounts: accounts.add(name, password))
    Console(highlight=False).print(f"{name} can log in now")


def names() -> list[str]:
    """All accounts, sorted."""
    return sorted(_with_accounts(lambda accounts: accounts.hashes()))


def remove(name: str) -> int:
    """Remove an account; 1 where there is none of this name."""
    removed = _with_accounts(lambda accounts: accounts.remove(name))
    if not removed:
        Console(highlight=False, stderr=True).print(f"there is no account {name!r}: `astrolens account list`")
        return 1
    Console(highlight=False).print(f"{name} cannot log in any more")
    return 0


def _with_accounts(work: Callable[[Accounts], Awaitable[T]]) -> T:
    async def run() -> T:
        records = record_store(load_settings().records_url)
        await records.open()
        try:
            return await work(Accounts(records))
        finally:
            await records.close()

    return asyncio.run(run())
