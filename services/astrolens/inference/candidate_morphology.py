"""Measures the morphology of candidates after their analysis, a few at a time, off the way of every other image."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from time import monotonic
from typing import Any, Final, Protocol

import structlog

from astrolens.contracts.base import utc_now
from astrolens.contracts.ids import content_digest
from astrolens.contracts.morphology import Morphology, not_measured
from astrolens.inference.candidate_search import CandidateSearch
from astrolens.inference.morphology_process import MeasurementStalled
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import ImageStore
from astrolens.platform.stores.records import Change, Clause, Document, RecordStore

_BATCH: Final = 16
"""Most images of a pass: some 25 s of processor time."""
_PASS_S: Final = 10.0
"""A pass that has lasted so long begins no further image: on a busy machine a batch takes minutes, in which the
service would go on to report an outage that is over."""
_MAX_STALLS: Final = 3
"""Passes that give a picture a process which then does not run, before it is recorded as failed."""

_NOT_MEASURED: Final = Clause("morphology.quality", "exists", value=False)

logger = structlog.get_logger(__name__)


class MorphologyMeasurement(Protocol):
    """What measures one cutout, and may take long."""

    async def measure(self, jpeg: bytes) -> Morphology:
        """The morphology, `failed` where there is none.

        Raises:
            MeasurementStalled: It was not done in time; the picture may be at fault.
            TransientError: Nothing can be measured now.
        """

    async def close_if_idle(self) -> None:
        """Give back what it holds where it was not needed for some time."""


class CandidateMorphology:
    """Finds analysed candidates without morphology, the newest first, measures them and records the result.

    Each is measured once, whatever comes out: a failure is recorded with its reason. The record is written only where
    there is none yet, so that of two analyzers only one writes.

    Args:
        records: The record store.
        images: The image store.
        measurement: Measures one cutout.
        clock: Gives the present time, UTC.
    """

    def __init__(
        self,
        *,
        records: RecordStore,
        images: ImageStore,
        measurement: MorphologyMeasurement,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._records = records
        self._search = CandidateSearch(
            records, lacking=_NOT_MEASURED, fields=("cutout.key", "cutout.sha256"), clock=clock
        )
        self._images = images
        self._measurement = measurement
        self._clock = clock
        self._stalls: Counter[str] = Counter()

    async def run_pass(self) -> int:
        """Measure at most one batch, and one image at the least; return how many were recorded.

        Raises:
            TransientError: A store does not answer, or nothing measures; the next pass goes on.
        """
        waiting = await self._search.newest(_BATCH)
        if not waiting:
            await self._measurement.close_if_idle()
            return 0
        cutouts = await self._images.get_many([document["cutout"]["key"] for document in waiting])
        recorded, began = 0, monotonic()
        for number, document in enumerate(waiting):
            if number and monotonic() - began > _PASS_S:
                break
            measured = await self._measure(document, cutouts.get(document["cutout"]["key"]))
            recorded += await self._record(document["image_id"], measured)
        logger.info("morphology of candidates measured", images=recorded)
        return recorded

    async def _measure(self, document: Document, jpeg: bytes | None) -> Morphology:
        cutout = document["cutout"]
        if jpeg is None:
            return not_measured(f"the image store has no cutout under {cutout['key']!r}")
        if content_digest(jpeg) != cutout["sha256"]:
            return not_measured(f"the cutout under {cutout['key']!r} is not the one that was ingested")
        image: str = document["image_id"]
        try:
            measured = await self._measurement.measure(jpeg)
        except MeasurementStalled as error:
            self._stalls[image] += 1
            if self._stalls[image] < _MAX_STALLS:
                raise
            measured = not_measured(f"{_MAX_STALLS} attempts failed, the last: {error}")
        del self._stalls[image]
        return measured

    async def _record(self, image: str, measured: Morphology) -> int:
        value: dict[str, Any] = measured.model_copy(update={"measured_at": self._clock()}).model_dump(mode="json")
        change = Change(id=image, set={"morphology": value}, when=(_NOT_MEASURED,))
        return len(await self._records.apply(Collection.IMAGES, [change]))
