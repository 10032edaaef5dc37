"""Uploads: originals into the image store, receipts into the record store, nothing decoded.

One request is accepted whole or not at all. What it leaves when it fails half way are content-addressed originals that
nobody refers to: sending it again finds them there.
"""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import BeforeValidator, TypeAdapter, ValidationError

from astrolens.contracts.base import Slug, utc_now
from astrolens.contracts.events import ImageSubmitted
from astrolens.contracts.ids import receipt_id
from astrolens.contracts.records import Observation, Outcome, PendingEvent, Reason, Receipt
from astrolens.contracts.topics import IMAGES_SUBMITTED
from astrolens.platform.bus.ports import EventReleaser
from astrolens.platform.disk import DiskSpace
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import ImageStore, original_key
from astrolens.platform.stores.records import RecordStore
from astrolens.platform.telemetry.tracing import NO_TRACING, UPLOAD, Arrivals, Tracing
from astrolens.usecases.errors import DiskNearlyFull, InvalidRequest, MalformedUpload, Overloaded, PipelineFull
from astrolens.usecases.status import StatusReader
from astrolens.usecases.submissions import (
    BATCH_PATTERN,
    AcceptedSubmission,
    ImageDescription,
    IntakeCapacity,
    UrlSubmission,
    UrlToFetch,
    lower_case,
    unique_refs,
)

SOURCE = "upload"
"""The source that receipts of uploads name."""

MAX_UPLOADS = 8
"""Uploads read at the same time: each may hold one largest file and `_STORE_AT_BYTES` in memory."""

_STORE_AT_BYTES = 4 * 2**20
"""Bytes collected before they go to the image store in one call: bulk for small files, bounded for large ones."""

_BATCH = re.compile(BATCH_PATTERN)
_FIELDS: Final = frozenset({"batch", "survey", "observations"})
"""The text fields of an upload."""

_DESCRIPTIONS = TypeAdapter(list[ImageDescription | None])
_SLUG = TypeAdapter(Annotated[Slug, BeforeValidator(lower_case)])


@dataclass
class UploadedFile:
    """One file of a request.

    Attributes:
        filename: As the client named it.
        data: Its bytes, or None where it is larger than allowed (they were read and dropped).
        size_bytes: All bytes that came.
        sha256: Digest of all bytes that came.
    """

    filename: str
    data: bytes | None
    size_bytes: int
    sha256: str


