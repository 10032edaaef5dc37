"""The time from which on people's answers change the alerts of an archive.

Earlier versions sent alerts and let no answer retract one. An archive of theirs must not have all of its refuted alerts
retracted at the first start of this version: nobody waits for messages about what was settled long ago. So answers
count from the first start on. An earlier one reaches the alert with the next revision of it, for another reason.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog
from pydantic import ValidationError

from astrolens.contracts.base import Contract, UtcTime, utc_now
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import RecordStore

NAME: Final = "notifier.answers-since"
"""Archives hold the document under this name."""
_log = structlog.get_logger(__name__)


class AnswerCutoffRecord(Contract):
    """When a notifier that follows answers first ran on an archive; a document of `META`, written once."""

    name: str = NAME
    since: UtcTime


class AnswerCutoff:
    """Reads the cutoff of an archive, and writes it where it is missing."""

    def __init__(self, *, records: RecordStore, clock: Callable[[], datetime] = utc_now) -> None:
        self._records = records
        self._clock = clock
        self._since: datetime | None = None

    async def time(self) -> datetime:
        """The cutoff: answers that were given earlier change no alert by themselves.

        Raises:
            TransientError: The record store is unreachable.
        """
        if self._since is None:
            # Of several notifiers that start together the first one's time stays.
            await self._records.insert(Collection.META, [AnswerCutoffRecord(since=self._clock())])
            stored = (await self._records.get(Collection.META, [NAME]))[NAME]
            try:
                self._since = AnswerCutoffRecord.model_validate(stored).since
            except ValidationError as error:
                _log.warning("the time since which answers count cannot be read; it is now", error=str(error)[:300])
                await self._records.upsert(Collection.META, [AnswerCutoffRecord(since=self._clock())])
                self._since = self._clock()
        return self._since
