"""Fine-tune the backbone of a run: of the promoted bundle, what is not kept as it is; of a checkpoint, all of it.

What people answered is mixed with drawn oddities on ordinary pictures of the replay sample and the simulated sky, so
that what is learned does not replace what was known.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from astrolens.contracts.training_runs import TrainingOptions
from astrolens.science.preprocessing import PreprocessingSpec
from astrolens.trainer.early_views import EarlyViews, PreparedViews
from astrolens.trainer.trainable_backbone import TrainableBackbone
from astrolens.trainer.training import Recipe, Trained, calibrate_kinds, train

RATE: Final = 2e-4
"""Largest learning rate: a fifth of a training from scratch, since most is known."""
_WARM_UP: Final = 20


def recipe_of(options: TrainingOptions) -> Recipe:
    """The hyperparameters of a run."""
    return Recipe(
        seed=options.seed,
        views=options.views,
        epochs=options.epochs,
        rate=RATE,
        trunk_rate=0.0,
        warm_up=_WARM_UP,
    )


def fine_tune(
    model: TrainableBackbone,
    views: PreparedViews,
    answers: EarlyViews | None,
    spec: PreprocessingSpec,
    recipe: Recipe,
    *,
    checkpoint: Path,
    on_step: Callable[[int, int], None],
) -> Trained:
    """Train a backbone on.

    Args:
        model: With its weights; it is changed.
        views: Drawn views, and others to calibrate the kinds with.
        answers: Views of answered images.
        spec: The preprocessing.
        recipe: Hyperparameters.
        checkpoint: Where the state is kept; a run that was killed goes on from it.
        on_step: Told after each step how many are done, and of how many.
    """
    for part in model.frozen_in_retraining():
        for parameter in part.parameters():
            parameter.requires_grad_(False)
    together = views.training if answers is None else _joined(views.training, answers)
    trained = train(together, spec, recipe, checkpoint=checkpoint, start=model, on_step=on_step)
    calibrate_kinds(trained.model, views.held_out)
    return trained


def _joined(one: EarlyViews, two: EarlyViews) -> EarlyViews:
    return EarlyViews(
        np.concatenate((one.maps, two.maps), dtype=one.maps.dtype),
        np.concatenate((one.classes, two.classes)),
        np.concatenate((one.kinds, two.kinds)),
    )
