"""Embeddings for the tests of the similarity index."""

import numpy as np

from tests.unit.inference.tiny_bundle import DIMENSIONS, image_id


def embedding(seed: int) -> bytes:
    """A random one of the tiny bundle's size."""
    return np.random.default_rng(seed).normal(size=DIMENSIONS).astype("<f2").tobytes()


def images(*seeds: int) -> list[tuple[str, bytes]]:
    """Image ids with their embeddings."""
    return [(image_id(seed), embedding(seed)) for seed in seeds]
