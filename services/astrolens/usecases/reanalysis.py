"""Reanalysis: an image goes to the model again, whatever became of it before."""

from astrolens.contracts.base import utc_now, utc_text
from astrolens.contracts.events import ImageIngested
from astrolens.contracts.records import ImageState
from astrolens.contracts.topics import IMAGES_INGESTED
from astrolens.platform.bus.ports import EventReleaser
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change, Clause, RecordStore
from astrolens.platform.telemetry.tracing import ANALYZE_AGAIN, NO_TRACING, Tracing
from astrolens.usecases.errors import NotFound
from astrolens.usecases.originals import OriginalsProtection
from astrolens.usecases.views import View


class AnalyzeAgain(View):
    """An image on its way to the model again."""

    image_id: str
    state: ImageState
    progress_url: str


class Reanalysis:
    """Puts images back in flight, guarded so that doing it twice is doing it once."""

    def __init__(
        self,
        *,
        records: RecordStore,
        releaser: EventReleaser,
        originals: OriginalsProtection,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        self._records = records
        self._releaser = releaser
        self._originals = originals
        self._tracing = tracing

    async def analyze_again(self, image: str, *, traceparent: str | None = None) -> AnalyzeAgain:
        """Ask for another analysis; the image counts as in flight until its verdict is there.

        Args:
            image: Its id.
            traceparent: The caller's trace context, where it gave one.

        Raises:
            NotFound: There is no such image.
        """
        document = (await self._records.get(Collection.IMAGES, [image])).get(image)
        if document is None:
            raise NotFound("image", image)
        with self._tracing.arriving(ANALYZE_AGAIN, traceparent=traceparent) as traces:
            now = utc_now()
            event = ImageIngested.of(
                image,
                survey=document["observation"]["survey"],
                cutout_key=document["cutout"]["key"],
                cutout_sha256=document["cutout"]["sha256"],
                service="console",
                at=now,
                again=True,
            ).pending(topic=IMAGES_INGESTED, key=image, traceparent=traces.begin(image, image_id=image))
            change = Change(
                id=image,
                set={"state": ImageState.INGESTED.value, "offered_at": utc_text(now), "reason": None},
                push={"pending": [event.model_dump(mode="json")]},
                when=(Clause("state", "ne", ImageState.INGESTED.value),),
            )
            # Its verdict is open again: it may become a candidate, whose original stays.
            async with self._originals.protect_from_expiry([document]):
                if image in await self._records.apply(Collection.IMAGES, [change]):
                    await self._releaser.release(Collection.IMAGES, [(image, (event,))])
        return AnalyzeAgain(image_id=image, state=ImageState.INGESTED, progress_url=f"/api/images/{image}")
