"""Leases in the record store: of several instances, one at a time does a thing."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from astrolens.contracts.base import utc_now, utc_text
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change, Clause, RecordStore

LEASE_S: Final = 30.0
"""How long a lease lasts without being renewed: how late another instance takes over from one that died. Clocks of
instances may differ by some seconds."""


class Lease:
    """The right of one owner to do a named thing; it ends by itself unless it is renewed.

    It is advice, not a lock: an owner that stood still for longer than it lasts may overlap with the next one. What is
    done under a lease must be harmless when it is done twice.
    """

    def __init__(
        self,
        records: RecordStore,
        name: str,
        *,
        owner: str,
        lasts_s: float = LEASE_S,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """Compose; nothing is asked of the store.

        Args:
            records: Where the lease lies, in `META`.
            name: What it is about, such as `source:sdss`.
            owner: Unique among all processes.
            lasts_s: Seconds from the last renewal to its end.
            clock: The present time.
        """
        self._records = records
        self._id = f"lease:{name}"
        self._owner = owner
        self._lasts = timedelta(seconds=lasts_s)
        self._clock = clock

    async def acquire(self) -> bool:
        """Take the lease, or renew it; return whether this owner holds it now.

        Raises:
            StoreUnavailable: Nobody can tell.
        """
        now = self._clock()
        held = {"owner": self._owner, "expires_at": utc_text(now + self._lasts)}
        if await self._records.insert(Collection.META, [{"name": self._id, **held}]):
            return True
        renew = Change(id=self._id, set=held, when=(Clause("owner", "eq", self._owner),))
        if await self._records.apply(Collection.META, [renew]):
            return True
        take_over = Change(id=self._id, set=held, when=(Clause("expires_at", "lt", utc_text(now)),))
        return bool(await self._records.apply(Collection.META, [take_over]))

    async def release(self) -> None:
        """Give the lease back, so that another instance need not wait for its end; no error where it is not held.

        Raises:
            StoreUnavailable: It ends by itself.
        """
        ended = {"expires_at": utc_text(self._clock() - self._lasts)}
        change = Change(id=self._id, set={**ended, "owner": ""}, when=(Clause("owner", "eq", self._owner),))
        await self._records.apply(Collection.META, [change])
