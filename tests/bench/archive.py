"""A large archive for `make bench-growth`: records as the pipeline leaves them, with realistic values, made fast.

Every document begins as a copy of what `tests.browser.sky` builds through the contracts, so that a new field is there
by itself; the values that differ from image to image are drawn in blocks with numpy. The same index gives the same
image in every run: filling can stop anywhere and go on.
"""

import base64
import hashlib
import io
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
from astrolens.contracts.ids import alert_id, derived_id
from astrolens.contracts.records import ImageState
from astrolens.contracts.verdicts import Verdict, rank_score_of
from astrolens.platform.stores.collections import DECLARATIONS
from astrolens.platform.stores.images import cutout_key
from astrolens.platform.stores.records import Document, to_document
from astrolens.platform.stores.sqlite.schema import LAYOUT
from astrolens.science.bundle import Bundle
from astrolens.science.calibration import POOLED
from astrolens.science.phash import perceptual_hash
from astrolens.science.scoring import Scorer
from astrolens.science.simulation import simulate
from numpy.typing import NDArray
from PIL import Image

from tests.browser import sky

VERSION = 3
"""Raised when the same index no longer gives the same image: cached archives are filled again then."""

CALIBRATION_IMAGES = 99_999
"""Enough for small p-values at the top of every list."""
BLOCK = 2_000
"""Images drawn and written together."""

END = datetime(2026, 11, 20, tzinfo=UTC)
"""When the newest image was analysed; the archive grew towards it at one image every `SPACING`."""
SPACING = timedelta(seconds=20)

FORMER_MODEL = hashlib.sha256(b"the model before this one").hexdigest()
"""The digest that every alert was raised with: the images were analysed again since, the alerts were not told."""

SIMULATED = "simulated-"
DUPLICATE_SHARE = 0.03
LABEL_SHARE = 0.02
POSITION_SHARE = 0.9
SAMPLE = 200
"""Newest images that have a cutout file."""
_BASE_HASHES = 192
_FLIP_SHARE = 0.2
"""Perceptual hashes crowd: each lies about 13 of 64 bits from that of a simulated picture."""


@dataclass(frozen=True)
class Model:
    """What the archive's analyses say of the model that made them.

    Attributes:
        centroids: [lists, d] of its embedding space.
    """

    name: str
    digest: str
    preprocessing_digest: str
    calibration_id: str
    classes: tuple[str, ...]
    detectors: tuple[str, ...]
    surveys: tuple[str, ...]
    alpha: float
    centroids: NDArray[np.float32]

    @classmethod
    def of(cls, bundle: Bundle, *, false_alarms_per_1000: float = 10.0) -> "Model":
        """The model of a bundle: the one that the services will use, so that its similarity index takes everything."""
        scorer = Scorer(bundle, false_alarms_per_1000)
        return cls(
            name=bundle.manifest.name,
            digest=bundle.digest,
            preprocessing_digest=bundle.preprocessing_digest,
            calibration_id=scorer.calibration_id,
            classes=bundle.manifest.classes,
            detectors=tuple(entry.name for entry in bundle.manifest.detectors),
            surveys=tuple(bundle.manifest.surveys),
            alpha=scorer.alpha,
            centroids=np.asarray(bundle.centroids, dtype=np.float32),
        )

    def fingerprint(self) -> str:
        """Names an archive in a cache: another declaration, model or filler makes another archive."""
        declared = {name: asdict(declaration) for name, declaration in DECLARATIONS.items()}
        # Sets are sorted: their own order differs from process to process.
        text = json.dumps([VERSION, LAYOUT, self.digest, self.calibration_id, declared], default=sorted)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Block:
    """Documents that belong together."""

    images: list[Document]
    receipts: list[Document]
    alerts: list[Document]


def image_id(index: int) -> str:
    """The id of image `index`."""
    return _sha256(index)[:32]


def block(model: Model, number: int, size: int = BLOCK) -> Block:
    """Images `number * BLOCK` to `number * BLOCK + size` with their receipts and alerts.

    Args:
        model: Whose analyses they are.
        number: Which block.
        size: How many of its images; the first of a block are the same whatever the size.
    """
    draw = _Draw.of(model, number)
    images = [_image(model, draw, row) for row in range(size)]
    alerts = [_alert(image) for image in images if image["verdict"] == Verdict.ANOMALY.value]
    return Block(images, [_receipt(image) for image in images], alerts)


