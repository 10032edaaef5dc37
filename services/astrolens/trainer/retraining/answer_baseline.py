"""How many answers an archive held when a trainer first started on it: only later ones make a run due by themselves.

An archive of an earlier version may hold thousands of answers. The upgrade alone must not begin a run of hours, which
nobody asked for; a person can (`astrolens train start`), and such a run learns from all of them.
"""

from datetime import datetime
from typing import Final

from astrolens.contracts.base import Contract, UtcTime
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import RecordStore

NAME: Final = "trainer.first-look"
"""Archives hold the document under this name."""


class AnswerBaseline(Contract):
    """A document of `META`, written once for an archive.

    Attributes:
        answers: Answered images at that time.
        looked_at: When they were counted.
    """

    name: str = NAME
    answers: int
    looked_at: UtcTime


async def answer_baseline(records: RecordStore, *, answers: int, now: datetime) -> AnswerBaseline:
    """The baseline of this archive; where it has none, one of `answers` is written.

    Raises:
        StoreUnavailable: The record store is unreachable.
    """
    stored = (await records.get(Collection.META, [NAME])).get(NAME)
    if stored is not None:
        return AnswerBaseline.model_validate(stored)
    baseline = AnswerBaseline(answers=answers, looked_at=now)
    await records.insert(Collection.META, [baseline])
    return baseline
