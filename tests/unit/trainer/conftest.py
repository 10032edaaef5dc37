"""Training is optional (TRAINER=no leaves torch out): without it there is nothing here to test."""

from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec

import pytest
from astrolens.science.simulation import simulate

collect_ignore_glob = [] if find_spec("torch") else ["test_*.py"]

simulated = cache(simulate)
"""Several modules make bundles of the same images, 10 ms of processor time each."""


@pytest.fixture(scope="module")
def cheap_bundles() -> Iterator[None]:
    """Bundles of images that are simulated once, with intervals from few draws and costs from few runs."""
    # Imported here: torch, which most of these tests do not need.
    from astrolens.trainer import bundle_builder, dataset
    from astrolens.trainer.evaluation import intervals

    with pytest.MonkeyPatch.context() as patch:
        for module in (bundle_builder, dataset):
            patch.setattr(module, "simulate", simulated)
        patch.setattr(intervals, "_DRAWS", 100)
        patch.setattr(bundle_builder, "_COST_RUNS", 3)
        yield
