"""The simulated sky as a source: endless, without network, repeatable from its seed.

What an image really shows goes to a collection of its own, which no service of the pipeline reads. The index of the
next image is the source's cursor, and an index that is yielded twice is the same arrival: after a restart there is
neither a gap nor a repeat.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from astrolens.contracts import ids
from astrolens.contracts.records import Observation, Position
from astrolens.ingestor.sources.base import SourceCursor, SourceImage, SourceReport
from astrolens.ingestor.sources.throttling import TokenBucket
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import RecordStore

if TYPE_CHECKING:
    from astrolens.science.simulation import SimulatedImage

_FIRST_EXPOSURE: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""A fixed date, so that an image of a sky is the same image whenever it is made."""

_CREDIT: Final = "AstroLens simulated sky"
_RENDER_BATCH: Final = 8
"""Images rendered in one go where the rate is high: one thread hop and one write of truths for all of them."""


class SimulatedSource:
    """Yields images of one simulated sky."""

    name = "simulated"

    def __init__(
        self,
        *,
        render: Callable[[int], "SimulatedImage"],
        seed: int,
        rate_per_min: float,
        records: RecordStore,
        bucket: TokenBucket | None = None,
    ) -> None:
        """Make the source.

        Args:
            render: Makes the image of an index; it runs in a thread of its own.
            seed: Names the sky.
            rate_per_min: Images a minute.
            records: Where the truths are stored.
            bucket: Limits the rate, for tests.
        """
        self.report = SourceReport()
        self._render = render
        self._seed = seed
        self._records = records
        self._batch_size = max(1, min(_RENDER_BATCH, int(rate_per_min / 60.0)))
        self._bucket = bucket or TokenBucket(rate_per_min, burst=self._batch_size)

    @property
    def batch(self) -> str:
        """One batch a sky."""
        return f"seed-{self._seed}"

    def check(self) -> None:
        """Nothing can be wrong: the settings bound everything."""

    async def images(self, cursor: SourceCursor | None) -> AsyncGenerator[SourceImage, None]:
        """Images from an index on, for ever."""
        index = int((cursor or {}).get("next_index", 0))
        self.report.set("running")
        while True:
            images = await asyncio.to_thread(self._render_all, range(index, index + self._batch_size))
            await self._records.insert(Collection.TRUTHS, [self._truth(number, image) for number, image in images])
            for number, image in images:
                await self._bucket.acquire()
                yield self._source_image(number, image)
            index += len(images)

    def _render_all(self, indexes: Sequence[int]) -> "list[tuple[int, SimulatedImage]]":
        return [(index, self._render(index)) for index in indexes]

    def _ref(self, index: int) -> str:
        return f"{self._seed}-{index:07d}"

    def _source_image(self, index: int, image: "SimulatedImage") -> SourceImage:
        observation = Observation(
            survey=image.survey,
            name=image.name,
            position=Position(ra_deg=image.ra_deg, dec_deg=image.dec_deg),
            pixel_scale_arcsec=image.pixel_scale_arcsec,
            observed_at=_FIRST_EXPOSURE + timedelta(seconds=image.observed_offset_s),
            bands=tuple(image.bands),
            credit=_CREDIT,
            simulated=True,
        )
        return SourceImage(self._ref(index), observation, data=image.jpeg, cursor={"next_index": index + 1})

    def _truth(self, index: int, image: "SimulatedImage") -> dict[str, Any]:
        return {
            "ref": self._ref(index),
            "image_id": ids.image_id(ids.content_digest(image.jpeg)),
            "seed": self._seed,
            "index": index,
            "survey": image.survey,
            "morphology": image.truth.morphology,
            "oddity": image.truth.oddity,
            "parameters": dict(image.truth.parameters),
        }
