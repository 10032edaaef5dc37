"""Arrivals through the front door: originals into the image store, receipts into the books, nothing decoded.

One request is accepted whole or not at all. What it leaves when it fails half way are content-addressed originals that
nobody refers to: sending it again finds them there.
"""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter, ValidationError

from astrolens.console.multipart import MalformedBody, UploadedFile, read_multipart
from astrolens.console.ports import EventOutlet
from astrolens.console.problems import Problem, too_many
from astrolens.contracts.base import DecDeg, RaDeg, Slug, UtcTime, utc_now
from astrolens.contracts.events import ImageSubmitted
from astrolens.contracts.ids import receipt_id
from astrolens.contracts.records import Observation, Outcome, PendingEvent, Position, Reason, Receipt
from astrolens.contracts.topics import IMAGES_SUBMITTED
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import ImageStore, original_key
from astrolens.platform.stores.records import RecordStore
from astrolens.platform.telemetry.tracing import NO_TRACING, UPLOAD, Arrivals, Tracing
from astrolens.usecases.status import StatusReader
from astrolens.usecases.views import View

SOURCE = "upload"
"""What receipts of this door name as their source."""

MAX_URLS = 256
"""Most addresses in one request, as many as files."""

MAX_UPLOADS = 8
"""Uploads read at the same time: each may hold one largest file and `_STORE_AT_BYTES` in memory."""

_STORE_AT_BYTES = 4 * 2**20
"""Bytes collected before they go to the image store in one call: bulk for small files, bounded for large ones."""


BATCH_PATTERN = r"^[A-Za-z0-9._:@+-]{1,120}$"
"""A batch is part of addresses."""

_BATCH = re.compile(BATCH_PATTERN)


