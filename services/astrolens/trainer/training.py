"""Fit the backbone: seeded, on the CPU, with weights averaged over the last steps."""

import copy
import logging
import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from astrolens.science.preprocessing import PreprocessingSpec
from astrolens.trainer.augmentation import AugmentationRanges, augment
from astrolens.trainer.backbone import Backbone, BackboneConfig, logit_norm_loss
from astrolens.trainer.pictures import Pictures
from astrolens.trainer.samples import CLASSES

log = logging.getLogger(__name__)

_SURVEY_SHARE = {"sdss": 0.42, "efigi": 0.33}
"""Shares of a batch; the simulated surveys share what is left."""


@dataclass(frozen=True)
class Recipe:
    """All that decides what is learnt."""

    seed: int = 20
    epochs: int = 40
    draws: int = 6000
    """Pictures an epoch."""
    batch: int = 100
    rate: float = 1.5e-3
    decay: float = 0.05
    tau: float = 0.05
    warm_up: float = 0.05
    averaging: float = 0.995
    bfloat16: bool = True


def train(
    pictures: Pictures,
    validation: Pictures,
    spec: PreprocessingSpec,
    recipe: Recipe,
    config: BackboneConfig | None = None,
) -> Backbone:
    """A backbone fitted to ordinary pictures.

    Args:
        pictures: With augmentation sources.
        validation: Ordinary pictures to log progress on; nothing is chosen by them here.
        spec: The preprocessing.
        recipe: Constants and seed.
        config: Sizes.
    """
    torch.manual_seed(recipe.seed)
    generator = torch.Generator().manual_seed(recipe.seed)
    model = Backbone(spec, len(CLASSES), config)
    averaged = copy.deepcopy(model).eval()
    weights = torch.from_numpy(draw_weights(pictures))
    sources, classes = torch.from_numpy(pictures.sources), torch.from_numpy(pictures.classes)
    steps = recipe.epochs * (recipe.draws // recipe.batch)
    optimizer = torch.optim.AdamW(_groups(model, recipe.decay), lr=recipe.rate, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step / steps, recipe.warm_up))
    started = time.monotonic()
    model.train()
    for step in range(1, steps + 1):
        rows = torch.multinomial(weights, recipe.batch, replacement=True, generator=generator)
        inputs = augment(sources[rows], spec.views, size=spec.size, generator=generator, ranges=AugmentationRanges())
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bfloat16):
            logits, _ = model(inputs)
        loss = logit_norm_loss(logits.float(), classes[rows], tau=recipe.tau)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        _average(averaged, model, min(recipe.averaging, step / (step + 10)))
        if step % (steps // 20 or 1) == 0:
            accuracy = _accuracies(averaged, validation)
            minutes = (time.monotonic() - started) / 60
            log.info("step %d/%d  %.1f min  loss %.3f  %s", step, steps, minutes, loss.item(), accuracy)
    return averaged


@torch.inference_mode()
def infer(
    model: Backbone, inputs: NDArray[np.uint8], *, batch: int = 128
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits [n, classes] and embeddings [n, d] of preprocessed pictures, in float32."""
    outputs = [model(torch.from_numpy(inputs[first : first + batch])) for first in range(0, len(inputs), batch)]
    return torch.cat([row[0] for row in outputs]).numpy(), torch.cat([row[1] for row in outputs]).numpy()


def draw_weights(pictures: Pictures) -> NDArray[np.float64]:
    """[n] chances of being drawn: surveys by `_SURVEY_SHARE`, classes of a survey by the root of their number."""
    weights = np.zeros(len(pictures))
    groups = np.array([name if name in _SURVEY_SHARE else "" for name in pictures.surveys])
    present = sorted(set(groups))
    left = 1.0 - sum(_SURVEY_SHARE.values())
    for group in present:
        for index in range(len(CLASSES)):
            rows = (groups == group) & (pictures.classes == index)
            weights[rows] = 1.0 / np.sqrt(max(1, rows.sum()))
        own = groups == group
        weights[own] *= _SURVEY_SHARE.get(group, left) / weights[own].sum()
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _groups(model: Backbone, decay: float) -> list[dict[str, object]]:
    """Weight decay for matrices only."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


def _rate(progress: float, warm_up: float) -> float:
    if progress < warm_up:
        return progress / warm_up
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (progress - warm_up) / (1.0 - warm_up))))


@torch.no_grad()
def _average(averaged: Backbone, model: Backbone, keep: float) -> None:
    for weight, latest in zip(averaged.parameters(), model.parameters(), strict=True):
        weight.lerp_(latest, 1.0 - keep)
    for mean, now in zip(averaged.buffers(), model.buffers(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(now, 1.0 - keep)
        else:
            mean.copy_(now)


def _accuracies(model: Backbone, pictures: Pictures) -> dict[str, float]:
    logits, _ = infer(model, pictures.inputs)
    right = logits.argmax(axis=1) == pictures.classes
    names = sorted(set(pictures.surveys))
    return {str(name): round(float(right[pictures.surveys == name].mean()), 3) for name in names}


def temperature_of(logits: NDArray[np.float32], classes: NDArray[np.int64]) -> float:
    """The temperature that makes the softmax of held-out logits most likely, by golden-section search."""
    scores, truth = torch.from_numpy(logits).double(), torch.from_numpy(classes)

    def loss(log_temperature: float) -> float:
        return float(torch.nn.functional.cross_entropy(scores / math.exp(log_temperature), truth))

    low, high = math.log(1e-3), math.log(1e3)
    ratio = (math.sqrt(5.0) - 1.0) / 2.0
    for _ in range(60):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return math.exp((low + high) / 2.0)
