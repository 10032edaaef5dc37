"""Analysis of a batch of cutouts: decode, run the backbone, score."""

import io
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from astrolens.contracts.patch_maps import PATCHES_TAP
from astrolens.inference.backbone import Backbone
from astrolens.inference.patch_graph import PatchGraph
from astrolens.science.bundle import Bundle
from astrolens.science.density import Taps
from astrolens.science.preprocessing import preprocess_picture
from astrolens.science.scoring import ImageScores, Scorer
from astrolens.science.survey_scoring import NO_SURVEY_CALIBRATIONS, SurveyCalibrations, SurveyScorer

MAX_CUTOUT_BYTES: Final = 1 << 20
"""A cutout of 256 x 256 pixels takes at most some 100 kB; this is ten times that."""
MAX_CUTOUT_SIDE: Final = 1024
"""Pixels; a small JPEG may unpack into gigabytes."""


class ItemErrorCode(StrEnum):
    """Why an image cannot be analysed."""

    UNDECODABLE = "undecodable"
    TOO_LARGE = "too_large"
    INVALID = "invalid"
    NOT_FINITE = "not_finite"


@dataclass(frozen=True, slots=True)
class Item:
    """A cutout to analyse.

    Attributes:
        image_id: 32 hexadecimal digits, or empty: not indexed.
        survey: Chooses the calibration.
        jpeg: The cutout.
    """

    image_id: str
    survey: str
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class ItemResult:
    """Scores and embedding of a cutout; `embedding` is little-endian float16 [d].

    `calibration_id` names the calibration that the scores are measured with.
    """

    scores: ImageScores
    embedding: bytes
    calibration_id: str


@dataclass(frozen=True, slots=True)
class ItemError:
    """Why a cutout cannot be analysed."""

    code: ItemErrorCode
    detail: str


Outcome = ItemResult | ItemError


StepTimer = Callable[[str], AbstractContextManager[object]]
"""Times the step that is named: decode, backbone or score."""


class Engine:
    """A pure function of cutout, bundle, survey models and budget; threads may share it.

    Args:
        bundle: A checked bundle.
        scorer: Of that bundle.
        backbone: Of that bundle.
        step_timer: Times the steps of a batch.
    """

    def __init__(
        self, *, bundle: Bundle, scorer: Scorer, backbone: Backbone, step_timer: StepTimer | None = None
    ) -> None:
        self._spec = bundle.preprocessing
        self._scorer = SurveyScorer(scorer)
        self._backbone = backbone
        self._patches = PatchGraph(bundle)
        self._step_timer = step_timer or nullcontext
        self._calibrations = NO_SURVEY_CALIBRATIONS

    def serve(self, calibrations: SurveyCalibrations) -> dict[str, str]:
        """Judge by these survey models from the next batch on; return the calibration id of each survey."""
        self._calibrations = calibrations
        return self._scorer.calibration_ids(calibrations)

    def extract_taps(self, items: Sequence[Item], wanted: Sequence[str]) -> tuple[list[str], Taps]:
        """Ids [n] and the wanted feature maps, each [n, d], of the cutouts that can be read.

        All are pooled, but `PATCHES_TAP`, which a graph of its own gives.
        """
        read = [(item.image_id, self._read(item)) for item in items]
        usable = [(image, pixels) for image, pixels in read if not isinstance(pixels, ItemError)]
        if not usable:
            return [], {}
        pixels = np.stack([own for _, own in usable])
        taps: dict[str, NDArray[Any]] = {}
        if pooled := [name for name in wanted if name != PATCHES_TAP]:
            given = self._backbone.run(pixels).taps
            taps = {name: given[name] for name in pooled if name in given}
        if PATCHES_TAP in wanted:
            taps[PATCHES_TAP] = self._patches.run(pixels)
        finite = np.ones(len(usable), dtype=bool)
        for values in taps.values():
            finite &= np.isfinite(values).all(axis=1)
        ids = [image for (image, _), good in zip(usable, finite, strict=True) if good]
        return ids, {name: values[finite] for name, values in taps.items()}

    def analyze(self, items: Sequence[Item]) -> list[Outcome]:
        """One outcome an item, in their order."""
        outcomes: list[Outcome | None] = [None] * len(items)
        # Read once: another thread may replace them.
        calibrations = self._calibrations
        rows: dict[bool, list[int]] = {False: [], True: []}
        pixels: dict[bool, list[NDArray[np.uint8]]] = {False: [], True: []}
        with self._step_timer("decode"):
            for position, item in enumerate(items):
                # A survey model reads every tap, the bundle's own detectors some.
                by_model = item.survey in calibrations.models
                read = self._read(item, None if by_model else self._backbone.views)
                if isinstance(read, ItemError):
                    outcomes[position] = read
                else:
                    rows[by_model].append(position)
                    pixels[by_model].append(read)
        for by_model, own in rows.items():
            if own:
                surveys = [items[row].survey for row in own]
                scored = self._score(np.stack(pixels[by_model]), surveys, calibrations, all_taps=by_model)
                for row, outcome in zip(own, scored, strict=True):
                    outcomes[row] = outcome
        return [outcome for outcome in outcomes if outcome is not None]

    def _read(self, item: Item, places: Collection[int] | None = None) -> NDArray[np.uint8] | ItemError:
        if not item.jpeg:
            return ItemError(ItemErrorCode.INVALID, "the cutout has no bytes")
        if len(item.jpeg) > MAX_CUTOUT_BYTES:
            return ItemError(ItemErrorCode.TOO_LARGE, f"{len(item.jpeg)} bytes, more than {MAX_CUTOUT_BYTES}")
        try:
            with Image.open(io.BytesIO(item.jpeg), formats=["JPEG"]) as picture:
                # The header alone is read until here.
                width, height = picture.size
                if max(width, height) > MAX_CUTOUT_SIDE:
                    return ItemError(
                        ItemErrorCode.TOO_LARGE, f"{width} x {height} pixels, more than {MAX_CUTOUT_SIDE} a side"
                    )
                # A conversion to the same mode would copy.
                rgb = picture if picture.mode == "RGB" else picture.convert("RGB")
                return preprocess_picture(rgb, self._spec, places=places)
        except UnidentifiedImageError:
            return ItemError(ItemErrorCode.UNDECODABLE, "the cutout is no JPEG")
        except Exception as error:  # noqa: BLE001 - one bad cutout must not fail the whole batch
            return ItemError(ItemErrorCode.UNDECODABLE, f"{type(error).__name__}: {error}"[:200])

    def _score(
        self, pixels: NDArray[np.uint8], surveys: list[str], calibrations: SurveyCalibrations, *, all_taps: bool
    ) -> list[Outcome]:
        with self._step_timer("backbone"):
            features = self._backbone.run(pixels, all_taps=all_taps)
        with np.errstate(over="ignore"):
            halves = features.embedding.astype("<f2")
        finite = np.isfinite(halves).all(axis=1)
        for values in (features.logits, features.kind_logits, *features.taps.values()):
            if values is not None:
                finite &= np.isfinite(values).all(axis=1)
        if len(pixels) == 1:
            # Sums over a single row may go in another order than over many, as in the backbone.
            features, surveys = features.rows(np.array([0, 0])), surveys * 2
        with self._step_timer("score"):
            scored = self._scorer.score(features, surveys, calibrations)
        return [
            ItemResult(scored[row].scores, halves[row].tobytes(), scored[row].calibration_id)
            if finite[row]
            else ItemError(ItemErrorCode.NOT_FINITE, "the model's answer is not finite")
            for row in range(len(pixels))
        ]
