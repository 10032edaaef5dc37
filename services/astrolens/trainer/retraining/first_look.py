"""What a trainer found when it first looked at an archive: only what was answered since makes a run due by itself.

An archive of an earlier version may hold thousands of answers. The upgrade alone must not begin a run of hours, which
nobody asked for; a person can (`astrolens train start`), and such a run learns from all of them.
"""

from datetime import datetime
from typing import Final

from astrolens.contracts.base import Contract, UtcTime
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import RecordStore

NAME: Final = "trainer.first-look"


class FirstLook(Contract):
    """A document of `META`, written once for an archive.

    Attributes:
        answers: Answered images that there were.
        looked_at: When that was.
    """

    name: str = NAME
    answers: int
    looked_at: UtcTime


async def first_look(records: RecordStore, *, answers: int, now: datetime) -> FirstLook:
    """The first look at this archive, which is this one where there was none.

    Raises:
        StoreUnavailable: The record store is unreachable.
    """
    stored = (await records.get(Collection.META, [NAME])).get(NAME)
    if stored is not None:
        return FirstLook.model_validate(stored)
    found = FirstLook(answers=answers, looked_at=now)
    await records.insert(Collection.META, [found])
    return found
