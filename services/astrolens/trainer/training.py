"""Train the backbone: seeded, on the CPU, with an exponential moving average of the weights."""

import copy
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from astrolens.science.preprocessing import PreprocessingSpec
from astrolens.trainer.augmentation import AugmentationRanges, augment
from astrolens.trainer.backbone import Backbone, BackboneConfig, logit_norm_loss
from astrolens.trainer.dataset import CLASSES
from astrolens.trainer.image_arrays import ImageArrays

log = logging.getLogger(__name__)

_SURVEY_SHARE = {"sdss": 0.42, "efigi": 0.33}
"""Shares of a batch; the simulated surveys share the rest."""

_REPORTS = 10
"""Number of progress reports, with accuracies on held-out images."""


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of the training."""

    seed: int = 20
    epochs: int = 28
    draws: int = 6000
    """Images in an epoch."""
    batch: int = 100
    rate: float = 1.5e-3
    """Largest learning rate."""
    decay: float = 0.05
    """Weight decay."""
    tau: float = 0.05
    """Temperature of the LogitNorm loss."""
    warm_up: float = 0.05
    """Share of the training with a rising learning rate."""
    averaging: float = 0.995
    """Decay of the moving average of the weights, for each step."""
    balance: float = 0.3
    """Exponent of class balancing within a survey: 0 keeps the natural frequencies, 1 makes all classes equal."""
    minutes: float | None = None
    """Time limit. If it is shorter than the epochs take, the learning rate follows the time, and the seed alone does
    not reproduce the result."""


@dataclass(frozen=True)
class Trained:
    """A trained backbone.

    Attributes:
        model: With averaged weights, in evaluation mode.
        draws: Augmented images used.
        minutes: Wall-clock time.
        by_clock: Whether the time limit ended the training.
    """

    model: Backbone
    draws: int
    minutes: float
    by_clock: bool


def train(
    images: ImageArrays,
    validation: ImageArrays,
    spec: PreprocessingSpec,
    recipe: Recipe,
    config: BackboneConfig | None = None,
    *,
    start: Trained | None = None,
) -> Trained:
    """Train a backbone on ordinary images.

    Args:
        images: With augmentation sources.
        validation: Ordinary images, for progress reports only.
        spec: The preprocessing.
        recipe: Hyperparameters and seed.
        config: Architecture.
        start: Continue from these weights, with a new learning-rate schedule.
    """
    torch.manual_seed(recipe.seed)
    model = Backbone(spec, len(CLASSES), config).to(memory_format=torch.channels_last)
    if start is not None:
        model.load_state_dict(start.model.state_dict())
    averaged = copy.deepcopy(model).eval()
    # One worker: several would deliver batches in an order that the seed does not determine.
    earlier_draws = start.draws if start is not None else 0
    augmented = _Batches(images, spec, recipe, seed=recipe.seed + earlier_draws)
    batches = iter(DataLoader(augmented, batch_size=None, num_workers=1, prefetch_factor=8))
    steps = recipe.epochs * (recipe.draws // recipe.batch)
    optimizer = torch.optim.AdamW(_parameter_groups(model, recipe.decay), lr=recipe.rate, betas=(0.9, 0.98))
    started, step, progress, reported = time.monotonic(), 0, 0.0, 0
    model.train()
    while progress < 1.0:
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * _rate_factor(progress, recipe.warm_up)
        inputs, classes = next(batches)
        logits, _ = model(inputs.contiguous(memory_format=torch.channels_last))
        loss = logit_norm_loss(logits, classes, tau=recipe.tau)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        _average(averaged, model, min(recipe.averaging, step / (step + 10)))
        minutes = (time.monotonic() - started) / 60.0
        by_clock = recipe.minutes is not None and minutes / recipe.minutes > step / steps
        progress = minutes / recipe.minutes if recipe.minutes is not None and by_clock else step / steps
        if progress * _REPORTS >= reported + 1:
            reported += 1
            accuracy = _accuracies(averaged, validation)
            log.info("%3.0f %%  step %d  %.1f min  loss %.3f  %s", 100 * progress, step, minutes, loss.item(), accuracy)
    draws = step * recipe.batch
    if start is None:
        return Trained(averaged, draws, minutes, by_clock)
    return Trained(averaged, start.draws + draws, start.minutes + minutes, start.by_clock or by_clock)


class _Batches(IterableDataset[tuple[Tensor, Tensor]]):
    """An infinite stream of augmented batches; the data loader computes them in a separate process."""

    def __init__(self, images: ImageArrays, spec: PreprocessingSpec, recipe: Recipe, *, seed: int) -> None:
        self._images, self._spec, self._recipe, self._seed = images, spec, recipe, seed

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        torch.set_num_threads(1)
        generator = torch.Generator().manual_seed(self._seed)
        weights = torch.from_numpy(sampling_weights(self._images, balance=self._recipe.balance))
        sources, classes = torch.from_numpy(self._images.sources), torch.from_numpy(self._images.classes)
        size, views = self._spec.size, self._spec.views
        while True:
            rows = torch.multinomial(weights, self._recipe.batch, replacement=True, generator=generator)
            yield (
                augment(sources[rows], views, size=size, generator=generator, ranges=AugmentationRanges()),
                classes[rows],
            )


@torch.inference_mode()
def infer(
    model: Backbone, inputs: NDArray[np.uint8], *, batch: int = 128
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits [n, classes] and embeddings [n, d] of preprocessed images, in float32."""
    outputs = [model(torch.from_numpy(inputs[first : first + batch])) for first in range(0, len(inputs), batch)]
    return torch.cat([row[0] for row in outputs]).numpy(), torch.cat([row[1] for row in outputs]).numpy()


