"""Fit the class head once more, on pictures as they come: training saw them turned, blurred and with drawn oddities."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import from_numpy, nn, no_grad

from astrolens.trainer.early_views import sampling_weights
from astrolens.trainer.image_arrays import ImageArrays

_REGULARISATION: Final = 0.01
"""scikit-learn's C, for standardised features; chosen, with `_BALANCE`, on what calibrates and on `detector-fit`."""
_BALANCE: Final = 0.3
"""Exponent of class balancing within a survey."""
_BATCH: Final = 64


def refit_class_head(head: nn.Linear, images: ImageArrays, ready: InferenceSession) -> None:
    """Replace the weights of the head by those of a logistic regression.

    Each picture counts as it comes and in three other orientations, of which none changes its class.

    Args:
        head: From features to classes.
        images: Ordinary images of the `backbone` split with their classes, n.
        ready: A graph from `pixels` to the `features` that the head reads.
    """
    turned = [images.inputs, images.inputs[..., ::-1], images.inputs[..., ::-1, :], images.inputs.swapaxes(-1, -2)]
    features = np.concatenate([_features(ready, inputs) for inputs in turned])
    weights = np.tile(sampling_weights(images, balance=_BALANCE), len(turned))
    scaler = StandardScaler().fit(features)
    model = LogisticRegression(C=_REGULARISATION, max_iter=1000)
    model.fit(scaler.transform(features), np.tile(images.classes, len(turned)), sample_weight=weights * len(images))
    slopes = model.coef_ / scaler.scale_
    with no_grad():
        head.weight.copy_(from_numpy(slopes))
        head.bias.copy_(from_numpy(model.intercept_ - slopes @ scaler.mean_))


def _features(ready: InferenceSession, inputs: NDArray[np.uint8]) -> NDArray[np.float64]:
    parts = [
        ready.run(["features"], {"pixels": np.ascontiguousarray(inputs[first : first + _BATCH])})[0]
        for first in range(0, len(inputs), _BATCH)
    ]
    return np.concatenate(parts).astype(np.float64)
