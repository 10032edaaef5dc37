"""How often the server of a catalogue is asked: one evenly spaced limit that all replicas share.

The record store holds, for each server, the moment of the next request. Whoever wants to ask takes that moment by
moving it on, on condition that nobody moved it meanwhile, and waits for it. A server's `Retry-After` moves it for
everybody.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

from pydantic import TypeAdapter

from astrolens.contracts.base import UtcTime, utc_now, utc_text
from astrolens.crossref.failures import CatalogueFailed
from astrolens.platform.retry_after import MAX_RETRY_AFTER_S
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change, Clause, RecordStore

_TRIES: Final = 20
"""Attempts to take a moment that other replicas take as well."""
_MAX_PLAUSIBLE_WAIT: Final = timedelta(seconds=MAX_RETRY_AFTER_S + 60)
"""A moment further away was written before a clock was set back."""
_TIME: Final = TypeAdapter(UtcTime)

Sleep = Callable[[float], Awaitable[None]]


class SharedLimiter:
    """The limit of one server.

    Args:
        records: Where the moment of the next request is kept, in `META`.
        host: The server.
        per_second: Requests a second, of all replicas together.
        clock: The present time.
        sleep: Waits, seconds.
        on_wait: Called with the seconds of every wait.
    """

    def __init__(
        self,
        records: RecordStore,
        host: str,
        *,
        per_second: float,
        clock: Callable[[], datetime] = utc_now,
        sleep: Sleep = asyncio.sleep,
        on_wait: Callable[[float], None] | None = None,
    ) -> None:
        self._records = records
        self._id = f"limit:{host}"
        self._host = host
        self._spacing = timedelta(seconds=1.0 / per_second)
        self._clock = clock
        self._sleep = sleep
        self._on_wait = on_wait

    async def acquire(self, *, within_s: float) -> None:
        """Wait for a turn.

        Args:
            within_s: No turn that comes later is taken.

        Raises:
            CatalogueFailed: There is none so soon.
            StoreUnavailable: The record store does not answer.
        """
        for _ in range(_TRIES):
            now = self._clock()
            kept = await self._next()
            turn = now if kept is None or kept < now or kept > now + _MAX_PLAUSIBLE_WAIT else kept
            wait_s = (turn - now).total_seconds()
            if wait_s > within_s:
                raise CatalogueFailed(
                    "no-turn", f"{self._host} can be asked again in {wait_s:.0f} s, by its limit of requests"
                )
            if await self._move(kept, turn + self._spacing):
                if wait_s > 0:
                    if self._on_wait is not None:
                        self._on_wait(wait_s)
                    await self._sleep(wait_s)
                return
            await self._sleep(random.uniform(0.0, 0.02))  # noqa: S311 - jitter is no secret
        raise CatalogueFailed("no-turn", f"other replicas took every turn to ask {self._host}")

    async def back_off(self, seconds: float) -> None:
        """Send no request to the host for so many seconds, as its server asked.

        Raises:
            StoreUnavailable: The record store does not answer.
        """
        until = self._clock() + timedelta(seconds=min(seconds, MAX_RETRY_AFTER_S))
        for _ in range(_TRIES):
            kept = await self._next()
            if kept is not None and kept >= until and kept <= self._clock() + _MAX_PLAUSIBLE_WAIT:
                return
            if await self._move(kept, until):
                return

    async def _next(self) -> datetime | None:
        found = (await self._records.get(Collection.META, [self._id])).get(self._id)
        return None if found is None else _TIME.validate_python(found["next_at"])

    async def _move(self, before: datetime | None, after: datetime) -> bool:
        if before is None:
            document = {"name": self._id, "next_at": utc_text(after)}
            return bool(await self._records.insert(Collection.META, [document]))
        guard = Clause("next_at", "eq", utc_text(before))
        change = Change(id=self._id, set={"next_at": utc_text(after)}, when=(guard,))
        return bool(await self._records.apply(Collection.META, [change]))
