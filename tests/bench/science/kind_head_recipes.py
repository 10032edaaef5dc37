"""Ways to let answers move the heads of the kinds alone, compared on the choose half, without training the network.

Reads the folders that `python -m tests.bench.science.retraining --cache FOLDER` leaves: the same answers, drawn views
and calibrating images. The champion's embedding and pooled maps are computed once; both linear heads of the kinds are
fitted again on them, as `astrolens.trainer.retraining.kind_heads` does, and calibrated in several ways. Measured are
the change of oddity AUROC and the distance of ordinary p-values from uniform: SDSS and EFIGI by oddities of the choose
half that were in no pool, against images that calibrate; the simulated sky by draws of other seeds than any run's. The
report half takes no part.
Run `python -m tests.bench.science.kind_head_recipes --cache FOLDER --seeds 20 21 22`.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time
from typing import Any, Final, Literal

import numpy as np
import torch
from astrolens.contracts.training_runs import TrainingOptions
from astrolens.platform.settings import PACKAGED_BUNDLE
from astrolens.science.bundle import Bundle
from astrolens.science.detectors import Features, load_detector
from astrolens.science.scoring import ImageScores, Scorer
from astrolens.trainer import export
from astrolens.trainer.dataset import Sample, Split, labelled_samples, simulated_samples
from astrolens.trainer.early_views import Drawing, EarlyViews, prepare_views
from astrolens.trainer.evaluation import auroc, p_values_of, rank_values, uniformity
from astrolens.trainer.fitting import LabelledFeatures, calibrate, carry_over
from astrolens.trainer.image_arrays import ImageArrays, prepare_arrays
from astrolens.trainer.retraining import data_set
from astrolens.trainer.retraining.answer_views import draw_answer_views, kind_names
from astrolens.trainer.retraining.kind_heads import refit_head, targets_of
from astrolens.trainer.retraining.named_sets import NamedSet
from astrolens.trainer.retraining.run import archive_images
from astrolens.trainer.retraining.starting_point import PromotedHeads
from astrolens.trainer.trainable_backbone import TrainableBackbone
from astrolens.trainer.training import temperature_of
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tests.bench.science.retraining import first_looks_pool

_SIMULATED_SEEDS: Final = (770, 771, 772, 773)
_BUDGET: Final = 10.0
_BATCH: Final = 128

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class HeadRecipe:
    """How the heads are fitted.

    Attributes:
        penalty: Of the squared distance from the champion's weights, for features of unit deviation; None fits nothing.
        as_drawn: Drawn views teach what was drawn on them, in place of what the champion says of them.
        calibrations: The champion's, carried over to the scores of the new heads or kept as they are; or new ones of
            the run's images.
    """

    penalty: float | None
    as_drawn: bool = False
    calibrations: Literal["carried over", "kept", "renewed"] = "carried over"


RECIPES: Final[Mapping[str, HeadRecipe]] = {
    "calibrations renewed only": HeadRecipe(None, calibrations="renewed"),
    "penalty .03": HeadRecipe(0.03),
    "penalty .1": HeadRecipe(0.1),
    "penalty .5": HeadRecipe(0.5),
    "penalty .1, calibrations kept": HeadRecipe(0.1, calibrations="kept"),
    "penalty .1, calibrations renewed": HeadRecipe(0.1, calibrations="renewed"),
    "penalty .1, drawn views as drawn": HeadRecipe(0.1, as_drawn=True),
}


@dataclass(frozen=True)
class _Views:
    """Features [n, d + h] of training views and their kinds [n]."""

    features: Tensor
    kinds: Tensor


@dataclass(frozen=True)
class _Images:
    """Preprocessed images with the champion's outputs and what its heads read, [n, d + h]."""

    arrays: ImageArrays
    outputs: Features
    read: Tensor

    def outputs_with(self, model: TrainableBackbone) -> Features:
        """The outputs with the kinds of other heads."""
        return replace(self.outputs, kind_logits=_kinds(model, self.read) / float(model.kind_temperature))


