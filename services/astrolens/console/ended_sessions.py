"""Sessions that were ended by logging out, kept in the record store until they would have ended by themselves."""

import time
from collections.abc import Callable
from typing import Final

from astrolens.platform.errors import TransientError
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change, Clause, Document, RecordStore

ENDED_SESSIONS: Final = "console-ended-sessions"
"""The document in META that holds them, shared by all consoles of one record store."""

ENDED_CACHE_TTL_S: Final = 5.0
"""How long they are remembered: a log-out at one console holds at another after at most so many seconds."""

MAX_ENDED: Final = 1000
"""Most ids kept: more log-outs in one week than people make."""

_MAX_ATTEMPTS: Final = 20


class EndedSessions:
    """Remembers ids of ended sessions.

    When there are too many, those that end first are forgotten, and every session that ends no later than they do
    counts as ended: its user logs in again.

    Args:
        records: The record store.
        clock: The present time, seconds since the epoch.
    """

    def __init__(self, records: RecordStore, *, clock: Callable[[], float] = time.time) -> None:
        self._records = records
        self._clock = clock
        self._ended: dict[str, int] = {}
        self._all_until = 0
        self._read_at = float("-inf")

    async def contains(self, session_id: str, *, until: int) -> bool:
        """Whether a session was ended.

        Args:
            session_id: Its id.
            until: When it ends by itself, seconds since the epoch.
        """
        if time.monotonic() - self._read_at >= ENDED_CACHE_TTL_S:
            self._remember(await self._read())
        return session_id in self._ended or until <= self._all_until

    async def add(self, session_id: str, *, until: int) -> None:
        """End a session.

        Raises:
            TransientError: Others end sessions all the time.
        """
        for _ in range(_MAX_ATTEMPTS):
            before = await self._read()
            now = self._clock()
            ended = {key: end for key, end in before["ended"].items() if end >= now} | {session_id: until}
            latest = sorted(ended, key=ended.__getitem__)[-MAX_ENDED:]
            forgotten = [end for key, end in ended.items() if key not in latest]
            after = {"ended": {key: ended[key] for key in latest}, "all_until": max([before["all_until"], *forgotten])}
            unchanged = tuple(Clause(field, "eq", before[field]) for field in ("ended", "all_until"))
            change = Change(id=ENDED_SESSIONS, set=after, when=unchanged)
            if await self._records.apply(Collection.META, [change]):
                self._remember({**before, **after})
                return
        raise TransientError("too many sessions end at once")

    async def _read(self) -> Document:
        found = (await self._records.get(Collection.META, [ENDED_SESSIONS])).get(ENDED_SESSIONS)
        if found is not None:
            return found
        await self._records.insert(Collection.META, [{"name": ENDED_SESSIONS, "ended": {}, "all_until": 0}])
        return (await self._records.get(Collection.META, [ENDED_SESSIONS]))[ENDED_SESSIONS]

    def _remember(self, document: Document) -> None:
        self._ended, self._all_until = document["ended"], document["all_until"]
        self._read_at = time.monotonic()
