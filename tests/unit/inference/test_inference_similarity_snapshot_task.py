import os
from pathlib import Path

import pytest
from astrolens.inference.similarity import snapshot_task
from astrolens.inference.similarity.index import SimilarityIndex
from astrolens.inference.similarity.snapshot import SnapshotFolder
from astrolens.inference.similarity.snapshot_task import SnapshotTask
from astrolens.inference.similarity.vector_index import VectorIndex
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.runtime.periodic import PeriodicTask
from astrolens.science.bundle import Bundle

from tests.unit.inference.embeddings import images


@pytest.fixture
def index(tiny_bundle: Bundle) -> SimilarityIndex:
    return SimilarityIndex(VectorIndex(tiny_bundle.centroids))


@pytest.fixture
def task(index: SimilarityIndex, tiny_bundle: Bundle, tmp_path: Path) -> SnapshotTask:
    folder = SnapshotFolder(tmp_path, model_digest=tiny_bundle.digest, centroids=tiny_bundle.centroids)
    return SnapshotTask(index, folder)


async def test_a_snapshot_is_taken_when_enough_is_new(
    index: SimilarityIndex, task: SnapshotTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_task, "_MIN_NEW_IMAGES", 5)
    index.add(images(*range(4)))
    await task.run_pass()
    assert index.saved == 0
    index.add(images(4))
    await task.run_pass()
    assert index.saved == 5
    index.add(images(*range(5, 200)))
    await task.run_pass()
    index.add(images(*range(200, 209)))
    await task.run_pass()
    assert index.saved == 200  # nine are less than a twentieth
    index.add(images(209))
    await task.run_pass()
    assert index.saved == 210


async def test_the_end_saves_whatever_is_new(index: SimilarityIndex, task: SnapshotTask) -> None:
    index.add(images(1))
    await task.save()
    assert index.saved == 1


async def test_a_full_disk_is_reported_and_costs_no_image(
    index: SimilarityIndex, task: SnapshotTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    condition = Condition()
    condition.phase = "running"
    periodic = PeriodicTask(
        "similarity snapshot",
        task.save,
        interval_s=60,
        condition=condition,
        issue="the similarity index cannot be saved",
    )
    index.add(images(1, 2))
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        assert not await periodic.run_pass()
    assert condition.state == "degraded"
    assert "the similarity index cannot be saved: [Errno 28] No space left on device" in (condition.detail or "")
    assert (len(index), index.saved) == (2, 0)
    assert await periodic.run_pass()
    assert (condition.state, index.saved) == ("running", 2)
