"""Training views: seeded, labelled with what was drawn, kept in shards that an interrupted run goes on from."""

from pathlib import Path

import numpy as np
import pytest
from astrolens.trainer import early_views, export
from astrolens.trainer.backbone import Backbone, BackboneConfig
from astrolens.trainer.early_views import Drawing, prepare_views, sampling_weights
from astrolens.trainer.image_arrays import CropFile, Crops, ImageArrays
from astrolens.trainer.training_views import KIND_NAMES, ORDINARY, ViewRanges, context_crop, draw_training_view

from tests.unit.trainer.test_trainer_training import KINDS, SPEC, TINY

ALWAYS_ODD = ViewRanges(odd=1.0)
NEVER_ODD = ViewRanges(odd=0.0, control=0.0)


def galaxy(side: int = 96, radius: float = 6.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2.0
    light = 200.0 * np.exp(-np.hypot(x, y * 1.4) / radius) + rng.normal(8.0, 2.0, (side, side))
    return np.repeat(np.clip(light, 0, 255)[..., None], 3, axis=2).astype(np.uint8)


def images(folder: Path, count: int = 12) -> ImageArrays:
    crops = [galaxy(40 + 4 * (index % 3), seed=index) for index in range(count)]
    path = folder / "crops.npy"
    np.save(path, np.concatenate([crop.ravel() for crop in crops]))
    return ImageArrays(
        inputs=np.zeros((count, 6, 32, 32), dtype=np.uint8),
        classes=np.arange(count) % 2,
        surveys=np.array(["sdss", "efigi", "simulated-sdss"])[np.arange(count) % 3],
        oddities=np.array([""] * count),
        crops=(CropFile(path, np.array([crop.shape[0] for crop in crops])),),
    )


def test_a_view_is_seeded_and_labelled() -> None:
    def view(seed: int, ranges: ViewRanges) -> tuple[np.ndarray, int]:
        made = draw_training_view(galaxy(), galaxy(seed=1), np.random.default_rng(seed), size=32, ranges=ranges)
        assert made.pixels.shape == (3, 32, 32)
        assert made.pixels.dtype == np.uint8
        return made.pixels, made.kind

    assert np.array_equal(view(1, ALWAYS_ODD)[0], view(1, ALWAYS_ODD)[0])
    assert not np.array_equal(view(1, NEVER_ODD)[0], view(2, NEVER_ODD)[0])
    assert all(KIND_NAMES[view(seed, NEVER_ODD)[1]] == ORDINARY for seed in range(5))
    kinds = {KIND_NAMES[view(seed, ALWAYS_ODD)[1]] for seed in range(40)}
    assert ORDINARY not in kinds
    assert len(kinds) > 5


def test_a_context_crop_keeps_the_object_and_room_around_it() -> None:
    small, large = context_crop(galaxy(200, radius=4.0)), context_crop(galaxy(200, radius=40.0))
    assert small.shape[0] < large.shape[0] <= 200
    middle = small.shape[0] // 2
    assert small[middle - 2 : middle + 2, middle - 2 : middle + 2].max() == galaxy(200, radius=4.0).max()


def test_crops_are_read_by_row(tmp_path: Path) -> None:
    own = images(tmp_path)
    crops = Crops(own.crops)
    assert len(crops) == 12
    for row in (0, 1, 11):
        assert np.array_equal(crops[row], galaxy(40 + 4 * (row % 3), seed=row))


def test_surveys_and_classes_are_drawn_by_weight(tmp_path: Path) -> None:
    own = images(tmp_path, 60)
    weights = sampling_weights(own, balance=0.3)
    assert weights.sum() == pytest.approx(1.0)
    shares = {name: weights[own.surveys == name].sum() for name in np.unique(own.surveys)}
    assert shares == pytest.approx({"sdss": 0.45, "efigi": 0.40, "simulated-sdss": 0.15})


def test_shards_are_kept_and_only_missing_ones_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early_views, "SHARD", 10)
    own = images(tmp_path)
    graph = export.export_early(Backbone(SPEC, 4, KINDS, TINY), SPEC)
    drawing = Drawing(seed=3, views=25, size=32, balance=0.3, ranges=ViewRanges())
    first = prepare_views(own, graph, drawing, cache=tmp_path / "cache", workers=1)
    assert first.training.maps.shape == (25, 40, 4, 4)
    assert len(first.held_out.kinds) == 20
    assert set(first.training.kinds.tolist()) != {0}
    shards = sorted((tmp_path / "cache" / f"views-{first.digest}").glob("*.npz"))
    assert len(shards) == 5
    shards[1].unlink()
    kept = shards[0].stat().st_mtime_ns
    again = prepare_views(own, graph, drawing, cache=tmp_path / "cache", workers=1)
    assert np.array_equal(again.training.maps, first.training.maps)
    assert shards[0].stat().st_mtime_ns == kept
    other = Drawing(seed=4, views=25, size=32, balance=0.3, ranges=ViewRanges())
    assert prepare_views(own, graph, other, cache=tmp_path / "cache", workers=1).digest != first.digest


def test_the_backbone_names_its_architecture() -> None:
    assert BackboneConfig().name == "hybrid-vit-lite0-d160-l3"
