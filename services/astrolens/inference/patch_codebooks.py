"""The patch codebook of each survey: read from the image store, or fitted on the archive's ordinary images."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import structlog

from astrolens.contracts.patch_maps import PATCHES_TAP
from astrolens.contracts.records import Answer
from astrolens.contracts.verdicts import Verdict
from astrolens.inference.survey_models.features import FeatureReader
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import ImageStore, patch_codebook_key
from astrolens.platform.stores.paging import pages
from astrolens.platform.stores.records import Clause, Document, Order, Query, RecordStore
from astrolens.science.calibration import POOLED
from astrolens.science.patch_codebook import (
    MAX_IMAGES,
    MIN_IMAGES,
    PatchCodebook,
    PatchCodebookDamaged,
    fit_patch_codebook,
)

_CACHE_SIZE: Final = 8
"""Codebooks in memory, each of some 700 kB."""
_PAGE: Final = 200
_MAX_READ: Final = 2 * MAX_IMAGES
"""Documents read for a codebook: people may have called some of them strange."""
_STRANGE: Final = frozenset({Answer.INTERESTING.value, Answer.ARTEFACT.value})
_FIELDS: Final = ("label", "cutout.key", "cutout.sha256")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class CutoutOfImage:
    """Where the cutout of an image lies, and its digest."""

    image_id: str
    cutout_key: str
    cutout_sha256: str

    @classmethod
    def of(cls, document: Document) -> "CutoutOfImage":
        """Of the document of an image."""
        cutout = document["cutout"]
        return cls(document["image_id"], cutout["key"], cutout["sha256"])


class PatchCodebooks:
    """Gives the codebook of a survey; one with too few ordinary images has the one of all surveys.

    A codebook of 100 images is followed by one of 300, when so many are there; neither changes later.

    Args:
        records: The record store.
        images: The image store.
        features: Describes patches.
        min_images: Ordinary images that the smaller codebook needs.
        max_images: Those of the larger.
    """

    def __init__(
        self,
        *,
        records: RecordStore,
        images: ImageStore,
        features: FeatureReader,
        min_images: int = MIN_IMAGES,
        max_images: int = MAX_IMAGES,
    ) -> None:
        self._records = records
        self._images = images
        self._features = features
        self._sizes = (max_images, min_images)
        self._kept: OrderedDict[str, PatchCodebook] = OrderedDict()

    async def of(self, survey: str, *, model_digest: str) -> PatchCodebook | None:
        """The codebook of a survey under a bundle; None while the archive holds too few ordinary images.

        Raises:
            StoreUnavailable: A store is unreachable.
            ModelUnavailable: The model server does not answer.
            ModelChanged: It has another bundle by now.
        """
        for name in (survey, POOLED):
            largest = patch_codebook_key(model_digest, name, self._sizes[0])
            if largest in self._kept:
                return self._kept[largest]
            ordinary = await self._ordinary(name, model_digest)
            for size in self._sizes:
                if len(ordinary) >= size:
                    return await self._get(name, ordinary[:size], model_digest)
        return None

    async def _get(self, survey: str, ordinary: list[CutoutOfImage], model_digest: str) -> PatchCodebook:
        key = patch_codebook_key(model_digest, survey, len(ordinary))
        made = self._kept.get(key) or await self._stored(key) or await self._fit(key, survey, ordinary, model_digest)
        self._kept[key] = made
        while len(self._kept) > _CACHE_SIZE:
            self._kept.popitem(last=False)
        return made

    async def _stored(self, key: str) -> PatchCodebook | None:
        data = (await self._images.get_many([key])).get(key)
        if data is None:
            return None
        try:
            return PatchCodebook.from_bytes(data)
        except PatchCodebookDamaged as error:
            _log.warning("a damaged patch codebook is fitted again", key=key, error=str(error))
            await self._images.delete([key])
            return None

    async def _fit(self, key: str, survey: str, ordinary: list[CutoutOfImage], model_digest: str) -> PatchCodebook:
        ids, taps = await self._features.read(ordinary, taps=(PATCHES_TAP,), model_digest=model_digest)
        made = await asyncio.to_thread(
            fit_patch_codebook, taps[PATCHES_TAP], survey=survey, model_digest=model_digest, image_ids=ids
        )
        await self._images.put(key, made.to_bytes(), media_type="application/octet-stream")
        _log.info("patch codebook fitted", survey=survey, images=len(ids), model_digest=model_digest[:16])
        return made

    async def _ordinary(self, survey: str, model_digest: str) -> list[CutoutOfImage]:
        """The newest ordinary images of a survey, or of all, that no person called strange, without injections."""
        # The survey first: an engine that takes the first condition with an index reads fewest images by this one.
        where = [] if survey == POOLED else [Clause("observation.survey", "eq", survey)]
        where += [
            Clause("verdict", "eq", Verdict.ORDINARY.value),
            Clause("analysis.model_digest", "eq", model_digest),
            Clause("observation.injected", "ne", value=True),
        ]
        query = Query(where=tuple(where), order=Order("ingested_at", descending=True), limit=_PAGE, fields=_FIELDS)
        found: list[CutoutOfImage] = []
        read = 0
        async for page in pages(self._records, Collection.IMAGES, query):
            found += [CutoutOfImage.of(each) for each in page if each.get("label") not in _STRANGE]
            read += len(page)
            if len(found) >= self._sizes[0] or read >= _MAX_READ:
                break
        return found
