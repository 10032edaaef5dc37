"""The refitted head is a linear map of the embedding that tells the classes."""

import numpy as np
import torch
from astrolens.trainer.class_head import refit_class_head
from astrolens.trainer.image_arrays import ImageArrays
from torch import nn


def test_the_head_is_replaced_by_one_that_tells_the_classes() -> None:
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, 600)
    embeddings = rng.normal(size=(600, 5)) * np.array([1.0, 30.0, 0.1, 1.0, 1.0]) + 4.0 * np.eye(5)[classes]
    embeddings[:, 2] += 0.5 * (classes == 2)
    images = ImageArrays(
        np.zeros((600, 1), np.uint8),
        classes,
        np.array(["sdss", "efigi"])[rng.integers(0, 2, 600)],
        np.array([""] * 600),
    )
    head = nn.Linear(5, 3)
    refit_class_head(head, images, embeddings)
    with torch.inference_mode():
        found = head(torch.from_numpy(embeddings).float()).argmax(dim=1).numpy()
    assert (found == classes).mean() > 0.95
