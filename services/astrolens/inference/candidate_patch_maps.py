"""Maps where candidates are strange, after their analysis, a few at a time, off the way of every other image."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, Protocol

import structlog

from astrolens.contracts.base import utc_now
from astrolens.contracts.patch_maps import PATCHES_TAP, PatchMap, patch_cells
from astrolens.inference.candidate_search import CandidateSearch
from astrolens.inference.patch_codebooks import CutoutOfImage, PatchCodebooks
from astrolens.inference.survey_models.features import FeatureReader, ModelChanged
from astrolens.platform.errors import ModelUnavailable
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change, Clause, Document, RecordStore
from astrolens.rpc.messages import Description
from astrolens.science.patch_codebook import PATCH_MAP_VERSION, PatchCodebook

_BATCH: Final = 32
"""Images of a pass: half a second of processor time."""
_NOT_MAPPED: Final = Clause("patch_map.model_digest", "exists", value=False)

logger = structlog.get_logger(__name__)


class Describer(Protocol):
    """The model server, as far as this needs it."""

    async def describe(self) -> Description:
        """What model is loaded.

        Raises:
            ModelUnavailable: No server answers.
        """


class CandidatePatchMaps:
    """Finds analysed candidates without a map, the newest first, maps them and records the result.

    A map belongs to an analysis: another analysis of the image removes it, and it is made again. Each is made once,
    whatever comes out; the record is written only where there is none yet and the analysis is still that of the bundle.

    Args:
        records: The record store.
        model: Describes the model in use.
        features: Describes patches.
        codebooks: Ordinary patches of each survey.
        clock: Gives the present time, UTC.
    """

    def __init__(
        self,
        *,
        records: RecordStore,
        model: Describer,
        features: FeatureReader,
        codebooks: PatchCodebooks,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._records = records
        self._model = model
        self._features = features
        self._codebooks = codebooks
        self._clock = clock
        self._search = CandidateSearch(
            records,
            lacking=_NOT_MAPPED,
            fields=("cutout.key", "cutout.sha256", "observation.survey"),
            clock=clock,
        )

    async def run_pass(self) -> int:
        """Map at most one batch; return how many were recorded.

        Raises:
            StoreUnavailable: A store is unreachable; the next pass goes on.
        """
        try:
            described = await self._model.describe()
            if PATCHES_TAP not in described.taps:
                return 0
            return await self._map_batch(described.digest)
        except (ModelUnavailable, ModelChanged):
            return 0  # The readiness check says so; the next pass finds the same candidates.

    async def _map_batch(self, model_digest: str) -> int:
        waiting = await self._search.newest(_BATCH, Clause("analysis.model_digest", "eq", model_digest))
        by_survey: dict[str, list[Document]] = defaultdict(list)
        for document in waiting:
            by_survey[document["observation"]["survey"]].append(document)
        recorded = 0
        for survey, documents in by_survey.items():
            codebook = await self._codebooks.of(survey, model_digest=model_digest)
            if codebook is None:
                # Not even all surveys together have enough ordinary images yet.
                break
            recorded += await self._map(documents, codebook, model_digest)
        if recorded:
            logger.info("candidates mapped", images=recorded)
        return recorded

    async def _map(self, documents: Sequence[Document], codebook: PatchCodebook, model_digest: str) -> int:
        cutouts = [CutoutOfImage.of(document) for document in documents]
        ids, taps = await self._features.read(cutouts, taps=(PATCHES_TAP,), model_digest=model_digest)
        mapped = await asyncio.to_thread(codebook.units, taps[PATCHES_TAP]) if ids else ()
        values = dict(zip(ids, (own.ravel().tolist() for own in mapped), strict=True))
        changes = [
            Change(
                id=cutout.image_id,
                set={"patch_map": self._record(values.get(cutout.image_id), codebook).model_dump(mode="json")},
                when=(_NOT_MAPPED, Clause("analysis.model_digest", "eq", model_digest)),
            )
            for cutout in cutouts
        ]
        return len(await self._records.apply(Collection.IMAGES, changes))

    def _record(self, units: list[float] | None, codebook: PatchCodebook) -> PatchMap:
        cells, strangest = patch_cells(units) if units is not None else (None, None)
        return PatchMap(
            version=PATCH_MAP_VERSION,
            model_digest=codebook.manifest.model_digest,
            codebook=codebook.digest,
            codebook_survey=codebook.manifest.survey,
            codebook_images=codebook.manifest.images,
            detail=None if units is not None else "the cutout is missing, changed, or cannot be read",
            cells=cells,
            strangest=strangest,
            measured_at=self._clock(),
        )
