"""A survey model: what is ordinary in a survey that the bundle was not trained on, learned from its own images.

From the pooled feature maps of some 300 images of the survey, unlabelled and with oddities among them, density
detectors and their calibration are fitted. The result is one immutable revision: the verdict of an image is a pure
function of the image, the bundle and the revision.

The images of the fit are ordinary images of the survey too, and people look at their verdicts. Their features are among
the references, so that the fit would say something else of them than of a new image. They are recognised by their
features, as are copies of them, and have the score that the cross-fitting gave them, ranked among the others. The
cross-fitted scores are exchangeable, so that this is a conformal p-value too, of n - 1 images instead of n.

What it promises: a ranking, and verdicts at a budget of 5 % false alarms (`BUDGET`). The calibration images are not
known to be ordinary; the strangest of them, which are the odd ones, make up the first per cent, so that hardly
anything is found at a budget of 1 %. A person who looks at the strangest images (`SurveyModel.strangest_images`) and
names the odd ones (`odd_ids` of `fit_survey_model`) about doubles what is found.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from astrolens.contracts.base import Contract, Slug
from astrolens.contracts.ids import content_digest
from astrolens.science.bundle import ArraysDamaged, arrays_from_bytes, arrays_to_bytes
from astrolens.science.calibration import COMBINED, ScoreCalibration
from astrolens.science.density import (
    FITTED_ARRAYS,
    DensityEntry,
    NeighbourDensity,
    SurveyDetector,
    Taps,
    fit_detector,
    load_detector,
)

Floats = NDArray[np.float64]

MINIMUM_IMAGES: Final = 300
"""Images of its own that a survey needs: with 100 the ranking is slightly worse, and p-values end at 1/101."""
BUDGET: Final = 0.05
"""The smallest budget of false alarms at which a survey model promises verdicts."""
FORMAT: Final = 2
"""Since 2 a model recognises its own images. One of format 1 is fitted again; until then it judges as it did."""
FOLDS: Final = 10
"""Parts of the cross-fitting. Each image is scored by detectors that were fitted on the other nine tenths."""

RECIPE: Final[tuple[DensityEntry, ...]] = (
    DensityEntry(name="appearance-density", taps=("frame_asymmetry", "object_asymmetry", "object_embedding")),
)
"""The detectors of a survey model; their scores are added in robust units.

