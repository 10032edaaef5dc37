"""Train the backbone on the trunk's early maps: seeded, on the CPU or a CUDA device, with averaged weights."""

import copy
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from astrolens.science.oddities import KINDS
from astrolens.science.preprocessing import PreprocessingSpec
from astrolens.trainer.backbone import Backbone, BackboneConfig
from astrolens.trainer.dataset import CLASSES
from astrolens.trainer.early_views import EarlyViews
from astrolens.trainer.trainable_backbone import TrainableBackbone, logit_norm_loss
from astrolens.trainer.training_views import KIND_NAMES, ViewRanges

log = logging.getLogger(__name__)

_REPORT_STEPS = 100
_PRETRAINED_DECAY = 0.01
_CHECKPOINT_EVERY_S = 60.0
"""So much a kill costs at most; a checkpoint takes a tenth of a second."""
_ON_TOP = [kind.name for kind in KINDS if kind.group in {"artefact", "bright-star"} and kind.name != "text-page"]
_CLASSIFIED_KINDS = torch.tensor([0, *map(KIND_NAMES.index, _ON_TOP)])
"""Ordinary views, and kinds that lie on top of an object: its class can be seen, and teaches."""


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of the training."""

    seed: int = 20
    views: int = 75_000
    """Training views that are drawn; an epoch reads each once."""
    epochs: float = 3.0
    batch: int = 128
    rate: float = 1e-3
    """Largest learning rate."""
    trunk_rate: float = 6e-4
    """Largest learning rate of pretrained weights: the middle blocks, which start from ImageNet, or a checkpoint."""
    decay: float = 0.05
    """Weight decay of matrices."""
    tau: float = 0.05
    """Temperature of the LogitNorm loss."""
    class_weight: float = 1.4
    """Weight of the loss of the classes; those of the kinds, and of ordinary against odd, have weight 1 each, for
    either reader."""
    warm_up: int = 60
    """Steps with a rising learning rate."""
    averaging: float = 0.995
    """Decay of the moving average of the weights, for each step."""
    balance: float = 0.5
    """Exponent of class balancing within a survey."""
    ranges: ViewRanges = field(default_factory=ViewRanges)


@dataclass(frozen=True)
class Trained:
    """A trained backbone.

    Attributes:
        model: With averaged weights, in evaluation mode.
        draws: Training views that were read, over all epochs.
        minutes: Wall-clock time.
    """

    model: TrainableBackbone
    draws: int
    minutes: float


def train(
    views: EarlyViews,
    spec: PreprocessingSpec,
    recipe: Recipe,
    config: BackboneConfig | None = None,
    *,
    kinds: int = len(KIND_NAMES),
    checkpoint: Path | None = None,
    start: TrainableBackbone | None = None,
    device: str = "cpu",
    on_step: Callable[[int, int], None] = lambda _done, _of: None,
) -> Trained:
    """Train a backbone.

    Args:
        views: Ordinary pictures, and pictures with drawn oddities.
        spec: The preprocessing.
        recipe: Hyperparameters and seed.
        config: Architecture.
        kinds: Number of kinds, `ordinary` among them.
        checkpoint: File of the state, written once a minute and after each epoch; a training that finds one goes on
            from it, with the same weights as an unbroken one.
        start: A trained backbone to go on from, with its statistics; its parameters without gradients stay as they are.
        device: What computes, `cpu` or `cuda`. Both draw the same batches from the same first weights; they round, and
            draw what dropout leaves out, otherwise.
        on_step: Told after each step how many are done, and of how many.
    """
    torch.manual_seed(recipe.seed)
    model = start or _new_backbone(views, spec, kinds, config)
    if isinstance(model, Backbone):
        # Depthwise convolutions on the CPU are a fifth faster in this layout.
        model.middle.to(memory_format=torch.channels_last)
    model.to(device)
    averaged = copy.deepcopy(model).eval()
    optimizer = torch.optim.AdamW(_parameter_groups(model, recipe), betas=(0.9, 0.98))
    rates = [group["lr"] for group in optimizer.param_groups]
    steps = max(1, int(recipe.epochs * len(views.maps)) // recipe.batch)
    step, earlier_minutes = _restore(checkpoint, model, averaged, optimizer)
    started = saved = time.monotonic()
    steps_an_epoch = max(1, len(views.maps) // recipe.batch)
    model.train()
    while step < steps:
        epoch, place = divmod(step, steps_an_epoch)
        if place == 0 or time.monotonic() - saved >= _CHECKPOINT_EVERY_S:
            saved = time.monotonic()
            _save(checkpoint, model, averaged, optimizer, step, earlier_minutes + (saved - started) / 60.0)
        rows = _epoch_order(recipe.seed, epoch, len(views.maps))[place * recipe.batch :][: recipe.batch]
        # Dropout draws from a generator that each step seeds, so that a resumed training repeats an unbroken one.
        torch.manual_seed(recipe.seed * 1_000_003 + step)
        factor = min(1.0, (step + 1) / recipe.warm_up) * 0.5 * (1.0 + math.cos(math.pi * step / steps))
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * factor
        loss = _loss(model, views, rows, recipe)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        _average(averaged, model, min(recipe.averaging, step / (step + 10)))
        on_step(step, steps)
        if step % _REPORT_STEPS == 0:
            minutes = earlier_minutes + (time.monotonic() - started) / 60.0
            log.info("step %d of %d  %.1f min  loss %.3f", step, steps, minutes, loss.item())
    return Trained(averaged.cpu(), step * recipe.batch, earlier_minutes + (time.monotonic() - started) / 60.0)


def _new_backbone(views: EarlyViews, spec: PreprocessingSpec, kinds: int, config: BackboneConfig | None) -> Backbone:
    """A hybrid backbone with the statistics of the views."""
    model = Backbone(spec, len(CLASSES), kinds, config)
    model.middle.to(memory_format=torch.channels_last)
    example = torch.from_numpy(views.maps[:2000].astype(np.float32))
    model.middle.measure_batch_statistics(example[views.kinds[:2000] == 0])
    model.standardise_by(example)
    return model


def _loss(model: TrainableBackbone, views: EarlyViews, rows: NDArray[np.int64], recipe: Recipe) -> Tensor:
    """LogitNorm of the classes where they can be seen, and the losses of the kinds of both readers."""
    device = model.temperature.device
    maps = torch.from_numpy(views.maps[rows]).to(device).float().contiguous(memory_format=torch.channels_last)
    outputs = model.forward_early(maps)
    classes, kinds = (torch.from_numpy(own[rows]).to(device) for own in (views.classes, views.kinds))
    loss = _kind_loss(outputs.kinds, kinds) + _kind_loss(outputs.pooled_kinds, kinds)
    known = torch.isin(kinds, _CLASSIFIED_KINDS.to(device)) & (classes >= 0)
    if bool(known.any()):
        logits = model.class_head(outputs.class_features[known])
        loss = loss + recipe.class_weight * logit_norm_loss(logits, classes[known], tau=recipe.tau)
    return loss


def _kind_loss(logits: Tensor, kinds: Tensor) -> Tensor:
    """Cross-entropy of the kinds, and of ordinary against odd."""
    return functional.cross_entropy(logits, kinds) + functional.binary_cross_entropy_with_logits(
        oddity_logits(logits), (kinds > 0).float()
    )


def oddity_logits(logits: Tensor) -> Tensor:
    """Log odds of any kind against `ordinary`, [n], of kind logits [n, kinds]."""
    return torch.logsumexp(logits[:, 1:], dim=1) - logits[:, 0]


@torch.inference_mode()
def calibrate_kinds(model: TrainableBackbone, views: EarlyViews) -> None:
    """Set the temperature of the kinds by views that the model was not trained on."""
    model.eval()
    logits = []
    for first in range(0, len(views.maps), 256):
        outputs = model.forward_early(torch.from_numpy(views.maps[first : first + 256].astype(np.float32)))
        logits.append((outputs.kinds + outputs.pooled_kinds) / 2.0)
    model.kind_temperature.fill_(temperature_of(torch.cat(logits).numpy(), views.kinds))


@torch.inference_mode()
def infer(model: TrainableBackbone, inputs: NDArray[np.uint8], *, batch: int = 128) -> tuple[NDArray[np.float32], ...]:
    """Outputs of the backbone for preprocessed images, in float32, in the order of its `forward`."""
    outputs = [model(torch.from_numpy(inputs[first : first + batch])) for first in range(0, len(inputs), batch)]
    return tuple(torch.cat(parts).numpy() for parts in zip(*outputs, strict=True))


def temperature_of(logits: NDArray[np.floating], classes: NDArray[np.int64]) -> float:
    """The maximum-likelihood temperature [Guo et al. 2017] for held-out logits [n, classes]; golden-section search."""
    scores, truth = torch.from_numpy(logits).double(), torch.from_numpy(classes)

    def loss(log_temperature: float) -> float:
        return float(functional.cross_entropy(scores / math.exp(log_temperature), truth))

    low, high = math.log(1e-3), math.log(1e3)
    ratio = (math.sqrt(5.0) - 1.0) / 2.0
    for _ in range(60):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return math.exp((low + high) / 2.0)


def _epoch_order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, 1, epoch]).permutation(count)


def _parameter_groups(model: TrainableBackbone, recipe: Recipe) -> list[dict[str, object]]:
    """Parameter groups of the optimizer: pretrained weights apart; weight decay for matrices. The trunk is in none."""
    pretrained = model.pretrained()
    others = {id(parameter) for parameter in pretrained}
    own = [parameter for parameter in model.parameters() if parameter.requires_grad and id(parameter) not in others]
    return [
        {"params": [p for p in own if p.ndim > 1], "lr": recipe.rate, "weight_decay": recipe.decay},
        {"params": [p for p in own if p.ndim <= 1], "lr": recipe.rate, "weight_decay": 0.0},
        {"params": pretrained, "lr": recipe.trunk_rate, "weight_decay": _PRETRAINED_DECAY},
    ]


@torch.no_grad()
def _average(averaged: TrainableBackbone, model: TrainableBackbone, keep: float) -> None:
    """Update the moving average; `keep` is the weight of the old value."""
    for weight, latest in zip(averaged.parameters(), model.parameters(), strict=True):
        if latest.requires_grad:
            weight.lerp_(latest, 1.0 - keep)


def _save(
    checkpoint: Path | None,
    model: TrainableBackbone,
    averaged: TrainableBackbone,
    optimizer: torch.optim.Optimizer,
    step: int,
    minutes: float,
) -> None:
    if checkpoint is None or step == 0:
        return
    state = {
        "model": model.state_dict(),
        "averaged": averaged.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": step,
        "minutes": minutes,
    }
    unfinished = checkpoint.with_suffix(".part")
    torch.save(state, unfinished)
    unfinished.replace(checkpoint)


def _restore(
    checkpoint: Path | None, model: TrainableBackbone, averaged: TrainableBackbone, optimizer: torch.optim.Optimizer
) -> tuple[int, float]:
    """Step and minutes of the checkpoint, whose state is loaded; zeros without one."""
    if checkpoint is None or not checkpoint.is_file():
        return 0, 0.0
    state = torch.load(checkpoint, map_location=model.temperature.device, weights_only=True)
    model.load_state_dict(state["model"])
    averaged.load_state_dict(state["averaged"])
    optimizer.load_state_dict(state["optimizer"])
    log.info("going on from step %d", state["step"])
    return int(state["step"]), float(state["minutes"])
