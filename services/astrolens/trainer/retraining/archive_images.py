"""The images of the archive that a run learns from: those that people answered, and a sample of all others."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from astrolens.contracts.ids import content_digest
from astrolens.contracts.records import Answer, ImageState
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import ImageStore, cutout_key
from astrolens.platform.stores.paging import pages
from astrolens.platform.stores.records import Clause, Document, Order, Query, RecordStore

MAX_LABELLED: Final = 5000
"""Newest answered images that are read."""
_PAGE: Final = 250
_FIELDS: Final = (
    "image_id",
    "state",
    "verdict",
    "predicted_class",
    "label",
    "labels",
    "observation.survey",
    "observation.injected",
    "observation.simulated",
    "cutout.sha256",
    "analysis.model_digest",
)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class GivenAnswer:
    """The answer that counts for an image, and whose it is.

    Of each person the last answer counts; where people differ, the answer of most, and of equally many the newest.
    """

    answer: Answer
    user: str
    recorded_at: str
    label_id: str
    people: int = 1
    """How many gave this answer, where nobody gave another; else 1."""


@dataclass(frozen=True)
class ArchiveImage:
    """One image of the archive on disk.

    Attributes:
        image_id: Its id.
        path: File of its cutout.
        sha256: Digest of that file.
        survey: Lower case.
        morphology: The class that the model gave it: of no person.
        verdict: What the model called it.
        simulated: Whether it is of the simulated sky.
        answer: The answer that counts, or None.
    """

    image_id: str
    path: Path
    sha256: str
    survey: str
    morphology: str
    verdict: str
    simulated: bool = False
    answer: GivenAnswer | None = None


def majority_answer(labels: Sequence[dict[str, Any]]) -> GivenAnswer | None:
    """The answer of most people, each by his last one; the newest of equally many; None where all took theirs back."""
    standing: dict[str, dict[str, Any]] = {}
    for label in labels:
        standing.pop(label["user"], None)
        if label["answer"]:
            standing[label["user"]] = label
    if not standing:
        return None
    votes: dict[str, int] = {}
    for label in standing.values():
        votes[label["answer"]] = votes.get(label["answer"], 0) + 1
    # The last given one comes last, so that the newest of equally many wins.
    best = max(enumerate(standing.values()), key=lambda each: (votes[each[1]["answer"]], each[0]))[1]
    people = len(standing) if len(votes) == 1 else 1
    return GivenAnswer(Answer(best["answer"]), best["user"], best["recorded_at"], best["label_id"], people)


class ArchiveReader:
    """Reads images of the archive into a folder.

    Args:
        records: The record store.
        images: The image store.
        folder: Cutouts are written to it; one that is there is not fetched again.
    """

    def __init__(self, records: RecordStore, images: ImageStore, folder: Path) -> None:
        self._records = records
        self._images = images
        self._folder = folder

    async def labelled(self) -> list[ArchiveImage]:
        """The newest answered images that are no injections."""
        query = Query(
            where=(Clause("label", "in", [answer.value for answer in Answer]),),
            order=Order("labeled_at", descending=True),
            limit=_PAGE,
            fields=_FIELDS,
        )
        found: list[ArchiveImage] = []
        async for page in pages(self._records, Collection.IMAGES, query):
            found += await self._fetch([each for each in page if _usable(each)])
            if len(found) >= MAX_LABELLED:
                break
        return found[:MAX_LABELLED]

    async def unanswered(self, max_per_survey: int) -> list[ArchiveImage]:
        """A random sample of the images that nobody answered, of each survey apart.

        Ids are digests, so that the order of a hash of them is a random one, and the same at every call.
        """
        surveys = await self._records.tally(Collection.IMAGES, "survey_verdict")
        found: list[ArchiveImage] = []
        for survey in sorted({key[0] for key in surveys if key[0]}):
            total = sum(count for key, count in surveys.items() if key[0] == survey)
            found += await self._of_survey(survey, total, max_per_survey)
        return found

    async def _of_survey(self, survey: str, total: int, limit: int) -> list[ArchiveImage]:
        query = Query(
            where=(Clause("observation.survey", "eq", survey),),
            order=Order("ingested_at", descending=True),
            limit=_PAGE,
            fields=_FIELDS,
        )
        # Newest first, thinned by a hash: a large archive is read as far as its newest tens of thousands.
        share = min(1.0, 2.0 * limit / max(total, 1))
        share = max(share, 0.05)
        chosen: list[Document] = []
        async for page in pages(self._records, Collection.IMAGES, query):
            chosen += [each for each in page if _is_replay(each) and _draw(each["image_id"]) < share]
            if len(chosen) >= limit:
                break
        found: list[ArchiveImage] = []
        for start in range(0, min(len(chosen), limit), _PAGE):
            found += await self._fetch(chosen[start : start + _PAGE][: limit - start])
        return found

    async def _fetch(self, documents: Sequence[Document]) -> list[ArchiveImage]:
        """Write the cutouts of some images; one that is missing or damaged is left out."""
        self._folder.mkdir(parents=True, exist_ok=True)
        paths = {each["image_id"]: self._folder / f"{each['image_id']}.jpg" for each in documents}
        missing = [image for image, path in paths.items() if not path.is_file()]
        contents = await self._images.get_many([cutout_key(image) for image in missing])
        for image in missing:
            if (content := contents.get(cutout_key(image))) is not None:
                unfinished = paths[image].with_suffix(".part")
                unfinished.write_bytes(content)
                unfinished.replace(paths[image])
        found = []
        for document in documents:
            image, path = document["image_id"], paths[document["image_id"]]
            digest = content_digest(path.read_bytes()) if path.is_file() else None
            if digest != document["cutout"]["sha256"]:
                _log.warning("an image is left out: its cutout is missing or damaged", image_id=image)
                continue
            found.append(_image(document, path))
        return found


def _image(document: Document, path: Path) -> ArchiveImage:
    return ArchiveImage(
        image_id=document["image_id"],
        path=path,
        sha256=document["cutout"]["sha256"],
        survey=document["observation"]["survey"],
        morphology=document["predicted_class"] or "",
        verdict=document["verdict"],
        simulated=bool(document["observation"].get("simulated")),
        answer=majority_answer(document["labels"] or ()),
    )


def _is_replay(document: Document) -> bool:
    """The simulated sky is drawn anew, with its truth: what the archive has of it is not needed."""
    return _usable(document) and not document["label"] and not document["observation"].get("simulated")


def _usable(document: Document) -> bool:
    """Injections never teach: they are simulated oddities that measure the live recall."""
    return document["state"] == ImageState.ANALYZED and not document["observation"].get("injected")


def _draw(image_id: str) -> float:
    return int.from_bytes(hashlib.sha256(f"replay/{image_id}".encode()).digest()[:8], "big") / 2.0**64