One is enough: see decision 0014.
"""

_MANIFEST: Final = "manifest"
_MAX_BYTES: Final = 64 << 20
"""A model of 300 images takes about half a megabyte."""


class TooFewImages(ValueError):
    """A survey has too few images of its own for a model."""

    def __init__(self, survey: str, images: int, needed: int) -> None:
        super().__init__(
            f"survey {survey} has {images} images to learn from, and a survey model needs {needed}: "
            "wait until more of its images have been analysed"
        )
        self.images = images
        self.needed = needed


class SurveyModelDamaged(Exception):
    """The bytes are not an intact survey model; the message says why."""


class SurveyModelManifest(Contract):
    """Facts about a survey model, and the digests of its arrays. The SHA-256 of its JSON is the revision id."""

    format: Literal[1, 2] = FORMAT
    survey: Slug
    model_digest: str = Field(description="The bundle whose taps it reads.")
    images: int = Field(ge=1, description="Images that it was fitted and calibrated on.")
    dropped: int = Field(ge=0, description="Images left out because a person called them odd.")
    image_ids_digest: str = Field(description="SHA-256 of the sorted ids of those images, one a line.")
    seed: int
    folds: int = Field(ge=2)
    detectors: tuple[DensityEntry, ...] = Field(min_length=1)
    arrays: dict[str, str] = Field(description="SHA-256 of each array, stored as `.npy`.")


@dataclass(frozen=True)
class SurveyScores:
    """What a survey model says of n images.

    Attributes:
        scores: Score [n] of each detector in robust units: 0 at the median of the survey's images, 1 at their
            84 % quantile.
        detector_p_values: p-values [n] of each detector.
        combined: Sum of the detectors' scores [n].
        p_value: Conformal p-values [n] of the sum, never below 1/(calibration_images + 1).
        at_most: [n] True where no calibration image is as strange: read the p-value as an upper bound.
        calibration_images: [n] Images that the image is compared with: all of the model's, or all others.
        rank_score: [n] For ranking only, larger is stranger; it goes on growing where the p-value has ended.
    """

    scores: dict[str, Floats]
    detector_p_values: dict[str, Floats]
    combined: Floats
    p_value: Floats
    at_most: NDArray[np.bool_]
    calibration_images: NDArray[np.intp]
    rank_score: Floats


@dataclass(frozen=True)
class SurveyModel:
    """Fitted density detectors of one survey with their calibration.

    Attributes:
        manifest: Facts and digests.
        image_ids: Ids of the images that it was fitted on, sorted.
        detectors: In the order of the manifest.
        calibration: Cross-fitted scores [images] of each detector, in the order of `image_ids`.
    """

    manifest: SurveyModelManifest
    image_ids: tuple[str, ...] = field(repr=False)
    detectors: tuple[SurveyDetector, ...] = field(repr=False)
    calibration: Mapping[str, Floats] = field(repr=False)

    @cached_property
    def digest(self) -> str:
        """The revision id: SHA-256 of the manifest, which has the digests of all arrays."""
        return content_digest(_manifest_json(self.manifest))

    def score(self, taps: Taps) -> SurveyScores:
        """Score n images; the result of one does not depend on the others.

        An image of the fit, or a copy of one, has its cross-fitted score and is compared with the others.

        Args:
            taps: Pooled feature maps of the bundle `manifest.model_digest`, each [n, d].

        Raises:
            ValueError: A tap is missing or has the wrong shape.
        """
        compared = {detector.entry.name: detector.compare(taps) for detector in self.detectors}
        scores = {name: _robust_units(found.scores, self.calibration[name]) for name, found in compared.items()}
        own = self._own_rows([found.copy_of for found in compared.values()])
        is_own = own >= 0
        for name, values in scores.items():
            values[is_own] = self._calibration_scores[name][own[is_own]]
        combined = _sum(scores)
        made = SurveyScores(
            scores=scores,
            detector_p_values={name: np.empty_like(combined) for name in scores},
            combined=combined,
            p_value=np.empty_like(combined),
            at_most=np.empty(combined.shape, dtype=np.bool_),
            calibration_images=np.empty(combined.shape, dtype=np.intp),
            rank_score=np.empty_like(combined),
        )
        for row in np.unique(own):
            chosen = own == row
            calibrations = self._calibrations_for(int(row))
            for name, values in scores.items():
                made.detector_p_values[name][chosen] = calibrations[name].p_values(values[chosen])
            calibration = calibrations[COMBINED]
            made.p_value[chosen] = calibration.p_values(combined[chosen])
            made.at_most[chosen] = calibration.beyond(combined[chosen])
            made.calibration_images[chosen] = len(calibration.scores)
            made.rank_score[chosen] = calibration.rank_scores(combined[chosen])
        return made

    def _own_rows(self, copies: Sequence[NDArray[np.intp]]) -> NDArray[np.intp]:
        """[n] row of `image_ids` that an image is, or is a copy of, -1 where none; the first detector that knows it."""
        own = np.full_like(copies[0], -1)
        if self.manifest.format >= FORMAT:
            for found in copies:
                own = np.where(own >= 0, own, found)
        return own

    def strangest_images(self, count: int = 40) -> list[str]:
        """Ids of its own images by falling strangeness: those that a person should look at."""
        order = np.argsort(-self._calibration_scores[COMBINED], kind="stable")
        return [self.image_ids[row] for row in order[:count]]

    @cached_property
    def _calibration_scores(self) -> dict[str, Floats]:
        """Cross-fitted scores of its own images in robust units, of each detector and combined."""
        scores = {name: _robust_units(values, values) for name, values in self.calibration.items()}
        return {**scores, COMBINED: _sum(scores)}

    @cached_property
    def _calibrations(self) -> dict[str, ScoreCalibration]:
        return {name: ScoreCalibration(np.sort(values)) for name, values in self._calibration_scores.items()}

    def _calibrations_for(self, own: int) -> dict[str, ScoreCalibration]:
        """What an image is compared with: all images, or where it is one of them, in row `own`, all others."""
        if own < 0:
            return self._calibrations
        return {
            name: ScoreCalibration(np.sort(np.delete(values, own))) for name, values in self._calibration_scores.items()
        }

    def to_bytes(self) -> bytes:
        """An `.npz` archive without pickle; equal models give equal bytes."""
        manifest = np.frombuffer(_manifest_json(self.manifest), dtype=np.uint8)
        return arrays_to_bytes({**_arrays(self.image_ids, self.detectors, self.calibration), _MANIFEST: manifest})

    @classmethod
    def from_bytes(cls, data: bytes, *, expected_digest: str | None = None) -> Self:
        """Read and check a model.

        Args:
            data: What `to_bytes` gave.
            expected_digest: The revision id that it must have, if known.

        Raises:
            SurveyModelDamaged: The bytes are malformed or changed, or are another revision.
        """
        try:
            arrays = dict(arrays_from_bytes(data, limit=_MAX_BYTES))
            text = arrays.pop(_MANIFEST).astype(np.uint8).tobytes()
            manifest = SurveyModelManifest.model_validate_json(text)
        except (ArraysDamaged, KeyError, ValidationError, ValueError) as error:
            raise SurveyModelDamaged("survey model: the bytes are no archive with a valid manifest") from error
        digest = content_digest(text)
        if expected_digest is not None and digest != expected_digest:
            raise SurveyModelDamaged(f"survey model: it is revision {digest}, not {expected_digest} as was asked for")
        if _digests(arrays) != manifest.arrays:
            raise SurveyModelDamaged(f"survey model {digest}: its arrays are not those that the manifest names")
        try:
            detectors = tuple(load_detector(entry, _group(arrays, entry.name)) for entry in manifest.detectors)
            calibration = {
                entry.name: np.asarray(arrays[f"{entry.name}.calibration"], dtype=np.float64)
                for entry in manifest.detectors
            }
            image_ids = tuple(arrays["image_ids"].tobytes().decode().splitlines())
        except (KeyError, ValueError) as error:
            raise SurveyModelDamaged(f"survey model {digest}: its arrays do not fit: {error}") from error
        if any(values.shape != (len(image_ids),) for values in calibration.values()):
            raise SurveyModelDamaged(f"survey model {digest}: it has not one calibration score for each image")
        references = [each.references for each in detectors if isinstance(each, NeighbourDensity)]
        if any(len(values) != len(image_ids) for values in references):
            raise SurveyModelDamaged(f"survey model {digest}: it has not one reference for each image")
        model = cls(manifest=manifest, image_ids=image_ids, detectors=detectors, calibration=calibration)
        if model.to_bytes() != data:
            raise SurveyModelDamaged(f"survey model {digest}: its bytes are not those that were written")
        return model


def fit_survey_model(
    taps: Taps,
    *,
    survey: str,
    model_digest: str,
    image_ids: Sequence[str],
    odd_ids: Collection[str] = (),
    recipe: Sequence[DensityEntry] = RECIPE,
    minimum_images: int = MINIMUM_IMAGES,
    seed: int = 0,
) -> SurveyModel:
    """Fit density detectors on a survey's own images, and calibrate them on the same images by cross-fitting.

    The result depends on the images and the seed only, not on the order in which they are given.

    Args:
        taps: Pooled feature maps, each [n, d], of n images of the survey as they come, oddities among them.
        survey: Its name.
        model_digest: The bundle that computed the taps.
        image_ids: Ids of the n images.
        odd_ids: Images that a person called odd: neither references nor calibration.
        recipe: The detectors.
        minimum_images: Images that are needed; a third of them may be dropped as odd.
        seed: Of the folds.

    Raises:
        TooFewImages: There are fewer than `minimum_images`, or fewer than two thirds of that after dropping.
        ValueError: A tap is missing or has another number of rows, a value is not finite, or an id is repeated.
    """
    if len(image_ids) < minimum_images:
        raise TooFewImages(survey, len(image_ids), minimum_images)
    kept = sorted((image, row) for row, image in enumerate(image_ids) if image not in odd_ids)
    if 3 * len(kept) < 2 * minimum_images:
        raise TooFewImages(survey, len(kept), -(-2 * minimum_images // 3))
    ids = tuple(image for image, _ in kept)
    if len(set(ids)) != len(ids):
        raise ValueError(f"an image of survey {survey} is given twice: give each id once")
    own = _own_taps(taps, recipe, len(image_ids), np.array([row for _, row in kept]))
    _check_finite(own, ids)
    detectors = [fit_detector(own, entry) for entry in recipe]
    calibration = {entry.name: _cross_fitted(own, entry, len(ids), seed) for entry in recipe}
    arrays = _arrays(ids, detectors, calibration)
    manifest = SurveyModelManifest(
        survey=survey,
        model_digest=model_digest,
        images=len(ids),
        dropped=len(image_ids) - len(ids),
        image_ids_digest=content_digest(_lines(ids)),
        seed=seed,
        folds=FOLDS,
        detectors=tuple(recipe),
        arrays=_digests(arrays),
    )
    return SurveyModel(manifest=manifest, image_ids=ids, detectors=tuple(detectors), calibration=calibration)


def _own_taps(taps: Taps, recipe: Sequence[DensityEntry], images: int, rows: NDArray[np.intp]) -> dict[str, Floats]:
    """The chosen rows of the taps that the recipe reads."""
    names = sorted({tap for entry in recipe for tap in entry.taps})
    missing = [name for name in names if name not in taps]
    if missing:
        raise ValueError(f"the survey model needs the tap {missing[0]}: the model gives {sorted(taps)}")
    for name in names:
        if taps[name].ndim != 2 or len(taps[name]) != images:
            raise ValueError(f"tap {name} is {list(taps[name].shape)}, not [n, d] for {images} images")
    return {name: np.asarray(taps[name][rows], dtype=np.float64) for name in names}


def _check_finite(taps: Taps, ids: Sequence[str]) -> None:
    for name, values in taps.items():
        finite = np.isfinite(values).all(axis=1)
        if not finite.all():
            raise ValueError(f"image {ids[int(np.argmin(finite))]} has values in tap {name} that are not finite")


def _cross_fitted(taps: Taps, entry: DensityEntry, images: int, seed: int) -> Floats:
    """Score [images] of each image by a detector that was fitted on the images of the other folds."""
    fold = np.random.default_rng(seed).permutation(np.arange(images) % FOLDS)
    scores = np.empty(images)
    for number in range(FOLDS):
        own = fold == number
        detector = fit_detector({name: values[~own] for name, values in taps.items()}, entry)
        scores[own] = detector.score({name: values[own] for name, values in taps.items()})
    return scores


def _robust_units(scores: Floats, calibration: Floats) -> Floats:
    """Scores in units of the upper spread of the calibration: its median is 0, its 84 % quantile 1."""
    median, upper = np.quantile(calibration, (0.5, 0.84))
    return np.asarray((scores - median) / max(upper - median, 1e-9), dtype=np.float64)


def _sum(scores: Mapping[str, Floats]) -> Floats:
    """Sum over the detectors, in their order."""
    return np.asarray(sum(scores.values()), dtype=np.float64)


def _lines(ids: Sequence[str]) -> bytes:
    return "\n".join(ids).encode()


def _manifest_json(manifest: SurveyModelManifest) -> bytes:
    return json.dumps(manifest.model_dump(mode="json"), sort_keys=True, separators=(",", ":")).encode()


def _arrays(
    ids: Sequence[str], detectors: Sequence[SurveyDetector], calibration: Mapping[str, Floats]
) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {"image_ids": np.frombuffer(_lines(ids), dtype=np.uint8)}
    for detector in detectors:
        name = detector.entry.name
        arrays |= {f"{name}.{key}": values for key, values in detector.arrays().items()}
        arrays[f"{name}.calibration"] = calibration[name]
    return arrays


def _digests(arrays: Mapping[str, NDArray[Any]]) -> dict[str, str]:
    return {name: content_digest(arrays_to_bytes({name: values})) for name, values in sorted(arrays.items())}


def _group(arrays: Mapping[str, NDArray[Any]], detector: str) -> dict[str, NDArray[Any]]:
    """The fitted arrays of one detector, by their own names."""
    found = {name: arrays.get(f"{detector}.{name}") for name in FITTED_ARRAYS}
    return {name: values for name, values in found.items() if values is not None}
