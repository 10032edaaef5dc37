"""A made-up archive for looking at the console: records as the pipeline leaves them, pictures from a small pool."""

import base64
import hashlib
import io
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from astrolens.contracts.catalogues import CrossmatchStatus
from astrolens.contracts.ids import alert_id
from astrolens.contracts.morphology import Morphology, MorphologyQuality
from astrolens.contracts.patch_maps import PATCH_MAP_SIDE, PatchMap, patch_cells
from astrolens.contracts.records import (
    AlertRecord,
    CutoutInfo,
    DeadLetter,
    Delivery,
    ImageRecord,
    ImageState,
    Observation,
    Original,
    Outcome,
    Position,
    Reason,
    Receipt,
)
from astrolens.contracts.status import ServiceStatus, SourceStatus
from astrolens.contracts.verdicts import Analysis, DetectorResult, Verdict, rank_score_of
from astrolens.platform.stores.images import ImageStore, cutout_key
from astrolens.platform.stores.records import Collection, RecordStore, to_document
from PIL import Image

from tests.browser.known import (
    SEEN_AGAIN,
    STATED,
    STATED_ORIENTATION,
    STATED_PLACE,
    catalogues,
    crossmatch,
    stated,
)

ALPHA = 0.01
CALIBRATION_IMAGES = 605
CLASSES = ("smooth", "spiral", "edge-on", "irregular")
DETECTORS = ("msp", "energy", "mahalanobis")
SURVEYS = ("sdss", "efigi", "simulated-sdss", "simulated-lsst")
POOL = 48
BATCH = 1000


