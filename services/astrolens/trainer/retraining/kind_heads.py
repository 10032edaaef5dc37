"""Fit the heads of the kinds again, on the features of a network that stays as it is.

Both linear heads are fitted by L-BFGS from the promoted weights, on drawn views and on views of answered images, with
a penalty on their squared distance from the promoted weights for features of unit deviation. Drawn views teach what the
promoted heads say of them [Li & Hoiem 2017], so that some thousands of views do not replace what many more have taught.
Classes, embedding and taps do not change, and so neither does any detector that reads them.
"""

from collections.abc import Callable
from time import monotonic
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from astrolens.trainer.early_views import EarlyViews, PreparedViews
from astrolens.trainer.trainable_backbone import TrainableBackbone
from astrolens.trainer.training import Trained, calibrate_kinds, oddity_logits

PENALTY: Final = 0.1
"""Of the squared distance from the promoted weights; chosen on the choose half (docs/training.md)."""
_ITERATIONS: Final = 60
"""Most steps of the fit."""
_BATCH: Final = 128
_MIN_DEVIATION: Final = 1e-3
"""A feature that hardly varies would otherwise be free to carry any weight."""


def refit_kind_heads(
    model: TrainableBackbone,
    views: PreparedViews,
    answers: EarlyViews | None,
    *,
    on_step: Callable[[int, int], None] = lambda _done, _of: None,
) -> Trained:
    """Fit both heads of the kinds, and their temperature by the held-out views.

    Args:
        model: With its weights, and outputs for every kind; its two heads are changed.
        views: Drawn views, and others for the temperature.
        answers: Views of answered images.
        on_step: Told how many batches of views have been read, and of how many.
    """
    began = monotonic()
    model.eval()
    drawn = len(views.training.kinds)
    parts = [views.training] if answers is None else [views.training, answers]
    features = _features(model, parts, on_step)
    kinds = torch.from_numpy(np.concatenate([own.kinds for own in parts]))
    width = model.kind_head.in_features
    for head, columns in ((model.kind_head, slice(0, width)), (model.pooled_kind_head, slice(width, None))):
        refit_head(head, features[:, columns], targets_of(head, features[:drawn, columns], kinds[drawn:]))
    calibrate_kinds(model, views.held_out)
    return Trained(model, len(kinds), (monotonic() - began) / 60.0)


def targets_of(head: nn.Linear, drawn: Tensor, answered: Tensor) -> Tensor:
    """What views teach a head, probabilities [n + m, kinds].

    Args:
        head: Of the kinds.
        drawn: What it reads of n drawn views, [n, d]; they teach what it says of them now.
        answered: Kinds of m views of answered images, [m].
    """
    with torch.no_grad():
        return torch.cat((head(drawn).softmax(dim=1), functional.one_hot(answered, head.out_features).float()))


def refit_head(head: nn.Linear, features: Tensor, targets: Tensor, *, penalty: float = PENALTY) -> None:
    """Fit one head from its own weights, with the losses of a training: of the kinds, and of ordinary against odd.

    Args:
        head: Of the kinds; it is changed.
        features: What it reads of n views, [n, d].
        targets: Probabilities of the kinds, [n, kinds]; the first kind is `ordinary`.
        penalty: Of the squared distance from its weights, for features of unit deviation.
    """
    deviation = features.std(dim=0) + _MIN_DEVIATION
    slopes, bias = head.weight.detach().clone(), head.bias.detach().clone()
    odd = 1.0 - targets[:, 0]
    change, shift = torch.zeros_like(slopes, requires_grad=True), torch.zeros_like(bias, requires_grad=True)
    optimizer = torch.optim.LBFGS([change, shift], max_iter=_ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> float:
        optimizer.zero_grad()
        logits = functional.linear(features, slopes + change / deviation, bias + shift)
        total = functional.cross_entropy(logits, targets) + penalty * change.square().sum()
        total = total + functional.binary_cross_entropy_with_logits(oddity_logits(logits), odd)
        total.backward()  # type: ignore[no-untyped-call]
        return float(total.detach())

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        head.weight.copy_(slopes + change / deviation)
        head.bias.copy_(bias + shift)


@torch.no_grad()
def _features(model: TrainableBackbone, parts: list[EarlyViews], on_step: Callable[[int, int], None]) -> Tensor:
    """Embedding and hidden layer of the pooled maps of all views, [n, d + h]."""
    batches = [(own, first) for own in parts for first in range(0, len(own.maps), _BATCH)]
    found = []
    for number, (own, first) in enumerate(batches, start=1):
        maps = torch.from_numpy(own.maps[first : first + _BATCH].astype(np.float32))
        found.append(model.forward_early(maps).class_features)
        on_step(number, len(batches))
    return torch.cat(found)
