"""Reanalysis: an image goes to the model again, whatever became of it before."""

from collections.abc import Sequence
from datetime import datetime

from astrolens.contracts.base import utc_now, utc_text
from astrolens.contracts.events import ImageIngested
from astrolens.contracts.records import ImageState, PendingEvent
from astrolens.contracts.topics import IMAGES_INGESTED
from astrolens.platform.bus.ports import EventReleaser
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change, Clause, Document, RecordStore
from astrolens.platform.telemetry.tracing import ANALYZE_AGAIN, NO_TRACING, Tracing
from astrolens.usecases.errors import NotFound
from astrolens.usecases.originals import OriginalsProtection
from astrolens.usecases.views import View


class ReanalysisView(View):
    """An image on its way to the model again."""

    image_id: str
    state: ImageState
    progress_url: str


class Reanalysis:
    """Puts images back in flight, guarded so that doing it twice is doing it once.

    Args:
        records: The record store.
        releaser: Publishes the events.
        originals: Keeps originals whose verdict is open again.
        tracing: Begins the traces of requests.
        service: Producer of the events.
    """

    def __init__(
        self,
        *,
        records: RecordStore,
        releaser: EventReleaser,
        originals: OriginalsProtection,
        tracing: Tracing = NO_TRACING,
        service: str = "console",
    ) -> None:
        self._records = records
        self._releaser = releaser
        self._originals = originals
        self._tracing = tracing
        self._service = service

    async def analyze_again(self, image: str, *, traceparent: str | None = None) -> ReanalysisView:
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
            unless_waiting = Clause("state", "ne", ImageState.INGESTED.value)
            begun = traces.begin(image, image_id=image)
            await self._request([document], unless_waiting, release=True, traceparent=begun)
        return ReanalysisView(image_id=image, state=ImageState.INGESTED, progress_url=f"/api/images/{image}")

    async def analyze_all_again(self, documents: Sequence[Document], *, release: bool = False) -> set[str]:
        """Ask for another analysis of images that are analysed; return the ids of those that are on their way now.

        Args:
            documents: The images.
            release: Whether anomalies of a burst that are held among them may raise their alerts.

        Raises:
            StoreUnavailable: A store is unreachable; those that were requested stay so.
        """
        return await self._request(documents, Clause("state", "eq", ImageState.ANALYZED.value), release=release)

    async def _request(
        self, documents: Sequence[Document], guard: Clause, *, release: bool, traceparent: str | None = None
    ) -> set[str]:
        now = utc_now()
        events = {document["image_id"]: self._event(document, now, traceparent) for document in documents}
        values = {"state": ImageState.INGESTED.value, "offered_at": utc_text(now), "reason": None}
        held = {each["image_id"] for each in documents if release and (each.get("analysis") or {}).get("burst_survey")}
        released = {"analysis.burst_survey": None}
        changes = [
            Change(
                id=image,
                set=values | (released if image in held else {}),
                push={"pending": [event.model_dump(mode="json")]},
                when=(guard,),
            )
            for image, event in events.items()
        ]
        # Their verdicts are open again: they may become candidates, whose originals stay.
        async with self._originals.protect_from_expiry(documents):
            written = await self._records.apply(Collection.IMAGES, changes)
            pending = [(image, (event,)) for image, event in events.items() if image in written]
            await self._releaser.release(Collection.IMAGES, pending)
        return written

    def _event(self, document: Document, now: datetime, traceparent: str | None) -> PendingEvent:
        return ImageIngested.of(
            document["image_id"],
            survey=document["observation"]["survey"],
            cutout_key=document["cutout"]["key"],
            cutout_sha256=document["cutout"]["sha256"],
            service=self._service,
            at=now,
            again=True,
        ).pending(topic=IMAGES_INGESTED, key=document["image_id"], traceparent=traceparent)