class Intake:
    """Takes uploads in, as long as the pipeline has capacity."""

    def __init__(
        self,
        *,
        records: RecordStore,
        images: ImageStore,
        releaser: EventReleaser,
        status: StatusReader,
        max_in_flight: int,
        max_image_bytes: int,
        disk: DiskSpace,
        tracing: Tracing = NO_TRACING,
        on_received: Callable[[Sequence[Receipt]], None] = lambda _: None,
    ) -> None:
        """Compose.

        Args:
            records: The record store.
            images: The image store.
            releaser: Publishes the events of new receipts.
            status: Knows how many images are in flight.
            max_in_flight: Most images in flight; an upload beyond is refused.
            max_image_bytes: Longest file, bytes; a longer one is rejected with its reason.
            disk: The disks of the local stores; an upload is refused while one of them is nearly full.
            tracing: Begins the traces of images.
            on_received: Called with the receipts of a request that are new, for counting.
        """
        self._records = records
        self._images = images
        self._releaser = releaser
        self._status = status
        self._max_in_flight = max_in_flight
        self._disk = disk
        self._tracing = tracing
        self._on_received = on_received
        self._uploads = 0
        self._arriving = 0
        self.max_image_bytes = max_image_bytes

    async def capacity(self) -> IntakeCapacity:
        """How much the pipeline takes now: cheap to ask, where an upload that is refused has cost its bytes."""
        in_flight = await self._status.in_flight() + self._arriving
        room = self._max_in_flight - in_flight
        shortage = await asyncio.to_thread(self._disk.shortage)
        return IntakeCapacity(
            in_flight=in_flight,
            max_in_flight=self._max_in_flight,
            room=room if shortage is None else min(room, 0),
            disk=shortage,
            max_image_bytes=self.max_image_bytes,
        )

    async def require_disk_space(self) -> None:
        """Refuse while a disk is nearly full; asked before a body is read.

        Raises:
            DiskNearlyFull: It is.
        """
        if (shortage := await asyncio.to_thread(self._disk.shortage)) is not None:
            raise DiskNearlyFull(shortage)

    @asynccontextmanager
    async def receive_files(self, *, traceparent: str | None = None) -> AsyncIterator["FileUpload"]:
        """Take the files of one request in, as they arrive.

        Args:
            traceparent: The caller's trace context, which the traces of its images continue.

        Raises:
            Overloaded: Too many uploads are being read, or the pipeline is full.
            DiskNearlyFull: There is no space to keep anything more.
        """
        with self._limited(), self._tracing.arriving(UPLOAD, traceparent=traceparent, source=SOURCE) as traces:
            await self._require_capacity()
            upload = FileUpload(self, self._images, traces)
            try:
                yield upload
            finally:
                self._arriving -= upload.arrived

    async def submit_urls(self, submission: UrlSubmission, *, traceparent: str | None = None) -> AcceptedSubmission:
        """Take addresses in; the ingestor fetches them.

        Args:
            submission: The addresses.
            traceparent: The caller's trace context, which the traces of its images continue.

        Raises:
            Overloaded: Too many uploads are being read, or the pipeline is full.
            DiskNearlyFull: There is no space to keep anything more.
            InvalidRequest: An address cannot be fetched by anybody.
        """
        with self._limited(), self._tracing.arriving(UPLOAD, traceparent=traceparent, source=SOURCE) as traces:
            await self._require_capacity()
            batch = submission.batch or _new_batch()
            urls = [each if isinstance(each, UrlToFetch) else UrlToFetch(url=each) for each in submission.urls]
            receipts = []
            for each, ref in zip(urls, unique_refs(each.ref or each.url for each in urls), strict=True):
                parts = urlsplit(each.url)
                if parts.scheme not in {"http", "https"} or not parts.hostname:
                    raise InvalidRequest(
                        "Not an address", f"{each.url[:200]!r} cannot be fetched: give an http or https address."
                    )
                name = parts.path.rsplit("/", 1)[-1] or parts.hostname
                observation = each.observation(survey=submission.survey, name=name, url=each.url)
                receipts.append(_receipt(batch, ref, observation, traces))
            return await self.record(batch, receipts)

    def count_arriving(self, files: int) -> None:
        """Count files that are here but not yet in the record store, so that uploads beside each other see them."""
        self._arriving += files

    async def record(self, batch: str, receipts: Sequence[Receipt]) -> AcceptedSubmission:
        """Write the receipts of one request and release the events of those that are new."""
        ids = await self._records.insert(Collection.RECEIPTS, receipts)
        new = [receipt for receipt in receipts if receipt.receipt_id in ids]
        self._on_received(new)
        await self._releaser.release(Collection.RECEIPTS, [(each.receipt_id, each.pending) for each in new])
        return AcceptedSubmission(
            batch=batch,
            receipts=[each.receipt_id for each in receipts],
            new=len(ids),
            rejected=sum(each.outcome is Outcome.REJECTED for each in receipts),
            progress_url=f"/api/receipts/{batch}/progress",
        )

    @contextmanager
    def _limited(self) -> Iterator[None]:
        if self._uploads >= MAX_UPLOADS:
            raise Overloaded("Busy", f"{self._uploads} uploads are being read already: send this one again shortly.")
        self._uploads += 1
        try:
            yield
        finally:
            self._uploads -= 1

    async def _require_capacity(self) -> None:
        capacity = await self.capacity()
        if capacity.disk is not None:
            raise DiskNearlyFull(capacity.disk)
        if capacity.room <= 0:
            raise PipelineFull(
                "Pipeline full",
                f"{capacity.in_flight} images are in flight and ASTROLENS_MAX_IN_FLIGHT is {self._max_in_flight}: "
                "nothing of this request was taken in; send it again shortly.",
            )


