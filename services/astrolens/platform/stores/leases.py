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

_CLOCK_ERROR: Final = timedelta(minutes=1)
"""Clocks of instances differ by less. A lease that ends later than this after its time was taken before a clock was set
back: whoever holds it and works has renewed it since."""


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
            records: Where the lease is stored, in `META`.
            name: What it is about, such as `source:sdss`.
            owner: Unique among all processes.
            lasts_s: Seconds from the last renewal to its end.
            clock: The present time.
        """
        self._records = records
        self._id = f"lease:{name}"
        self._owner = owner
        self._lasts_s = lasts_s
        self._clock = clock
        self._longest = timedelta(seconds=lasts_s) + _CLOCK_ERROR

    @property
    def renew_every_s(self) -> float:
        """How often its owner renews it: two renewals may fail before it ends."""
        return self._lasts_s / 3

    async def acquire(self) -> bool:
        """Take the lease, or renew it; return whether this owner holds it now.

        Whoever finds it held by another only reads.

        Raises:
            StoreUnavailable: The holder is unknown.
        """
        now = self._clock()
        held = {"owner": self._owner, "expires_at": utc_text(now + timedelta(seconds=self._lasts_s))}
        found = (await self._records.get(Collection.META, [self._id])).get(self._id)
        if found is None:
            return bool(await self._records.insert(Collection.META, [{"name": self._id, **held}]))
        if found["owner"] == self._owner:
            unchanged = Clause("owner", "eq", self._owner)
        elif found["expires_at"] < utc_text(now) or found["expires_at"] > utc_text(now + self._longest):
            # Of several that take over, the first changes the time and with it the condition of the others.
            unchanged = Clause("expires_at", "eq", found["expires_at"])
        else:
            return False
        return bool(await self._records.apply(Collection.META, [Change(id=self._id, set=held, when=(unchanged,))]))

    async def release(self) -> None:
        """End the lease, so that another instance need not wait for it; no error where it is not held.

        Raises:
            StoreUnavailable: It ends by itself.
        """
        ended = {"owner": "", "expires_at": utc_text(self._clock() - timedelta(seconds=self._lasts_s))}
        change = Change(id=self._id, set=ended, when=(Clause("owner", "eq", self._owner),))
        await self._records.apply(Collection.META, [change])