def sampling_weights(images: ImageArrays, *, balance: float) -> NDArray[np.float64]:
    """Sampling probabilities [n]: surveys by `_SURVEY_SHARE`, classes within a survey by `Recipe.balance`."""
    weights = np.zeros(len(images))
    groups = np.array([name if name in _SURVEY_SHARE else "" for name in images.surveys])
    present = sorted(set(groups))
    rest = 1.0 - sum(_SURVEY_SHARE.values())
    for group in present:
        for index in range(len(CLASSES)):
            rows = (groups == group) & (images.classes == index)
            weights[rows] = max(1, rows.sum()) ** -balance
        own = groups == group
        weights[own] *= _SURVEY_SHARE.get(group, rest) / weights[own].sum()
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _parameter_groups(model: Backbone, decay: float) -> list[dict[str, object]]:
    """Parameter groups of the optimizer: weight decay for matrices only."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


def _rate_factor(progress: float, warm_up: float) -> float:
    """Linear warm-up, then a half cosine to 0; `progress` is 0 to 1."""
    if progress < warm_up:
        return max(progress / warm_up, 0.01)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (progress - warm_up) / (1.0 - warm_up))))


@torch.no_grad()
def _average(averaged: Backbone, model: Backbone, keep: float) -> None:
    """Update the moving average; `keep` is the weight of the old value."""
    for weight, latest in zip(averaged.parameters(), model.parameters(), strict=True):
        weight.lerp_(latest, 1.0 - keep)
    for mean, now in zip(averaged.buffers(), model.buffers(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(now, 1.0 - keep)
        else:
            mean.copy_(now)


def _accuracies(model: Backbone, images: ImageArrays) -> dict[str, float]:
    """Accuracy by survey."""
    logits, _ = infer(model, images.inputs)
    right = logits.argmax(axis=1) == images.classes
    names = sorted(set(images.surveys))
    return {str(name): round(float(right[images.surveys == name].mean()), 3) for name in names}


def temperature_of(logits: NDArray[np.float32], classes: NDArray[np.int64]) -> float:
    """The maximum-likelihood temperature [Guo et al. 2017] for held-out logits [n, classes]; golden-section search."""
    scores, truth = torch.from_numpy(logits).double(), torch.from_numpy(classes)

    def loss(log_temperature: float) -> float:
        return float(torch.nn.functional.cross_entropy(scores / math.exp(log_temperature), truth))

    low, high = math.log(1e-3), math.log(1e3)
    ratio = (math.sqrt(5.0) - 1.0) / 2.0
    for _ in range(60):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return math.exp((low + high) / 2.0)