class FileUpload:
    """The files of one request; their receipts are written when all have arrived.

    Attributes:
        arrived: How many files have arrived.
        max_file_bytes: Longest file whose bytes are stored.
    """

    def __init__(self, intake: Intake, images: ImageStore, traces: Arrivals) -> None:
        self._intake = intake
        self._buffer = OriginalsBuffer(images)
        self._traces = traces
        self.arrived = 0
        self.max_file_bytes = intake.max_image_bytes

    async def add(self, files: Sequence[UploadedFile]) -> None:
        """Take files that have arrived whole."""
        self.arrived += len(files)
        self._intake.count_arriving(len(files))
        await self._buffer.add(files)

    async def finish(self, fields: dict[str, str]) -> AcceptedSubmission:
        """Write the receipts.

        Args:
            fields: The text fields of the request: `batch`, `survey`, and `observations`, a JSON array whose n-th entry
                describes the n-th file.

        Raises:
            MalformedUpload: There is no file, or a field cannot be used; nothing is recorded.
        """
        await self._buffer.store()
        batch, receipts = self._receipts(self._buffer.files, fields)
        return await self._intake.record(batch, receipts)

    def _receipts(self, files: Sequence[UploadedFile], fields: dict[str, str]) -> tuple[str, list[Receipt]]:
        if not files:
            raise MalformedUpload("it holds no file; give each a part with a filename")
        if unknown := sorted(set(fields) - _FIELDS):
            raise MalformedUpload(f"it has a field {unknown[0][:80]!r}, but takes {', '.join(sorted(_FIELDS))} only")
        try:
            given = _DESCRIPTIONS.validate_json(fields["observations"]) if fields.get("observations") else []
            survey = _SLUG.validate_python(fields["survey"]) if fields.get("survey") else None
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            raise MalformedUpload(f"{_place(fault['loc'], files)}: {fault['msg']}") from error
        if len(given) > len(files):
            raise MalformedUpload(f"it describes {len(given)} files, but holds {len(files)}")
        batch = fields.get("batch") or _new_batch()
        if not _BATCH.match(batch):
            raise MalformedUpload(f"batch: {batch[:80]!r} is no name; take up to 120 letters, digits and . _ : @ + -")
        descriptions = [each or ImageDescription() for each in given]
        descriptions += [ImageDescription()] * (len(files) - len(descriptions))
        refs = unique_refs(
            each.ref or file.filename or "unnamed" for each, file in zip(descriptions, files, strict=True)
        )
        receipts = []
        for file, each, ref in zip(files, descriptions, refs, strict=True):
            observation = each.observation(survey=survey, name=ref.rsplit("/", 1)[-1])
            receipt = _receipt(batch, ref, observation, self._traces, file=file)
            receipts.append(receipt if file.data is not None else self._rejected(receipt))
        return batch, receipts

    def _rejected(self, receipt: Receipt) -> Receipt:
        reason = Reason(
            code="too-large",
            detail=f"{receipt.size_bytes} bytes are more than ASTROLENS_MAX_IMAGE_BYTES ({self.max_file_bytes})",
        )
        settled = {"outcome": Outcome.REJECTED, "reason": reason, "settled_at": receipt.received_at, "pending": ()}
        return receipt.model_copy(update=settled)


class OriginalsBuffer:
    """Puts originals into the image store in bulk and keeps what receipts need of them."""

    def __init__(self, images: ImageStore) -> None:
        self._images = images
        self._waiting: list[tuple[str, bytes, str]] = []
        self._bytes = 0
        self.files: list[UploadedFile] = []

    async def add(self, files: Sequence[UploadedFile]) -> None:
        """Take finished files; their bytes are stored and released as soon as there are enough of them."""
        for file in files:
            if file.data is not None:
                self._waiting.append((original_key(file.sha256), file.data, "application/octet-stream"))
                self._bytes += len(file.data)
                # Only whether there are bytes matters from here on; holding them would make the request's size
                # the memory's size.
                file.data = b""
            self.files.append(file)
        if self._bytes >= _STORE_AT_BYTES:
            await self.store()

    async def store(self) -> None:
        """Put what is buffered into the image store."""
        if self._waiting:
            waiting, self._waiting, self._bytes = self._waiting, [], 0
            await self._images.put_many(waiting)


def _receipt(
    batch: str, ref: str, observation: Observation, traces: Arrivals, *, file: UploadedFile | None = None
) -> Receipt:
    identity = receipt_id(SOURCE, batch, ref)
    event: PendingEvent = ImageSubmitted.of(identity, service="console").pending(
        topic=IMAGES_SUBMITTED,
        key=identity,
        traceparent=traces.begin(identity, receipt_id=identity, survey=observation.survey, batch=batch),
    )
    return Receipt(
        receipt_id=identity,
        source=SOURCE,
        batch=batch,
        ref=ref,
        observation=observation,
        received_at=utc_now(),
        sha256=file.sha256 if file else None,
        size_bytes=file.size_bytes if file else None,
        pending=(event,),
    )


def _place(place: tuple[int | str, ...], files: Sequence[UploadedFile]) -> str:
    """Which file and field of a request are wrong, in words: its number among the files means little to a reader."""
    match place:
        case (int(number), *fields) if number < len(files):
            return ", ".join([f"file {number + 1} ({files[number].filename[:80]!r})", *map(str, fields)])
        case _:
            return ".".join(map(str, place)) or "observations or survey"


def _new_batch() -> str:
    return f"upload-{utc_now():%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