def _lower(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


class Described(BaseModel):
    """What is known of one image beside its pixels; every field may be left out."""

    ref: str | None = Field(default=None, max_length=1000, description="Name within the batch; default the file name.")
    survey: Annotated[Slug, BeforeValidator(_lower)] | None = Field(default=None, examples=["sdss"])
    name: str | None = Field(default=None, max_length=200, examples=["NGC 1068"])
    ra_deg: RaDeg | None = None
    dec_deg: DecDeg | None = None
    pixel_scale_arcsec: float | None = Field(default=None, gt=0, description="Arcseconds a pixel of the original.")
    observed_at: UtcTime | None = None
    bands: tuple[str, ...] = ()
    credit: str | None = Field(default=None, max_length=500)
    url: str | None = Field(default=None, max_length=2000, description="Where the original can be seen again.")
    simulated: bool = False
    extra: dict[str, str] = Field(default_factory=dict, description="Anything else known.")

    def observation(self, *, survey: str | None, name: str | None, url: str | None = None) -> Observation:
        """The observation, with the request's own values where the description has none."""
        position = None
        if self.ra_deg is not None and self.dec_deg is not None:
            position = Position.model_validate({"ra_deg": self.ra_deg, "dec_deg": self.dec_deg})
        return Observation(
            survey=self.survey or survey or "unknown",
            name=self.name or (name[-200:] if name else None),
            position=position,
            pixel_scale_arcsec=self.pixel_scale_arcsec,
            observed_at=self.observed_at,
            bands=self.bands,
            credit=self.credit,
            url=url or self.url,
            simulated=self.simulated,
            extra=self.extra,
        )


class UrlToFetch(Described):
    """An image that the ingestor shall fetch."""

    url: str = Field(max_length=2000, description="http or https; the host must be on the allow-list.")


class UrlSubmission(BaseModel):
    """Images by address."""

    urls: list[str | UrlToFetch] = Field(
        min_length=1,
        max_length=MAX_URLS,
        examples=[
            ["https://skyserver.sdss.org/dr17/SkyServerWS/ImgCutout/getjpeg?ra=40.67&dec=-0.01&width=128&height=128"]
        ],
    )
    batch: str | None = Field(
        default=None, pattern=BATCH_PATTERN, description="The same batch and address arrive once."
    )
    survey: Annotated[Slug, BeforeValidator(_lower)] | None = None


class Room(View):
    """How many more images the pipeline takes now."""

    in_flight: int
    max_in_flight: int
    room: int = Field(description="0 or less: an upload is answered with 429.")


class Accepted(View):
    """What a submission became: receipts in the order of the request."""

    batch: str
    receipts: list[str] = Field(description="Receipt ids, one a file or address, in their order.")
    new: int = Field(description="How many had not arrived before under this batch and ref.")
    rejected: int = Field(description="How many were refused at the door, such as a file that is too large.")
    progress_url: str


_DESCRIPTIONS = TypeAdapter(list[Described | None])
_SLUG = TypeAdapter(Annotated[Slug, BeforeValidator(_lower)])


class Intake:
    """Takes uploads in, as long as the pipeline has room."""

    def __init__(
        self,
        *,
        records: RecordStore,
        images: ImageStore,
        outlet: EventOutlet,
        status: StatusReader,
        max_in_flight: int,
        max_image_bytes: int,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        self._records = records
        self._images = images
        self._outlet = outlet
        self._status = status
        self._max_in_flight = max_in_flight
        self._max_image_bytes = max_image_bytes
        self._tracing = tracing
        self.on_booked: Callable[[Sequence[Receipt]], None] | None = None
        """Told of the receipts that are new in the books."""
        self._uploads = 0
        self._arriving = 0

    async def room(self) -> Room:
        """How much the pipeline takes now: cheap to ask, where an upload that is refused has cost its bytes."""
        in_flight = await self._status.in_flight() + self._arriving
        return Room(in_flight=in_flight, max_in_flight=self._max_in_flight, room=self._max_in_flight - in_flight)

    async def upload(
        self, content_type: str, chunks: AsyncIterator[bytes], *, traceparent: str | None = None
    ) -> Accepted:
        """Take a multipart body in.

        Args:
            content_type: The request's header.
            chunks: The body as it streams in.
            traceparent: The caller's trace context, which the traces of its images continue.

        Raises:
            Problem: 429 where the pipeline is full, 422 where the body cannot be used.
        """
        with self._admitted(), self._tracing.arriving(UPLOAD, traceparent=traceparent, source=SOURCE) as traces:
            await self._require_room()
            shelf = OriginalsBuffer(self._images)
            arrived = 0

            async def take(files: list[UploadedFile]) -> None:
                nonlocal arrived
                arrived += len(files)
                self._arriving += len(files)
                await shelf.add(files)

            try:
                fields = await read_multipart(content_type, chunks, max_file_bytes=self._max_image_bytes, take=take)
                await shelf.store()
                batch, receipts = self._of_files(shelf.files, fields, traces)
                return await self._book(batch, receipts)
            except MalformedBody as error:
                raise Problem(422, "Unreadable upload", f"The body cannot be used: {error}.") from error
            finally:
                self._arriving -= arrived

    async def submit(self, submission: UrlSubmission, *, traceparent: str | None = None) -> Accepted:
        """Take addresses in; the ingestor fetches them.

        Args:
            submission: The addresses.
            traceparent: The caller's trace context, which the traces of its images continue.

        Raises:
            Problem: 429 where the pipeline is full, 422 where an address cannot be fetched by anybody.
        """
        with self._admitted(), self._tracing.arriving(UPLOAD, traceparent=traceparent, source=SOURCE) as traces:
            await self._require_room()
            batch = submission.batch or _new_batch()
            wanted = [each if isinstance(each, UrlToFetch) else UrlToFetch(url=each) for each in submission.urls]
            receipts = []
            for each, ref in zip(wanted, _distinct(each.ref or each.url for each in wanted), strict=True):
                parts = urlsplit(each.url)
                if parts.scheme not in {"http", "https"} or not parts.hostname:
                    raise Problem(
                        422, "Not an address", f"{each.url[:200]!r} cannot be fetched: give an http or https address."
                    )
                name = parts.path.rsplit("/", 1)[-1] or parts.hostname
                observation = each.observation(survey=submission.survey, name=name, url=each.url)
                receipts.append(_receipt(batch, ref, observation, traces))
            return await self._book(batch, receipts)

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        if self._uploads >= MAX_UPLOADS:
            raise too_many("Busy", f"{self._uploads} uploads are being read already: send this one again shortly.")
        self._uploads += 1
        try:
            yield
        finally:
            self._uploads -= 1

    async def _require_room(self) -> None:
        room = await self.room()
        if room.room <= 0:
            raise too_many(
                "Pipeline full",
                f"{room.in_flight} images are in flight and ASTROLENS_MAX_IN_FLIGHT is {self._max_in_flight}: "
                "nothing of this request was taken in; send it again shortly.",
            )

    def _of_files(
        self, files: Sequence[UploadedFile], fields: dict[str, str], traces: Arrivals
    ) -> tuple[str, list[Receipt]]:
        if not files:
            raise MalformedBody("it holds no file; give each a part with a filename")
        try:
            described = _DESCRIPTIONS.validate_json(fields["observations"]) if fields.get("observations") else []
            survey = _SLUG.validate_python(fields["survey"]) if fields.get("survey") else None
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in fault["loc"]) or "observations or survey"
            raise MalformedBody(f"{where}: {fault['msg']}") from error
        if len(described) > len(files):
            raise MalformedBody(f"it describes {len(described)} files, but holds {len(files)}")
        batch = fields.get("batch") or _new_batch()
        if not _BATCH.match(batch):
            raise MalformedBody(f"batch: {batch[:80]!r} is no name; take up to 120 letters, digits and . _ : @ + -")
        known = [each or Described() for each in described] + [Described()] * (len(files) - len(described))
        refs = _distinct(each.ref or file.filename or "unnamed" for each, file in zip(known, files, strict=True))
        receipts = [
            _receipt(batch, ref, each.observation(survey=survey, name=ref.rsplit("/", 1)[-1]), traces, file=file)
            for file, each, ref in zip(files, known, refs, strict=True)
        ]
        return batch, [self._refused(each) if files[n].data is None else each for n, each in enumerate(receipts)]

    def _refused(self, receipt: Receipt) -> Receipt:
        reason = Reason(
            code="too-large",
            detail=f"{receipt.size_bytes} bytes are more than ASTROLENS_MAX_IMAGE_BYTES ({self._max_image_bytes})",
        )
        settled = {"outcome": Outcome.REJECTED, "reason": reason, "settled_at": receipt.received_at, "pending": ()}
        return receipt.model_copy(update=settled)

    async def _book(self, batch: str, receipts: Sequence[Receipt]) -> Accepted:
        new = await self._records.insert(Collection.RECEIPTS, receipts)
        if self.on_booked is not None:
            self.on_booked([each for each in receipts if each.receipt_id in new])
        self._outlet.release(
            Collection.RECEIPTS, [(each.receipt_id, each.pending) for each in receipts if each.receipt_id in new]
        )
        return Accepted(
            batch=batch,
            receipts=[each.receipt_id for each in receipts],
            new=len(new),
            rejected=sum(each.outcome is Outcome.REJECTED for each in receipts),
            progress_url=f"/api/receipts/{batch}/progress",
        )


class OriginalsBuffer:
    """Puts originals into the image store in bulk and keeps what receipts need of them."""

    def __init__(self, images: ImageStore) -> None:
        self._images = images
        self._waiting: list[tuple[str, bytes, str]] = []
        self._bytes = 0
        self.files: list[UploadedFile] = []

    async def add(self, files: Sequence[UploadedFile]) -> None:
        """Take finished files; their bytes are stored and let go as soon as there are enough of them."""
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
        else:
            await asyncio.sleep(0)


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


def _distinct(refs: Iterator[str]) -> list[str]:
    """Refs made different in a way that the same request repeats: two files of one name are two arrivals."""
    seen: dict[str, int] = {}
    distinct = []
    for ref in refs:
        seen[ref] = times = seen.get(ref, 0) + 1
        distinct.append(ref if times == 1 else f"{ref} ({times})")
    return distinct


def _new_batch() -> str:
    return f"upload-{utc_now():%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
