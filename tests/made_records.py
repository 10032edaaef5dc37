"""Records and a bus for tests of what stands on the record store."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from astrolens.contracts.base import utc_now
from astrolens.contracts.ids import content_digest, image_id, receipt_id
from astrolens.contracts.records import (
    CutoutInfo,
    ImageRecord,
    ImageState,
    Observation,
    Original,
    Outcome,
    PendingEvent,
    Position,
    Reason,
    Receipt,
)
from astrolens.contracts.verdicts import Analysis, DetectorResult, Verdict
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import cutout_key, original_key

NIGHT = datetime(2026, 3, 1, 20, 0, tzinfo=UTC)


class RecordingBus:
    """An event releaser and publisher that remembers what it should publish."""

    def __init__(self) -> None:
        self.released: list[tuple[Collection, str, tuple[PendingEvent, ...]]] = []
        self.published: list[PendingEvent] = []

    async def release(self, collection: Collection, documents: Sequence[tuple[str, Sequence[PendingEvent]]]) -> None:
        self.released += [(collection, key, tuple(events)) for key, events in documents]

    async def publish(self, events: Sequence[PendingEvent]) -> None:
        self.published += events


def make_image(
    name: str,
    *,
    p_value: float | None = 0.5,
    survey: str = "sdss",
    predicted_class: str = "spiral",
    position: tuple[float, float] | None = None,
    minutes: int = 0,
    state: ImageState | None = None,
    batch: str = "night",
    media_type: str = "image/jpeg",
    rank_score: float | None = None,
    kinds: dict[str, float] | None = None,
    simulated: bool = False,
) -> tuple[ImageRecord, bytes]:
    data = f"pixels of {name}".encode()
    digest = content_digest(data)
    identity = image_id(digest)
    at = NIGHT + timedelta(minutes=minutes)
    place = None if position is None else Position.model_validate({"ra_deg": position[0], "dec_deg": position[1]})
    analysis = None
    if p_value is not None:
        verdict = Verdict.ANOMALY if p_value <= 0.01 else Verdict.NEAR_MISS if p_value <= 0.03 else Verdict.ORDINARY
        analysis = Analysis(
            model_name="first-light",
            model_digest="d" * 64,
            preprocessing_digest="e" * 64,
            calibration_id="c" * 16,
            calibration_survey=survey,
            execution_provider="CPUExecutionProvider",
            class_probabilities={"spiral": 0.9, "smooth": 0.1},
            predicted_class=predicted_class,
            detectors={"energy": DetectorResult(score=1.5, p_value=p_value)},
            p_value=p_value,
            p_value_at_most=rank_score is not None,
            calibration_images=round(1 / p_value) - 1 or None,
            rank_score=rank_score,
            kinds=kinds or {},
            verdict=verdict,
            embedding="AAAA",
            analyzed_at=at,
        )
    record = ImageRecord(
        image_id=identity,
        receipt_id=receipt_id("upload", batch, name),
        source="upload",
        batch=batch,
        observation=Observation(survey=survey, name=name, position=place, simulated=simulated, pixel_scale_arcsec=0.4),
        original=Original(
            key=original_key(digest), sha256=digest, size_bytes=len(data), media_type=media_type, width=200, height=200
        ),
        cutout=CutoutInfo(key=cutout_key(identity), sha256="a" * 64, width=100, height=100, scale=0.5, stretch="none"),
        phash=digest[:16],
        state=state or (ImageState.INGESTED if analysis is None else ImageState.ANALYZED),
        ingested_at=at,
        offered_at=at,
        analysis=analysis,
        verdict=analysis.verdict if analysis else None,
        p_value=p_value,
        rank_score=rank_score,
        predicted_class=predicted_class if analysis else None,
        analyzed_at=at if analysis else None,
    )
    return record, data


def make_receipt(ref: str, outcome: Outcome, *, reason: str | None = None) -> Receipt:
    return Receipt(
        receipt_id=ref,
        source="upload",
        batch="night",
        ref=ref,
        observation=Observation(),
        received_at=utc_now(),
        outcome=outcome,
        reason=Reason(code=reason, detail="It is text.") if reason else None,
    )