@dataclass(frozen=True)
class _Seed:
    """What one run learns from and is measured by."""

    seed: int
    kinds: tuple[str, ...]
    drawn: _Views
    answered: _Views
    held_out: _Views
    units: _Images
    calibrating: _Images
    measured: dict[str, _Images]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, required=True, help="folder of the runs of `retraining`")
    parser.add_argument("--seeds", type=int, nargs="+", default=[20])
    parser.add_argument("--recipes", nargs="+", choices=list(RECIPES), default=list(RECIPES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    champion = Bundle.load(PACKAGED_BUNDLE)
    seeds = [_prepare(champion, options.data, options.cache, seed) for seed in options.seeds]
    found = {name: {own.seed: _changes(champion, own, RECIPES[name]) for own in seeds} for name in options.recipes}
    print(json.dumps({"cpu_s": round(process_time()), "changes": found}, indent=2))


def _refit_kinds(model: TrainableBackbone, drawn: _Views, answered: _Views, recipe: HeadRecipe) -> None:
    assert recipe.penalty is not None
    features = torch.cat((drawn.features, answered.features))
    width = model.kind_head.in_features
    for head, columns in ((model.kind_head, slice(0, width)), (model.pooled_kind_head, slice(width, None))):
        targets = targets_of(head, drawn.features[:, columns], answered.kinds)
        if recipe.as_drawn:
            targets[: len(drawn.kinds)] = functional.one_hot(drawn.kinds, head.out_features).float()
        refit_head(head, features[:, columns], targets, penalty=recipe.penalty)


def _changes(champion: Bundle, own: _Seed, recipe: HeadRecipe) -> dict[str, dict[str, Any]]:
    """AUROC of each survey less the champion's; and how far ordinary p-values are from uniform, before and after."""
    kinds = champion.manifest.kinds if recipe.penalty is None else own.kinds
    model = PromotedHeads(champion).load(len(kinds))
    if recipe.penalty is not None:
        _refit_kinds(model, own.drawn, own.answered, recipe)
        model.kind_temperature.fill_(temperature_of(_kinds(model, own.held_out.features), own.held_out.kinds.numpy()))
    manifest = champion.manifest.model_copy(update={"kinds": kinds})
    challenger = replace(champion, manifest=manifest)
    if recipe.calibrations == "renewed":
        challenger = _calibrated(challenger, own, model)
    elif recipe.calibrations == "carried over":
        challenger = replace(challenger, calibration=_carried_over(champion, own, model))
    changes: dict[str, dict[str, Any]] = {}
    for images in own.measured.values():
        surveys = [str(name) for name in images.arrays.surveys]
        before = Scorer(champion, _BUDGET).score(images.outputs, surveys)
        after = Scorer(challenger, _BUDGET).score(images.outputs_with(model), surveys)
        for survey in sorted(set(surveys)):
            rows = images.arrays.surveys == survey
            ordinary = images.arrays.ordinary
            areas = [_area(scores, ordinary, rows) for scores in (before, after)]
            far = [
                round(
                    uniformity(p_values_of([one for one, keep in zip(scores, ordinary & rows, strict=True) if keep]))[
                        0
                    ],
                    3,
                )
                for scores in (before, after)
            ]
            changes[survey] = {"AUROC": round(areas[1] - areas[0], 4), "distance from uniform": far}
    return changes


def _carried_over(champion: Bundle, own: _Seed, model: TrainableBackbone) -> dict[str, Floats]:
    detectors = [load_detector(each, champion.detectors) for each in champion.manifest.detectors]
    parts = [own.units, own.calibrating]
    classes, surveys = (
        np.concatenate([getattr(each.arrays, name) for each in parts]) for name in ("classes", "surveys")
    )
    before, after = (
        LabelledFeatures(Features.concatenated(outputs), classes, surveys)
        for outputs in ([each.outputs for each in parts], [each.outputs_with(model) for each in parts])
    )
    kinds = [each for each in detectors if each.entry.kind == "oddity"]
    return carry_over(champion.calibration, kinds, before=before, after=after)


def _area(scores: list[ImageScores], ordinary: NDArray[np.bool_], rows: NDArray[np.bool_]) -> float:
    return auroc(~ordinary[rows], rank_values(scores)[rows])


def _calibrated(bundle: Bundle, own: _Seed, model: TrainableBackbone) -> Bundle:
    """A bundle with calibrations of the run's images; of the detectors only those that vote."""
    manifest = bundle.manifest
    entries = tuple(each for each in manifest.detectors if each.name in manifest.combination.detectors)
    parts = [
        LabelledFeatures(each.outputs_with(model), each.arrays.classes, each.arrays.surveys)
        for each in (own.units, own.calibrating)
    ]
    calibration = calibrate(
        [load_detector(entry, bundle.detectors) for entry in entries],
        manifest.combination,
        units=parts[0],
        ordinary=parts[1],
        seed=own.seed,
    )
    surveys = {name: entry for name, entry in manifest.surveys.items() if f"{name}/combined" in calibration}
    own_manifest = manifest.model_copy(update={"detectors": entries, "surveys": surveys})
    return replace(bundle, manifest=own_manifest, calibration=calibration)


@torch.no_grad()
def _kinds(model: TrainableBackbone, read: Tensor) -> Floats:
    width = model.kind_head.in_features
    logits = (model.kind_head(read[:, :width]) + model.pooled_kind_head(read[:, width:])) / 2.0
    return np.asarray(logits.numpy(), dtype=np.float64)


def _prepare(champion: Bundle, source: Path, cache: Path, seed: int) -> _Seed:
    """Everything of one run's folder, as the run itself collects it."""
    folder, start, options = cache / f"retraining-{seed}", PromotedHeads(champion), TrainingOptions(seed=seed)
    labelled, unanswered = archive_images((folder / "archive.json").read_bytes())
    text = f"galaxies:{folder / 'galaxies'}"
    collected = data_set.assemble(
        labelled=labelled,
        unanswered=unanswered,
        sets=[data_set.SetSamples(text, tuple(NamedSet.parse(text).samples(folder / "extracted")))],
        simulated=options.simulated,
        seed=seed,
        alpha=_BUDGET / 1000.0,
    )
    kinds = kind_names(collected.labelled, champion.manifest.kinds)
    model, recipe, spec = start.load(len(champion.manifest.kinds)), start.recipe(options), champion.preprocessing
    graph = export.export_early(model, spec)
    arrays = {
        split: prepare_arrays(collected.samples, split, spec, cache=folder / "cache", workers=0)
        for split in (Split.BACKBONE, Split.FIT, Split.CALIBRATION)
    }
    drawing = Drawing(recipe.seed, recipe.views, spec.size, recipe.balance, recipe.ranges)
    views = prepare_views(arrays[Split.BACKBONE], graph, drawing, cache=folder / "cache", workers=0)
    answers = draw_answer_views(collected.labelled, kinds, export.session(graph), size=spec.size, seed=recipe.seed)
    if answers is None:
        raise SystemExit(f"{folder} has no answers: run tests.bench.science.retraining with them first")
    ready, reader = export.session(champion.model), export.session(export.export_class_features(model, spec))

    def read(images: ImageArrays) -> _Images:
        parts = [
            reader.run(["features"], {"pixels": np.ascontiguousarray(images.inputs[first : first + _BATCH])})[0]
            for first in range(0, len(images), _BATCH)
        ]
        return _Images(images, export.run(ready, images.inputs), torch.from_numpy(np.concatenate(parts)))

    def measuring(samples: list[Sample]) -> ImageArrays:
        return prepare_arrays(samples, Split.DEVELOP, spec, cache=cache / "choose", workers=0)

    pool = {sample.key for sample in first_looks_pool(source / "galaxies", seed)}
    odd = measuring([each for each in labelled_samples(source / "galaxies") if each.oddity and each.key not in pool])
    drawn = [each for own in _SIMULATED_SEEDS for each in simulated_samples(own, options.simulated)]
    simulated = measuring([replace(each, split=Split.DEVELOP) for each in drawn if each.split is Split.TEST])
    calibrating = arrays[Split.CALIBRATION]
    real = calibrating.where(np.isin(calibrating.surveys, np.unique(odd.surveys)))
    return _Seed(
        seed=seed,
        kinds=kinds,
        drawn=_views(model, views.training),
        answered=_views(model, answers),
        held_out=_views(model, views.held_out),
        units=read(arrays[Split.FIT]),
        calibrating=read(calibrating),
        measured={"galaxies": read(_together(real, odd)), "simulated sky": read(simulated)},
    )


@torch.no_grad()
def _views(model: TrainableBackbone, views: EarlyViews) -> _Views:
    parts = [
        model.forward_early(torch.from_numpy(views.maps[first : first + _BATCH].astype(np.float32))).class_features
        for first in range(0, len(views.maps), _BATCH)
    ]
    return _Views(torch.cat(parts), torch.from_numpy(views.kinds))


def _together(one: ImageArrays, two: ImageArrays) -> ImageArrays:
    parts: dict[str, Any] = {
        name: np.concatenate((getattr(one, name), getattr(two, name)))
        for name in ("inputs", "classes", "surveys", "oddities")
    }
    return ImageArrays(**parts)


if __name__ == "__main__":
    main()
