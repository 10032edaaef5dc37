"""From arrivals to image records: every arrival is settled, once, whatever fails in between.

The order of the writes makes each of them repeatable: originals, receipts, cutouts, image records, links between
near-duplicates, what duplicates know more, settled receipts, published events. After a crash an unsettled receipt is
simply processed again; it finds what was written before and continues. An image belongs to the receipt that its record
names, so that a repeated arrival is accepted again and only another arrival of the same bytes is a duplicate. Nothing
depends on this process alone: several ingestors may process the same arrival at once.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from time import monotonic
from typing import Final

import structlog

from astrolens.contracts.base import utc_now
from astrolens.contracts.records import ImageRecord, Outcome, Reason, Receipt
from astrolens.ingestor.arrivals import UNSETTLED, Arrival, Settlement, image_record
from astrolens.ingestor.downloader import MAX_CONCURRENT_DOWNLOADS, Downloader
from astrolens.ingestor.enrichment import Enricher
from astrolens.ingestor.near_duplicates import NearDuplicateLinker
from astrolens.ingestor.observer import NullObserver, Observer
from astrolens.ingestor.ports import Decoder, DecoderStalled
from astrolens.ingestor.receipts import ReceiptReader
from astrolens.platform.bus.ports import EventReleaser
from astrolens.platform.errors import PermanentError, TransientError
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.hash_index import parse_hash
from astrolens.platform.stores.images import ImageStore, cutout_key, original_key
from astrolens.platform.stores.records import Change, Clause, Document, RecordStore
from astrolens.platform.telemetry.tracing import DECODE, annotate_span, child_span
from astrolens.science.cutouts import Cutout
from astrolens.science.rejection import ImageRejected

_log = structlog.get_logger(__name__)

_MAX_BATCH_BYTES: Final = 64 * 2**20
"""Originals in memory at once. One larger than this goes alone."""

Settled = dict[Outcome, int]
"""How many receipts were settled, by outcome."""


class IngestService:
    """Processes arrivals in batches. All of its writes are bulk writes; the decoding is concurrent."""

    def __init__(
        self,
        *,
        records: RecordStore,
        images: ImageStore,
        decoder: Decoder,
        outbox: EventReleaser,
        downloader: Downloader,
        near_duplicates: NearDuplicateLinker,
        observer: Observer | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._records = records
        self._images = images
        self._decoder = decoder
        self._outbox = outbox
        self._downloader = downloader
        self._near_duplicates = near_duplicates
        self._observer = observer or NullObserver()
        self._clock = clock
        self._enricher = Enricher(records=records, outbox=outbox, clock=clock)
        self._receipts = ReceiptReader(records, observer=self._observer, clock=clock)
        self._in_progress: set[str] = set()

    async def admit(self, arrivals: Sequence[Arrival]) -> Settled:
        """Take in what a source yields: store its bytes, write its receipts, process it.

        Receipts that exist already are processed only while they are unsettled, so a source may yield an image twice.
        """
        originals = [
            (original_key(arrival.receipt.sha256), arrival.data, "application/octet-stream")
            for arrival in arrivals
            if arrival.receipt.sha256 is not None and arrival.data is not None
        ]
        await self._images.put_many(originals)
        new = await self._records.insert(Collection.RECEIPTS, [arrival.receipt for arrival in arrivals])
        self._observer.received([arrival.receipt for arrival in arrivals if arrival.receipt.receipt_id in new])
        known = [arrival for arrival in arrivals if arrival.receipt.receipt_id not in new]
        stored = await self._records.get(Collection.RECEIPTS, [arrival.receipt.receipt_id for arrival in known])
        again = {receipt.receipt_id for receipt in await self.unsettled(stored)}
        return await self.process(
            [arrival for arrival in arrivals if arrival.receipt.receipt_id in new | again],
        )

    async def unsettled(self, documents: Mapping[str, Document]) -> list[Receipt]:
        """The receipts among these documents, by id, that are not settled; what cannot be read is dead-lettered."""
        return await self._receipts.unsettled(documents)

    async def process(self, arrivals: Sequence[Arrival]) -> Settled:
        """Settle arrivals that are not settled yet.

        What another caller of this process has in progress is left to it.

        Raises:
            TransientError: A store, the broker or the sandbox is unreachable; doing it again completes it.
        """
        mine: dict[str, Arrival] = {}
        for arrival in sorted(arrivals, key=lambda one: (one.receipt.received_at, one.receipt.receipt_id)):
            if arrival.receipt.outcome is Outcome.RECEIVED and arrival.receipt.receipt_id not in self._in_progress:
                mine.setdefault(arrival.receipt.receipt_id, arrival)
        if not mine:
            return {}
        self._in_progress |= mine.keys()
        try:
            return await self._process(list(mine.values()))
        finally:
            self._in_progress -= mine.keys()

    async def _process(self, arrivals: list[Arrival]) -> Settled:
        settled: Counter[Outcome] = Counter()
        stored = [arrival for arrival in arrivals if arrival.receipt.sha256 is not None]
        for batch in _bounded(stored):
            settled += Counter(await self._settle(batch))
        # Slow servers come last: they must not delay what is stored already.
        remote = [arrival for arrival in arrivals if arrival.receipt.sha256 is None]
        end = monotonic() + self._downloader.deadline_s
        for start in range(0, len(remote), MAX_CONCURRENT_DOWNLOADS):
            if (within_s := end - monotonic()) <= 0:
                _log.warning("downloads wait for the next sweep", late=len(remote) - start)
                break
            fetched, refused = await self._fetch(remote[start : start + MAX_CONCURRENT_DOWNLOADS], within_s)
            settled += Counter(await self._settle(fetched, refused))
        return dict(settled)

    async def _fetch(self, arrivals: Sequence[Arrival], within_s: float) -> tuple[list[Arrival], list[Settlement]]:
        fetched, refused = await self._downloader.fetch(arrivals, within_s=within_s)
        await self._images.put_many(
            [(original_key(one.receipt.sha256 or ""), one.data or b"", "application/octet-stream") for one in fetched]
        )
        self._observer.fetched(fetched, self._clock())
        # The digest is written before anything depends on it, and only once: a server that answers differently the
        # second time, or another ingestor, must not make two images of one receipt.
        digests = [
            Change(
                id=one.receipt.receipt_id,
                set={"sha256": one.receipt.sha256, "size_bytes": one.receipt.size_bytes},
                when=(*UNSETTLED, Clause("sha256", "eq", None)),
            )
            for one in fetched
        ]
        first = await self._records.apply(Collection.RECEIPTS, digests)
        late = [one.receipt.receipt_id for one in fetched if one.receipt.receipt_id not in first]
        others = await self.unsettled(await self._records.get(Collection.RECEIPTS, late)) if late else []
        return [
            *(one for one in fetched if one.receipt.receipt_id in first),
            *(Arrival(receipt) for receipt in others if receipt.sha256 is not None),
        ], refused

    async def _settle(self, arrivals: Sequence[Arrival], refused: Sequence[Settlement] = ()) -> Settled:
        groups: dict[str, list[Arrival]] = {}
        for arrival in arrivals:
            groups.setdefault(arrival.image_id, []).append(arrival)
        known = await self._records.get(Collection.IMAGES, list(groups))
        owners = {image: str(document.get("receipt_id")) for image, document in known.items()}
        new = {image: group[0] for image, group in groups.items() if image not in owners}
        cutouts, failures, stalled = await self._decode(await self._with_data(new), new)
        inserted = await self._insert({image: (new[image], cutout) for image, cutout in cutouts.items()}, owners)
        await self._link(groups, known, inserted)

        settlements = [
            *refused,
            *(
                _settlement(arrival, image, owners.get(image), failures.get(image))
                for image, group in groups.items()
                if image not in stalled
                for arrival in group
            ),
        ]
        # Before the receipts are settled: after a crash they are processed again, and nothing known is lost.
        await self._enricher.enrich(
            [
                (one.image_id, one.arrival.receipt)
                for one in settlements
                if one.outcome is Outcome.DUPLICATE and one.image_id is not None
            ]
        )
        now = self._clock()
        changed = await self._records.apply(Collection.RECEIPTS, [one.change(now) for one in settlements])
        await self._outbox.release(Collection.IMAGES, [(record.image_id, record.pending) for record in inserted])
        done = [one for one in settlements if one.arrival.receipt.receipt_id in changed]
        for one in done:
            receipt = one.arrival.receipt
            annotate_span(
                receipt.receipt_id,
                image_id=one.image_id,
                survey=receipt.observation.survey,
                outcome=one.outcome.value,
                reason=None if one.reason is None else one.reason.code,
            )
        self._observer.settled(done, now)
        return dict(Counter(one.outcome for one in done))

    async def _with_data(self, new: dict[str, Arrival]) -> dict[str, bytes | None]:
        absent = {
            original_key(arrival.receipt.sha256 or ""): image for image, arrival in new.items() if arrival.data is None
        }
        stored = await self._images.get_many(list(absent)) if absent else {}
        data = {image: arrival.data for image, arrival in new.items()}
        return data | {absent[key]: content for key, content in stored.items()}

    async def _decode(
        self, originals: dict[str, bytes | None], arrivals: Mapping[str, Arrival]
    ) -> tuple[dict[str, Cutout], dict[str, "_Failure"], set[str]]:
        """Cutouts, failures, and the images whose decoders stalled: those stay unsettled until the next sweep."""

        async def decoded(image: str, data: bytes) -> Cutout:
            with child_span(arrivals[image].receipt.receipt_id, DECODE):
                return await self._decoder.decode(data)

        failures: dict[str, _Failure] = {
            image: (Outcome.DEAD_LETTERED, Reason(code="original-missing", detail="Its bytes are not in the store."))
            for image, data in originals.items()
            if data is None
        }
        wanted = {image: data for image, data in originals.items() if data is not None}
        results = await asyncio.gather(
            *(decoded(image, data) for image, data in wanted.items()), return_exceptions=True
        )
        cutouts: dict[str, Cutout] = {}
        stalled: set[str] = set()
        for image, result in zip(wanted, results, strict=True):
            if isinstance(result, DecoderStalled):
                _log.warning("an image waits for the next sweep", image_id=image, error=str(result))
                stalled.add(image)
            elif isinstance(result, BaseException):
                failures[image] = _failure(image, result)
            else:
                cutouts[image] = result
        return cutouts, failures, stalled

    async def _insert(self, new: dict[str, tuple[Arrival, Cutout]], owners: dict[str, str]) -> list[ImageRecord]:
        """Store the cutouts, insert the image records, and complete `owners`; return the records that are new."""
        if not new:
            return []
        await self._images.put_many(
            [(cutout_key(image), cutout.jpeg, "image/jpeg") for image, (_, cutout) in new.items()]
        )
        now = self._clock()
        records = [image_record(arrival, cutout, now) for arrival, cutout in new.values()]
        inserted = await self._records.insert(Collection.IMAGES, records)
        owners |= {record.image_id: record.receipt_id for record in records if record.image_id in inserted}
        # Another caller, or another ingestor, may have inserted the same image meanwhile.
        others = [record.image_id for record in records if record.image_id not in inserted]
        if others:
            documents = await self._records.get(Collection.IMAGES, others)
            owners |= {image: str(document.get("receipt_id")) for image, document in documents.items()}
        return [record for record in records if record.image_id in inserted]

    async def _link(
        self, groups: Mapping[str, list[Arrival]], known: Mapping[str, Document], inserted: Sequence[ImageRecord]
    ) -> None:
        """Link the images just inserted, and those whose receipt was not settled after they were inserted."""
        hashes = {record.image_id: record.phash for record in inserted}
        for image, document in known.items():
            is_own = any(arrival.receipt.receipt_id == document.get("receipt_id") for arrival in groups[image])
            if is_own and parse_hash(document.get("phash")) is not None:
                hashes[image] = str(document["phash"])
        await self._near_duplicates.link([(image, hashes[image]) for image in groups if image in hashes])


_Failure = tuple[Outcome, Reason]


def _bounded(arrivals: Sequence[Arrival]) -> Iterator[list[Arrival]]:
    """The arrivals in order, in batches whose originals fit into memory together."""
    batch: list[Arrival] = []
    size = 0
    for arrival in arrivals:
        if batch and size + arrival.size_bytes > _MAX_BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(arrival)
        size += arrival.size_bytes
    if batch:
        yield batch


def _failure(image: str, error: BaseException) -> _Failure:
    """What a failed decoding means for the arrival.

    Raises:
        TransientError: As it came: the whole batch is tried again.
    """
    if isinstance(error, ImageRejected):
        return Outcome.REJECTED, Reason(code=error.code, detail=error.detail)
    if isinstance(error, PermanentError):
        return Outcome.DEAD_LETTERED, error.reason
    if isinstance(error, TransientError) or not isinstance(error, Exception):
        raise error
    # A fault of ours in one image must not fail its neighbours: it is dead-lettered with its reason, for people.
    _log.error("image could not be decoded", image_id=image, exc_info=error)
    return Outcome.DEAD_LETTERED, Reason(code="decoder-failed", detail=f"{type(error).__name__}: {error}"[:500])


def _settlement(arrival: Arrival, image: str, owner: str | None, failure: _Failure | None) -> Settlement:
    if failure is not None:
        outcome, reason = failure
        return Settlement(arrival, outcome, reason=reason)
    if owner is None:
        raise TransientError(f"image {image} was inserted by another and cannot be read yet")
    outcome = Outcome.ACCEPTED if owner == arrival.receipt.receipt_id else Outcome.DUPLICATE
    return Settlement(arrival, outcome, image_id=image)
