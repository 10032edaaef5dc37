"""Fit the class head once more, on pictures as they come: training saw them turned, blurred and with drawn oddities."""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn

from astrolens.trainer.early_views import sampling_weights
from astrolens.trainer.image_arrays import ImageArrays

_REGULARISATION: Final = 0.03
"""scikit-learn's C, for standardised embeddings; chosen on the validation split, with `_BALANCE`."""
_BALANCE: Final = 0.3
"""Exponent of class balancing within a survey."""


def refit_class_head(head: nn.Linear, images: ImageArrays, embeddings: NDArray[np.float64]) -> None:
    """Replace the weights of the head by those of a logistic regression.

    Args:
        head: From embedding to classes.
        images: Ordinary images of the `backbone` split with their classes, n.
        embeddings: Of them, [n, d].
    """
    scaler = StandardScaler().fit(embeddings)
    weights = sampling_weights(images, balance=_BALANCE)
    model = LogisticRegression(C=_REGULARISATION, max_iter=1000)
    model.fit(scaler.transform(embeddings), images.classes, sample_weight=weights * len(weights))
    slopes = model.coef_ / scaler.scale_
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(slopes))
        head.bias.copy_(torch.from_numpy(model.intercept_ - slopes @ scaler.mean_))
