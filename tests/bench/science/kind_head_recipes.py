"""Ways to let answers move the heads of the kinds alone, compared on the choose half, without training the network.

Reads the folders that `python -m tests.bench.science.retraining --cache FOLDER` leaves: the same answers, drawn views
and calibrating images. The champion's embedding and pooled maps are computed once; both linear heads of the kinds are
fitted again on them, with a penalty on their squared distance from the champion's, and the calibrations with them.
Measured is the change of oddity AUROC: SDSS and EFIGI by oddities of the choose half that were in no pool, against
images that calibrate; the simulated sky by draws of other seeds than any run's. The report half takes no part.
Run `python -m tests.bench.science.kind_head_recipes --cache FOLDER --seeds 20 21 22`.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time
from typing import Any, Final

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
from astrolens.trainer.evaluation import auroc, rank_values
from astrolens.trainer.fitting import LabelledFeatures, calibrate
from astrolens.trainer.image_arrays import ImageArrays, prepare_arrays
from astrolens.trainer.retraining import data_set
from astrolens.trainer.retraining.answer_views import draw_answer_views, kind_names
from astrolens.trainer.retraining.named_sets import NamedSet
from astrolens.trainer.retraining.run import archive_images
from astrolens.trainer.retraining.starting_point import PromotedBundle
from astrolens.trainer.trainable_backbone import TrainableBackbone
from astrolens.trainer.training import temperature_of
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from tests.bench.science.retraining import first_looks_pool

_SIMULATED_SEEDS: Final = (770, 771)
_BUDGET: Final = 10.0
_ITERATIONS: Final = 60
_BATCH: Final = 128

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class HeadRecipe:
    """How the heads are fitted.

    Attributes:
        penalty: Of the squared distance from the champion's weights, for features of unit deviation.
        answers: Learn from the answered images.
        keep_old: Drawn views teach what the champion says of them [Li & Hoiem 2017], in place of what was drawn.
    """

    penalty: float
    answers: bool = True
    keep_old: bool = False


RECIPES: Final[Mapping[str, HeadRecipe | None]] = {
    "calibrations only": None,
    "penalty .01": HeadRecipe(0.01),
    "penalty .1": HeadRecipe(0.1),
    "penalty .5": HeadRecipe(0.5),
    "penalty .1, no answers": HeadRecipe(0.1, answers=False),
    "penalty .1, drawn views as before": HeadRecipe(0.1, keep_old=True),
    "penalty .5, drawn views as before": HeadRecipe(0.5, keep_old=True),
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
    print(json.dumps({"cpu_s": round(process_time()), "change of AUROC": found}, indent=2))


def refit_kinds(model: TrainableBackbone, drawn: _Views, answered: _Views, recipe: HeadRecipe) -> None:
    """Fit both heads again, each by itself, by L-BFGS from their own weights."""
    width = model.kind_head.in_features
    for head, columns in ((model.kind_head, slice(0, width)), (model.pooled_kind_head, slice(width, None))):
        _refit(
            head,
            _Views(drawn.features[:, columns], drawn.kinds),
            _Views(answered.features[:, columns], answered.kinds),
            recipe,
        )


def _refit(head: nn.Linear, drawn: _Views, answered: _Views, recipe: HeadRecipe) -> None:
    features = torch.cat((drawn.features, answered.features)) if recipe.answers else drawn.features
    deviation = features.std(dim=0) + 1e-3
    n, share = len(drawn.kinds), len(drawn.kinds) / len(features)
    slopes, bias = head.weight.detach().clone(), head.bias.detach().clone()
    old = functional.linear(drawn.features, slopes, bias)
    change, shift = torch.zeros_like(slopes, requires_grad=True), torch.zeros_like(bias, requires_grad=True)
    optimizer = torch.optim.LBFGS([change, shift], max_iter=_ITERATIONS, line_search_fn="strong_wolfe")
    taught = functional.one_hot(drawn.kinds, head.out_features).float()
    targets = old.softmax(dim=1) if recipe.keep_old else taught
    odd = torch.sigmoid(_score(old)) if recipe.keep_old else (drawn.kinds > 0).float()

    def loss() -> float:
        optimizer.zero_grad()
        logits = functional.linear(features, slopes + change / deviation, bias + shift)
        total = share * _loss(logits[:n], targets, odd) + recipe.penalty * change.square().sum()
        if recipe.answers:
            own = functional.one_hot(answered.kinds, head.out_features).float()
            total = total + (1.0 - share) * _loss(logits[n:], own, (answered.kinds > 0).float())
        total.backward()  # type: ignore[no-untyped-call]
        return float(total.detach())

    optimizer.step(loss)
    with torch.no_grad():
        head.weight.copy_(slopes + change / deviation)
        head.bias.copy_(bias + shift)


def _loss(logits: Tensor, targets: Tensor, odd: Tensor) -> Tensor:
    """Cross-entropy of the kinds, and of ordinary against odd, as in training; targets are probabilities."""
    return functional.cross_entropy(logits, targets) + functional.binary_cross_entropy_with_logits(_score(logits), odd)


def _score(logits: Tensor) -> Tensor:
    return torch.logsumexp(logits[:, 1:], dim=1) - logits[:, 0]


def _changes(champion: Bundle, own: _Seed, recipe: HeadRecipe | None) -> dict[str, float]:
    """AUROC of each survey less the champion's."""
    model = PromotedBundle(champion).load(len(own.kinds) if recipe else len(champion.manifest.kinds))
    if recipe is not None:
        refit_kinds(model, own.drawn, own.answered, recipe)
        model.kind_temperature.fill_(temperature_of(_kinds(model, own.held_out.features), own.held_out.kinds.numpy()))
    challenger = _calibrated(champion, own, model)
    changes: dict[str, float] = {}
    for images in own.measured.values():
        surveys = [str(name) for name in images.arrays.surveys]
        before = Scorer(champion, _BUDGET).score(images.outputs, surveys)
        after = Scorer(challenger, _BUDGET).score(images.outputs_with(model), surveys)
        for survey in sorted(set(surveys)):
            rows = images.arrays.surveys == survey
            areas = [_area(scores, images.arrays.ordinary, rows) for scores in (before, after)]
            changes[survey] = round(areas[1] - areas[0], 4)
    return changes


