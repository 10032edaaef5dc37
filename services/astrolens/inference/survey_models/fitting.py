"""Fits the survey model of one survey and stores its bytes.

A revision is a function of the bundle and of the images: doing it twice gives the same bytes under the same key.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from astrolens.contracts.base import utc_now
from astrolens.contracts.ids import content_digest
from astrolens.contracts.survey_models import MAX_STRANGEST, SurveyRevision
from astrolens.inference.survey_models.features import FeatureReader, Taps
from astrolens.inference.survey_models.images import SurveyImage
from astrolens.platform.errors import PermanentError
from astrolens.platform.stores.images import ImageStore, survey_model_key
from astrolens.science.density import DensityEntry
from astrolens.science.survey_model import RECIPE, SurveyModel, fit_survey_model

_MIN_SHARE: Final = 0.9
"""Of the images needed: a few cutouts may be missing or damaged."""


class CannotFit(PermanentError):
    """The images of a survey allow no survey model."""

    def __init__(self, survey: str, why: str) -> None:
        super().__init__("cannot-fit", f"no survey model of {survey}: {why}")


@dataclass(frozen=True)
class FittedRevision:
    """A revision whose bytes are stored, and the strangest of its images, the strangest first."""

    revision: SurveyRevision
    strangest: tuple[str, ...]


class SurveyModelFitter:
    """Fits survey models, one at a time, in a thread.

    Args:
        images: The image store.
        features: Feature maps of images.
        images_needed: Images that a survey model is fitted on.
        recipe: The detectors of a survey model; those of the science by default.
        clock: The present time.
    """

    def __init__(
        self,
        *,
        images: ImageStore,
        features: FeatureReader,
        images_needed: int,
        recipe: Sequence[DensityEntry] | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._images = images
        self._features = features
        self._recipe = tuple(RECIPE if recipe is None else recipe)
        self._clock = clock
        self.images_needed = images_needed
        self.taps = tuple(sorted({tap for entry in self._recipe for tap in entry.taps}))
        """The feature maps that a fit reads."""

    async def fit(self, survey: str, wanted: Sequence[SurveyImage], *, model_digest: str) -> FittedRevision:
        """Fit on images of a survey, without those that a person called strange, and store the bytes.

        Raises:
            CannotFit: Too few of the images can be used.
            StoreUnavailable: The image store is unreachable.
            ModelUnavailable: The model server does not answer.
            ModelChanged: It has another bundle by now.
        """
        odd = tuple(sorted(image.image_id for image in wanted if image.is_strange))
        ids, taps = await self._features.read(wanted, taps=self.taps, model_digest=model_digest)
        try:
            model, data = await asyncio.to_thread(self._fit, survey, ids, taps, odd, model_digest)
        except ValueError as error:
            raise CannotFit(survey, str(error)) from error
        key = survey_model_key(content_digest(data))
        await self._store(key, data)
        revision = SurveyRevision(
            digest=model.digest,
            key=key,
            size_bytes=len(data),
            model_digest=model_digest,
            images=model.manifest.images,
            images_digest=model.manifest.image_ids_digest,
            excluded=odd,
            format=model.manifest.format,
            fitted_at=self._clock(),
        )
        return FittedRevision(revision, tuple(model.strangest_images(MAX_STRANGEST)))

    async def is_intact(self, revision: SurveyRevision) -> bool:
        """Whether the bytes of a revision are what was stored.

        Raises:
            StoreUnavailable: The image store is unreachable.
        """
        found = await self._images.get_many([revision.key])
        return content_digest(found.get(revision.key, b"")) == revision.key.rpartition("/")[2]

    def _fit(
        self, survey: str, ids: Sequence[str], taps: Taps, odd: Sequence[str], model_digest: str
    ) -> tuple[SurveyModel, bytes]:
        model = fit_survey_model(
            taps,
            survey=survey,
            model_digest=model_digest,
            image_ids=ids,
            odd_ids=odd,
            recipe=self._recipe,
            minimum_images=int(_MIN_SHARE * self.images_needed),
        )
        return model, model.to_bytes()

    async def _store(self, key: str, data: bytes) -> None:
        """Store the bytes; what lies damaged under their key is replaced."""
        found = await self._images.get_many([key])
        if key not in found and await self._images.exists(key):
            await self._images.delete([key])
        await self._images.put(key, data, media_type="application/octet-stream")