@dataclass(frozen=True)
class _Draw:
    """The random values of a block, one row an image."""

    first: int
    times: list[tuple[str, str]]
    p_values: list[float]
    shares: list[list[float]]
    top: list[int]
    scores: list[list[float]]
    detector_p: list[list[float]]
    embeddings: list[str]
    hashes: list[int]
    surveys: list[int]
    positions: list[tuple[float, float, float, float, float]]
    chances: list[list[float]]

    @classmethod
    def of(cls, model: Model, number: int) -> "_Draw":
        rng = np.random.default_rng([2026, number])
        first = number * BLOCK
        classes, detectors = len(model.classes), len(model.detectors)
        cluster = rng.integers(len(model.centroids), size=BLOCK)
        # Images lie between the centroids, in the few directions in which these differ, as real embeddings do: noise of
        # one size in every dimension would make an index of them larger than any that is met.
        deviations = model.centroids - model.centroids.mean(axis=0)
        mixture = rng.normal(0, 0.6 / np.sqrt(len(deviations)), (BLOCK, len(deviations))).astype(np.float32)
        vectors = model.centroids[cluster] + mixture @ deviations
        # The class goes with the place in the embedding space, as a classifier's last layer has it.
        weights = rng.random((BLOCK, classes)) ** 3 + 0.01
        weights[np.arange(BLOCK), cluster % classes] += 1.0
        shares = weights / weights.sum(axis=1, keepdims=True)
        p_values = np.maximum(rng.random(BLOCK), 1 / (CALIBRATION_IMAGES + 1))
        ra, z = rng.uniform(0, 2 * np.pi, BLOCK), rng.uniform(-1, 1, BLOCK)
        across = np.sqrt(1 - z**2)
        positions = np.stack(
            [np.degrees(ra), np.degrees(np.arcsin(z)), across * np.cos(ra), across * np.sin(ra), z], axis=1
        )
        ages = np.arange(first, first + BLOCK) * np.timedelta64(SPACING)
        ingested = np.datetime64(END.replace(tzinfo=None), "us") - _MAX_AGE + ages
        analyzed = ingested + rng.integers(200_000, 3_000_000, BLOCK).astype("timedelta64[us]")
        return cls(
            first=first,
            times=list(zip(_texts(ingested), _texts(analyzed), strict=True)),
            p_values=p_values.tolist(),
            shares=shares.tolist(),
            top=shares.argmax(axis=1).tolist(),
            scores=(rng.normal(0, 1, (BLOCK, detectors)) - np.log(p_values)[:, None] / 3).tolist(),
            detector_p=np.minimum(1.0, p_values[:, None] * rng.uniform(0.4, 4, (BLOCK, detectors))).tolist(),
            embeddings=[base64.b64encode(row.tobytes()).decode() for row in vectors.astype("<f2")],
            hashes=_hashes(rng),
            surveys=rng.integers(len(model.surveys), size=BLOCK).tolist(),
            positions=[tuple(row) for row in positions.tolist()],
            chances=rng.random((BLOCK, 4)).tolist(),
        )


_MAX_AGE = np.timedelta64(timedelta(days=300), "us")
"""Age of the oldest image: room for 1.3 million."""


def _texts(times: NDArray[Any]) -> list[str]:
    return [f"{text}Z" for text in np.datetime_as_string(times, unit="us").tolist()]


def _hashes(rng: np.random.Generator) -> list[int]:
    bases = np.array(_base_hashes(), dtype=np.uint64)[rng.integers(_BASE_HASHES, size=BLOCK)]
    flips = np.packbits(rng.random((BLOCK, 64)) < _FLIP_SHARE, axis=1).view(">u8").ravel()
    return [int(value) for value in bases ^ flips.astype(np.uint64)]


@cache
def _base_hashes() -> tuple[int, ...]:
    def of(index: int) -> int:
        with Image.open(io.BytesIO(simulate(17, index, oddity_rate=0.05).jpeg)) as picture:
            return int(perceptual_hash(picture), 16)

    return tuple(of(index) for index in range(_BASE_HASHES))


@cache
def _templates() -> tuple[Document, Document, Document]:
    """An image, its receipt and an alert about it, as the contracts write them."""
    image = sky.record(0, sky.pictures(16), END)
    return to_document(image), to_document(sky.receipt(image)), to_document(sky.alert(image))


def _verdict(p_value: float, alpha: float) -> Verdict:
    if p_value <= alpha:
        return Verdict.ANOMALY
    return Verdict.NEAR_MISS if p_value <= 3 * alpha else Verdict.ORDINARY


def _sha256(index: int) -> str:
    return hashlib.sha256(f"astrolens growth {index}".encode()).hexdigest()