def _area(scores: list[ImageScores], ordinary: NDArray[np.bool_], rows: NDArray[np.bool_]) -> float:
    return auroc(~ordinary[rows], rank_values(scores)[rows])


def _calibrated(champion: Bundle, own: _Seed, model: TrainableBackbone) -> Bundle:
    """The champion with other heads and calibrations of its own; of the detectors only those that vote."""
    manifest = champion.manifest
    entries = tuple(each for each in manifest.detectors if each.name in manifest.combination.detectors)
    parts = [
        LabelledFeatures(each.outputs_with(model), each.arrays.classes, each.arrays.surveys)
        for each in (own.units, own.calibrating)
    ]
    calibration = calibrate(
        [load_detector(entry, champion.detectors) for entry in entries],
        manifest.combination,
        units=parts[0],
        ordinary=parts[1],
        seed=own.seed,
    )
    surveys = {name: entry for name, entry in manifest.surveys.items() if f"{name}/combined" in calibration}
    kinds = own.kinds[: model.kind_head.out_features]
    own_manifest = manifest.model_copy(update={"detectors": entries, "kinds": kinds, "surveys": surveys})
    return replace(champion, manifest=own_manifest, calibration=calibration)


@torch.no_grad()
def _kinds(model: TrainableBackbone, read: Tensor) -> Floats:
    width = model.kind_head.in_features
    logits = (model.kind_head(read[:, :width]) + model.pooled_kind_head(read[:, width:])) / 2.0
    return np.asarray(logits.numpy(), dtype=np.float64)


def _prepare(champion: Bundle, source: Path, cache: Path, seed: int) -> _Seed:
    """Everything of one run's folder, as the run itself collects it."""
    folder, start, options = cache / f"retraining-{seed}", PromotedBundle(champion), TrainingOptions(seed=seed)
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
