"""The refitted head is a linear map of features that tells the classes, in any orientation."""

import numpy as np
import torch
from astrolens.trainer.class_head import refit_class_head
from astrolens.trainer.image_arrays import ImageArrays
from torch import nn


class Graph:
    """Stands for the session of a graph: features are made of the pixels of one row and one column."""

    def run(self, names: list[str], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        assert names == ["features"]
        pixels = feeds["pixels"].astype(np.float32)
        assert pixels.flags.c_contiguous
        return [np.concatenate((pixels[:, 0, 0], pixels[:, 0, :, 0]), axis=1)]


def test_the_head_is_replaced_by_one_that_tells_the_classes() -> None:
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, 600)
    inputs = rng.integers(0, 200, (600, 1, 4, 4)) + 20 * classes[:, None, None, None]
    # The same in every orientation, as a class is.
    inputs[:, :, 0, 0] = inputs[:, :, -1, -1] = inputs[:, :, 0, -1] = inputs[:, :, -1, 0] = 40 + 70 * (
        classes[:, None] == 2
    )
    images = ImageArrays(
        inputs.astype(np.uint8), classes, np.array(["sdss", "efigi"])[rng.integers(0, 2, 600)], np.array([""] * 600)
    )
    head = nn.Linear(8, 3)
    refit_class_head(head, images, Graph())
    for turned in (images.inputs, images.inputs[..., ::-1], images.inputs.swapaxes(-1, -2)):
        features = Graph().run(["features"], {"pixels": np.ascontiguousarray(turned)})[0]
        with torch.inference_mode():
            found = head(torch.from_numpy(features)).argmax(dim=1).numpy()
        assert (found == classes).mean() > 0.6
        assert (found == classes)[classes == 2].mean() > 0.95