def pictures(size: int = 192) -> list[bytes]:
    """A pool of small galaxy-like JPEGs."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:size, 0:size] / size - 0.5
    found = []
    for index in range(POOL):
        angle, squeeze = rng.uniform(0, np.pi), rng.uniform(0.25, 1.0)
        u = x * np.cos(angle) + y * np.sin(angle)
        v = (-x * np.sin(angle) + y * np.cos(angle)) / squeeze
        r = np.hypot(u, v)
        light = np.exp(-r / rng.uniform(0.04, 0.1)) + 0.5 * np.exp(-((r / 0.03) ** 2))
        if index % 2:
            theta = np.arctan2(v, u)
            light *= 1 + 0.7 * np.cos(2 * theta - 14 * np.log(r + 0.02))
        if index % 7 == 0:
            light += 0.8 * np.exp(-(((x - 0.2) / 0.02) ** 2 + ((y + 0.15) / 0.02) ** 2))
        colour = np.array([rng.uniform(0.8, 1.0), 0.85, rng.uniform(0.6, 1.0)])
        frame = np.arcsinh(6 * light)[..., None] * colour * 90 + rng.normal(10, 4, (size, size, 3))
        data = io.BytesIO()
        Image.fromarray(frame.clip(0, 255).astype(np.uint8)).save(data, "JPEG", quality=92)
        found.append(data.getvalue())
    return found


def record(index: int, pool: Sequence[bytes], now: datetime) -> ImageRecord:
    """The record of image `index`; the first are the strangest."""
    rng = random.Random(index)
    data = pool[index % POOL]
    sha256 = hashlib.sha256(data + str(index).encode()).hexdigest()
    image_id = sha256[:32]
    survey = SURVEYS[index % len(SURVEYS)]
    # The top of any list is beyond the calibration images; the rest is uniform, as for ordinary images.
    beyond = index < 12
    p = 1 / (CALIBRATION_IMAGES + 1) if beyond else max(1.5 / (CALIBRATION_IMAGES + 1), rng.random())
    rank = rank_score_of(p) + (rng.uniform(0, 5) if beyond else 0.0)
    verdict = Verdict.ANOMALY if p <= ALPHA else Verdict.NEAR_MISS if p <= 3 * ALPHA else Verdict.ORDINARY
    at = now - timedelta(seconds=20 + 37 * index)
    weights = [rng.random() ** 3 + 0.01 for _ in CLASSES]
    shares = {name: weight / sum(weights) for name, weight in zip(CLASSES, weights, strict=True)}
    top = max(shares, key=lambda name: shares[name])
    detectors = {
        name: DetectorResult(score=round(rng.gauss(0, 1) - np.log(p) / 3, 4), p_value=min(1.0, p * rng.uniform(1, 4)))
        for name in DETECTORS
    }
    position = None
    if index % 9 != 8:
        position = Position.model_validate({"ra_deg": rng.uniform(0, 360) % 360, "dec_deg": rng.uniform(-60, 60)})
        if index in {STATED, SEEN_AGAIN}:
            position = Position.model_validate(STATED_PLACE)
    name = f"SDSS J{index:06d}+{index % 90:02d}" if index % 3 else f"galaxy-{index:05d}.jpg"
    return ImageRecord(
        image_id=image_id,
        receipt_id=f"r{index:031d}",
        source="sdss" if survey == "sdss" else "simulated" if "simulated" in survey else "upload",
        batch="night-1",
        observation=Observation(
            survey=survey,
            name=name,
            position=position,
            pixel_scale_arcsec=0.396 if index % 5 else None,
            observed_at=at - timedelta(days=400),
            bands=("g", "r", "i"),
            credit="SDSS" if survey == "sdss" else None,
            simulated=survey.startswith("simulated"),
            extra={"redshift": f"{rng.random():.4f}"} if index % 4 == 0 else {},
        ),
        original=Original(
            key=f"originals/{sha256[:2]}/{sha256}",
            sha256=sha256,
            size_bytes=len(data),
            media_type="image/jpeg",
            width=424,
            height=424,
        ),
        cutout=CutoutInfo(
            key=cutout_key(image_id),
            sha256=hashlib.sha256(data).hexdigest(),
            width=192,
            height=192,
            scale=0.5,
            stretch="none",
            **(STATED_ORIENTATION if index == STATED else {}),
        ),
        phash=f"{rng.getrandbits(64):016x}",
        state=ImageState.ANALYZED,
        ingested_at=at,
        offered_at=at,
        analysis=Analysis(
            model_name="first-light",
            model_digest="ab" * 32,
            preprocessing_digest="cd" * 32,
            calibration_id="first-light-1@10.0",
            calibration_survey=survey,
            execution_provider="CPUExecutionProvider",
            class_probabilities=shares,
            predicted_class=top,
            detectors=detectors,
            p_value=p,
            p_value_at_most=beyond,
            calibration_images=CALIBRATION_IMAGES,
            rank_score=rank,
            kinds={"blend": 0.62, "double-core": 0.21, "trail": 0.03} if beyond else {},
            verdict=verdict,
            embedding=base64.b64encode(np.array([rng.gauss(0, 1) for _ in range(8)], dtype="<f2").tobytes()).decode(),
            analyzed_at=at + timedelta(seconds=1),
        ),
        verdict=verdict,
        p_value=p,
        rank_score=rank,
        predicted_class=top,
        analyzed_at=at + timedelta(seconds=1),
        morphology=morphology(index, at) if verdict is not Verdict.ORDINARY else None,
        patch_map=patch_map(index, at) if verdict is not Verdict.ORDINARY else None,
        **(stated(at) if index == STATED else {}),
        object_id="0b" * 16 if index in {STATED, SEEN_AGAIN} else None,
        crossmatch_status=tuple(CrossmatchStatus)[index % 3] if beyond else None,
    )


def morphology(index: int, at: datetime) -> Morphology | None:
    """Of four candidates one is measured by statmorph, one simply, one not at all, and one waits."""
    common: dict[str, Any] = {"version": 1, "measured_at": at}
    simple = {"concentration": 2.8, "gini": 0.52, "ellipticity": 0.3, "half_light_radius_px": 14.25, "ring_score": 0.4}
    match index % 4:
        case 0:
            rest = {"asymmetry": 0.31, "smoothness": 0.04, "m20": -1.61, "sersic_index": 1.34, "sn_per_pixel": 8.9}
            suspect = MorphologyQuality.SUSPECT
            return Morphology(
                method="statmorph", quality=suspect, sersic_quality=MorphologyQuality.BAD, **common, **simple, **rest
            )
        case 1:
            detail = "statmorph took more than 20 s of processor time"
            return Morphology(
                method="segmentation", quality=MorphologyQuality.FALLBACK, detail=detail, **common, **simple
            )
        case 2:
            detail = "no object stands out from the sky"
            return Morphology(method="none", quality=MorphologyQuality.FAILED, detail=detail, **common)
        case _:
            return None


def patch_map(index: int, at: datetime) -> PatchMap | None:
    """Of three candidates two are strange at the upper right, and one waits for its map."""
    if index % 3 == 2:
        return None
    rows, columns = np.mgrid[:PATCH_MAP_SIDE, :PATCH_MAP_SIDE]
    cells, strangest = patch_cells((2.5 * np.exp(-((rows - 3) ** 2 + (columns - 10) ** 2) / 6.0)).ravel().tolist())
    return PatchMap(
        version=1,
        model_digest="ab" * 32,
        codebook="ef" * 32,
        codebook_survey="sdss",
        codebook_images=300,
        cells=cells,
        strangest=strangest,
        measured_at=at,
    )


def receipt(image: ImageRecord) -> Receipt:
    """The arrival that brought an image."""
    return Receipt(
        receipt_id=image.receipt_id,
        source=image.source,
        batch=image.batch,
        ref=str(image.observation.name),
        observation=image.observation,
        received_at=image.ingested_at,
        outcome=Outcome.ACCEPTED,
        sha256=image.original.sha256,
        size_bytes=image.original.size_bytes,
        image_id=image.image_id,
        settled_at=image.ingested_at,
    )


def refused(index: int, now: datetime) -> Receipt:
    """An arrival that became no image of its own."""
    duplicate = index % 3 == 0
    text = "the file is cut off after 1,024 of 48,213 bytes"
    return Receipt(
        receipt_id=f"x{index:031d}",
        source="upload",
        batch="night-1",
        ref=f"folder/with a rather long name/picture-{index:04d}.jpg",
        observation=Observation(survey="unknown"),
        received_at=now - timedelta(minutes=index),
        outcome=Outcome.DUPLICATE if duplicate else Outcome.REJECTED,
        size_bytes=1024 * (index + 1),
        reason=None if duplicate else Reason(code="truncated", detail=text),
        settled_at=now,
    )


def letters(now: datetime) -> list[DeadLetter]:
    """Dead letters; the last is nothing but bytes."""
    bodies = ["eyJpbWFnZV9pZCI6ICI8aW1nIHNyYz14IG9uZXJyb3I9YWxlcnQoMSk+In0=", "3q2+7wABAgM="]
    return [
        DeadLetter(
            dead_letter_id=f"letter-{index}",
            topic="astrolens.images.ingested.v1",
            partition=index,
            offset=1200 + index,
            key="YWJj",
            body=body,
            service="analyzer",
            error_type="ValidationError",
            error="1 validation error for ImageIngested: image_id: field required, and <b>more</b>",
            dead_lettered_at=now - timedelta(hours=index + 1),
        )
        for index, body in enumerate(bodies)
    ]


def statuses(now: datetime) -> tuple[list[ServiceStatus], list[SourceStatus]]:
    """Services and sources, one of each with an error."""
    services = [
        ServiceStatus(
            service=name,
            instance=f"{name}-1",
            pid=100 + index,
            version="0.1.0",
            started_at=now - timedelta(hours=5),
            seen_at=now if name != "notifier" else now - timedelta(minutes=3),
            ready=True,
            state="running",
            processed=4000 + index,
            lag=index,
            last_errors=("StoreUnavailable: disk I/O error",) if name == "notifier" else (),
        )
        for index, name in enumerate(("ingestor", "analyzer", "model-server", "notifier", "console"))
    ]
    services.append(
        ServiceStatus(
            service="crossref",
            instance="crossref-1",
            pid=120,
            version="0.1.0",
            started_at=now - timedelta(hours=5),
            seen_at=now,
            ready=True,
            state="running",
            info={"catalogues": catalogues(now)},
        )
    )
    sources = [
        SourceStatus(
            source="simulated",
            state="running",
            delivered=4123,
            rate_per_min=60,
            last_success_at=now,
            next_try_at=now + timedelta(seconds=2),
            updated_at=now,
        ),
        SourceStatus(
            source="sdss",
            state="unreachable",
            detail="skyserver.sdss.org did not answer within 20 s (3 tries); trying again in 4 min",
            delivered=212,
            last_success_at=now - timedelta(hours=2),
            next_try_at=now + timedelta(minutes=4),
            updated_at=now,
        ),
    ]
    return services, sources


def alert(image: ImageRecord) -> AlertRecord:
    """The alert about an anomaly."""
    return AlertRecord(
        alert_id=alert_id(image.image_id),
        image_id=image.image_id,
        survey=image.observation.survey,
        predicted_class=str(image.predicted_class),
        verdict=Verdict.ANOMALY,
        p_value=float(image.p_value or 0.0),
        p_value_at_most=image.analysis is not None and image.analysis.p_value_at_most,
        calibration_images=CALIBRATION_IMAGES,
        topic=f"astrolens.alerts.{image.observation.survey}.{image.predicted_class}.v1",
        raised_at=image.analyzed_at or image.ingested_at,
        deliveries=(Delivery(channel="mailto #1", state="failed", attempts=3, error="connection refused"),),
    )


async def fill(records: RecordStore, images: ImageStore, count: int) -> None:
    """Put an archive of `count` images into the stores; nothing at all for 0.

    Args:
        records: Open and empty.
        images: Open; gets the pictures of the first `POOL` images, `PooledImages` serves the rest.
        count: How many images.
    """
    if not count:
        return
    now = datetime.now(UTC)
    pool = pictures()
    for start in range(0, count, BATCH):
        batch = [record(index, pool, now) for index in range(start, min(start + BATCH, count))]
        await records.insert(Collection.IMAGES, documents(batch))
        await records.insert(Collection.RECEIPTS, documents([receipt(each) for each in batch]))
        anomalies = [alert(each) for each in batch if each.verdict is Verdict.ANOMALY]
        await records.insert(Collection.ALERTS, documents(anomalies))
        found = [crossmatch(each) for each in batch if each.crossmatch_status is not None]
        await records.insert(Collection.CROSSMATCHES, documents(found))
    await records.insert(Collection.RECEIPTS, documents([refused(index, now) for index in range(7)]))
    await records.insert(Collection.DEAD_LETTERS, documents(letters(now)))
    services, sources = statuses(now)
    await records.upsert(Collection.SERVICES, documents(services))
    await records.upsert(Collection.SOURCES, documents(sources))
    await images.put_many([(f"pool/{index}.jpg", data, "image/jpeg") for index, data in enumerate(pool)])


def documents(models: Sequence[Any]) -> list[dict[str, Any]]:
    """Models as the record store keeps them."""
    return [to_document(model) for model in models]
