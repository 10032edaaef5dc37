"""The images of one survey, as survey models need them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from astrolens.contracts.base import utc_text
from astrolens.contracts.records import Answer
from astrolens.contracts.verdicts import Verdict
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.hash_index import COPY_BITS, distance, parse_hash
from astrolens.platform.stores.paging import pages
from astrolens.platform.stores.records import Clause, Document, Order, Query, RecordStore

_PAGE: Final = 200
_MAX_READ: Final = 10
"""Documents read for each image wanted: a survey may hold copies, injections and images that were never analysed."""
_FIELDS: Final = (
    "label",
    "phash",
    "p_value",
    "verdict",
    "ingested_at",
    "observation.injected",
    "observation.simulated",
    "cutout.key",
    "cutout.sha256",
    "analysis.calibration_fit",
    "analysis.detectors",
    "analysis.model_digest",
)
_STRANGE: Final = frozenset({Answer.INTERESTING.value, Answer.ARTEFACT.value})


@dataclass(frozen=True)
class SurveyImage:
    """One analysed image of a survey: what its record says. `calibration_fit` is that of its last analysis.

    `is_anomaly` is true where it or a copy of it is one.
    """

    image_id: str
    ingested_at: datetime
    cutout_key: str
    cutout_sha256: str
    label: str | None
    p_value: float
    detector_p_values: Mapping[str, float]
    simulated: bool
    model_digest: str
    calibration_fit: str | None
    picture_hash: int | None = None
    is_anomaly: bool = False

    @property
    def is_strange(self) -> bool:
        """Whether a person called it interesting or an artefact."""
        return self.label in _STRANGE


async def first_images(
    records: RecordStore, survey: str, *, count: int, since: datetime | None = None
) -> list[SurveyImage]:
    """The first `count` analysed images of a survey that were ingested at `since` or later; fewer where there are none.

    Blind injections are left out: a survey model must not learn them. Copies of one picture count once: they would be
    each other's neighbours, and make ordinary what is odd.
    """
    return await _read(records, survey, count, since=since, newest_first=False)


async def recent_images(
    records: RecordStore, survey: str, *, count: int, since: datetime | None = None
) -> list[SurveyImage]:
    """The last `count` analysed images of a survey that were ingested at `since` or later, the newest first.

    Copies of one picture count once, however many somebody feeds: they say nothing new of the sky.
    """
    return await _read(records, survey, count, since=since, newest_first=True)


def is_copy(picture_hash: int | None, others: Iterable[int | None]) -> bool:
    """Whether a picture is a copy of another one, by their perceptual hashes."""
    if picture_hash is None:
        return False
    return any(other is not None and distance(picture_hash, other) <= COPY_BITS for other in others)


async def _read(
    records: RecordStore, survey: str, count: int, *, since: datetime | None, newest_first: bool
) -> list[SurveyImage]:
    where = [Clause("observation.survey", "eq", survey)]
    if since is not None:
        where.append(Clause("ingested_at", "gte", utc_text(since)))
    query = Query(
        where=tuple(where), order=Order("ingested_at", descending=newest_first), limit=min(_PAGE, count), fields=_FIELDS
    )
    found: list[SurveyImage] = []
    read = 0
    async for page in pages(records, Collection.IMAGES, query):
        for image in _usable(page):
            _add(found, image)
        read += len(page)
        if len(found) >= count or read >= _MAX_READ * count:
            break
    return found[:count]


def _add(found: list[SurveyImage], image: SurveyImage) -> None:
    """Add an image, unless a copy of it is there, which is an anomaly if one of them is."""
    copies = (n for n, other in enumerate(found) if is_copy(image.picture_hash, (other.picture_hash,)))
    known = next(copies, None)
    if known is None:
        found.append(image)
    elif image.is_anomaly:
        found[known] = replace(found[known], is_anomaly=True)


def _usable(documents: Sequence[Document]) -> list[SurveyImage]:
    return [image for document in documents if (image := _image(document)) is not None]


def _image(document: Document) -> SurveyImage | None:
    """The image of a document; None where it was never analysed, is a blind injection, or cannot be read."""
    observation, cutout, analysis = document["observation"], document["cutout"], document["analysis"]
    required = (cutout["key"], cutout["sha256"], analysis["model_digest"], document["p_value"], document["ingested_at"])
    if None in required or observation["injected"]:
        return None
    return SurveyImage(
        image_id=document["image_id"],
        ingested_at=datetime.fromisoformat(document["ingested_at"]),
        cutout_key=cutout["key"],
        cutout_sha256=cutout["sha256"],
        label=document["label"],
        p_value=document["p_value"],
        detector_p_values={name: result["p_value"] for name, result in (analysis["detectors"] or {}).items()},
        simulated=bool(observation["simulated"]),
        model_digest=analysis["model_digest"],
        calibration_fit=analysis["calibration_fit"],
        picture_hash=parse_hash(document["phash"]),
        is_anomaly=document["verdict"] == Verdict.ANOMALY.value,
    )