def _image(model: Model, draw: _Draw, row: int) -> Document:
    template = _templates()[0]
    index = draw.first + row
    sha256 = _sha256(index)
    survey = model.surveys[draw.surveys[row]]
    placed, doubled, labeled, night = draw.chances[row]
    p_value = draw.p_values[row]
    verdict = _verdict(p_value, model.alpha)
    ingested, analyzed = draw.times[row]
    predicted = model.classes[draw.top[row]]
    ra, dec, x, y, z = draw.positions[row]
    source = "simulated" if survey.startswith(SIMULATED) else "sdss" if "sdss" in survey else "upload"
    batch = f"night-{index // 4_000}"
    hashed = draw.hashes[row]
    near: list[Document] = []
    if row % 2 and doubled < 2 * DUPLICATE_SHARE:  # the one before is an original of its own
        hashed = draw.hashes[row - 1] ^ (1 << (index % 64))
        near = [{"image_id": image_id(index - 1), "distance": 1}]
    observation = {
        **template["observation"],
        "survey": survey,
        "name": f"SDSS J{index:07d}+{index % 90:02d}" if index % 3 else f"galaxy-{index:07d}.jpg",
        "position": {"ra_deg": ra, "dec_deg": dec, "x": x, "y": y, "z": z} if placed < POSITION_SHARE else None,
        "pixel_scale_arcsec": 0.396,
        "simulated": survey.startswith(SIMULATED),
        "extra": {"redshift": f"{night:.4f}"} if index % 4 == 0 else {},
    }
    label: dict[str, Any] = {}
    if labeled < LABEL_SHARE or (verdict is Verdict.ANOMALY and labeled < 0.3):
        answer = ("interesting", "artefact", "ordinary")[index % 3]
        entry = {"label_id": derived_id("label", sha256), "answer": answer, "user": "ada", "recorded_at": analyzed}
        label = {"label": answer, "labeled_at": analyzed, "labels": [{**entry, "note": None, "tags": []}]}
    return {
        **template,
        "image_id": sha256[:32],
        "receipt_id": derived_id("receipt", source, batch, str(index)),
        "source": source,
        "batch": batch,
        "observation": observation,
        "original": {
            **template["original"],
            "key": f"originals/{sha256[:2]}/{sha256}",
            "sha256": sha256,
            "size_bytes": 9_000 + index % 9_000,
        },
        "cutout": {**template["cutout"], "key": cutout_key(sha256[:32]), "sha256": sha256[::-1]},
        "phash": f"{hashed:016x}",
        "near_duplicates": near,
        "state": ImageState.ANALYZED.value,
        "received_at": ingested,
        "ingested_at": ingested,
        "offered_at": ingested,
        "analysis": {
            **template["analysis"],
            "model_name": model.name,
            "model_digest": model.digest,
            "preprocessing_digest": model.preprocessing_digest,
            "calibration_id": model.calibration_id,
            "calibration_survey": survey if survey in model.surveys else POOLED,
            "calibration_fit": "own" if survey in model.surveys else "pooled",
            "class_probabilities": dict(zip(model.classes, draw.shares[row], strict=True)),
            "predicted_class": predicted,
            "detectors": {
                name: {"score": score, "p_value": p, "at_most": False}
                for name, score, p in zip(model.detectors, draw.scores[row], draw.detector_p[row], strict=True)
            },
            "p_value": p_value,
            "calibration_images": CALIBRATION_IMAGES,
            "rank_score": rank_score_of(p_value),
            "verdict": verdict.value,
            "embedding": draw.embeddings[row],
            "analyzed_at": analyzed,
        },
        "verdict": verdict.value,
        "p_value": p_value,
        "rank_score": rank_score_of(p_value),
        "predicted_class": predicted,
        "analyzed_at": analyzed,
        **label,
    }


def _receipt(image: Document) -> Document:
    return {
        **_templates()[1],
        "receipt_id": image["receipt_id"],
        "source": image["source"],
        "batch": image["batch"],
        "ref": str(image["observation"]["name"]),
        "observation": image["observation"],
        "received_at": image["received_at"],
        "sha256": image["original"]["sha256"],
        "size_bytes": image["original"]["size_bytes"],
        "image_id": image["image_id"],
        "settled_at": image["ingested_at"],
    }


def _alert(image: Document) -> Document:
    survey, predicted = image["observation"]["survey"], image["predicted_class"]
    return {
        **_templates()[2],
        "alert_id": alert_id(image["image_id"]),
        "image_id": image["image_id"],
        "survey": survey,
        "predicted_class": predicted,
        "p_value": image["p_value"],
        "rank_score": image["rank_score"],
        "topic": f"astrolens.alerts.{survey}.{predicted}.v1",
        "raised_at": image["analyzed_at"],
        "event_id": derived_id("alert", image["image_id"], FORMER_MODEL),
        "model_digest": FORMER_MODEL,
        "calibration_id": "former",
        "deliveries": [],
    }
