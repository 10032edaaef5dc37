"""What becomes of an arrival, as pure functions: its receipt, its settlement, its image record."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self

from astrolens.contracts import ids, topics
from astrolens.contracts.base import utc_text
from astrolens.contracts.events import ImageIngested
from astrolens.contracts.records import (
    CutoutInfo,
    ImageRecord,
    Original,
    Outcome,
    Reason,
    Receipt,
)
from astrolens.ingestor.observations import file_header, name_origin, pixel_quality, with_header
from astrolens.platform.stores.images import cutout_key, original_key
from astrolens.platform.stores.records import Change, Clause
from astrolens.platform.telemetry.tracing import traceparent_of
from astrolens.science.cutouts import Cutout

SERVICE = "ingestor"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A receipt, with its bytes where they are in memory."""

    receipt: Receipt
    data: bytes | None = None

    @property
    def image_id(self) -> str:
        """The id of its image; only once its bytes are known."""
        if self.receipt.sha256 is None:
            raise ValueError(f"receipt {self.receipt.receipt_id} has no bytes yet")
        return ids.image_id(self.receipt.sha256)

    @property
    def size_bytes(self) -> int:
        """Size of the original, bytes."""
        return self.receipt.size_bytes if self.receipt.size_bytes is not None else len(self.data or b"")

    def with_data(self, data: bytes) -> Self:
        """The same arrival with its bytes."""
        known = {"sha256": ids.content_digest(data), "size_bytes": len(data)}
        return replace(self, receipt=self.receipt.model_copy(update=known), data=data)


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of an arrival."""

    arrival: Arrival
    outcome: Outcome
    image_id: str | None = None
    reason: Reason | None = None

    def change(self, now: datetime) -> Change:
        """The change of the receipt; it happens only to a receipt that is not settled yet."""
        receipt = self.arrival.receipt
        values: dict[str, Any] = {
            "outcome": self.outcome.value,
            "image_id": self.image_id,
            "reason": None if self.reason is None else self.reason.model_dump(mode="json"),
            "settled_at": utc_text(now),
        }
        return Change(
            id=receipt.receipt_id,
            set=values,
            # Whoever reads its `images.submitted` now would only skip it.
            pull_pending=[event.event_id for event in receipt.pending],
            when=UNSETTLED,
        )


UNSETTLED = (Clause("outcome", "eq", Outcome.RECEIVED.value),)
"""The guard of every settlement: a receipt is settled once."""


def image_record(arrival: Arrival, cutout: Cutout, now: datetime) -> ImageRecord:
    """The record of a new image, with the event that asks for its analysis."""
    receipt = arrival.receipt
    image = arrival.image_id
    sha256 = receipt.sha256 or ""
    info = CutoutInfo(
        key=cutout_key(image),
        sha256=ids.content_digest(cutout.jpeg),
        width=cutout.width,
        height=cutout.height,
        scale=cutout.scale,
        stretch=cutout.stretch,
        orientation=cutout.orientation,
        north_angle_deg=cutout.north_angle_deg,
    )
    header = file_header(cutout.file)
    observation, origins = with_header(receipt.observation, header, name_origin(receipt))
    event = ImageIngested.of(
        image,
        survey=observation.survey,
        cutout_key=info.key,
        cutout_sha256=info.sha256,
        service=SERVICE,
        at=now,
    )
    return ImageRecord(
        image_id=image,
        receipt_id=receipt.receipt_id,
        source=receipt.source,
        batch=receipt.batch,
        observation=observation,
        origins=origins,
        header=header,
        quality=pixel_quality(cutout.quality),
        original=Original(
            key=original_key(sha256),
            sha256=sha256,
            size_bytes=arrival.size_bytes,
            media_type=cutout.media_type,
            width=cutout.original_width,
            height=cutout.original_height,
        ),
        cutout=info,
        phash=cutout.phash,
        received_at=receipt.received_at,
        ingested_at=now,
        offered_at=now,
        pending=(
            event.pending(topic=topics.IMAGES_INGESTED, key=image, traceparent=traceparent_of(receipt.receipt_id)),
        ),
    )
